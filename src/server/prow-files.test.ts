import { beforeEach, expect, test } from "vitest";
import { at, dateAt, jobRunNamed, runNamed } from "../history/testdata/resources.ts";
import { prowFilesApp } from "./prow-files.ts";
import { openTestStores } from "./testdata/stores.ts";
import type { SettleStores } from "./runners/settle.ts";

let stores: SettleStores;
let get: (path: string) => Promise<{ status: number; text: string; headers: Headers }>;

const heads = [{ number: 7, sha: "b".repeat(40), ref: "feature" }] as never;

beforeEach(async () => {
  ({ stores } = await openTestStores());
  const app = prowFilesApp({ ...stores, origin: "https://ci.example" });
  get = async (path) => {
    const answer = await app.request(`/prow/job/${path}`);
    return { status: answer.status, text: await answer.text(), headers: answer.headers };
  };
  const { history, logs, objects } = stores;
  await history.projection.projectRuns([runNamed("run", { source: { heads, event: "pull_request" } })]);
  await history.projection.projectJobRuns([jobRunNamed("job", { status: { phase: "Running" } })]);
  const jobRun = { name: "job", uid: "uid-job" };
  await history.attempts.open({ uid: "a-1", jobRun, number: 1, tokenHash: "", executor: "host", host: "local" }, dateAt(5));
  await logs.append("a-1", 0, Buffer.from("one\ntwo\n"), dateAt(6));
  for (const path of ["junit.xml", "clusters/a b/events.txt", "<b>.txt"]) {
    const { size, digest, key } = await objects.put(`k/${path}`, Buffer.from(`of ${path}`));
    await history.attempts.recordArtifact("a-1", { path, size, digest, contentType: "", key });
  }
});

function linksOf(text: string): string[] {
  return Array.from(text.matchAll(/<li><a href="([^"]+)">/g), ([, href]) => href!);
}

/** Its runner has ended; the verdict is not written down yet. */
async function end() {
  await stores.history.attempts.end("a-1", { verdict: "error", cause: "lost-runner" }, dateAt(60));
}

async function settle() {
  const status = { phase: "Finished", verdict: "error", startedAt: at(5), finishedAt: at(61) } as const;
  await stores.history.projection.projectJobRuns([jobRunNamed("job", { version: 2, status })]);
}

test("what has begun is there at once, finished.json when all else is", async () => {
  expect(linksOf((await get("1/")).text)).toEqual(["started.json", "build-log.txt", "artifacts/"]);
  expect(JSON.parse((await get("1/started.json")).text)).toEqual({
    timestamp: dateAt(5).getTime() / 1000,
    node: "local",
    pull: "7",
    repos: { "owner/project": `main,7:${"b".repeat(40)}` },
    "repo-commit": "b".repeat(40),
    metadata: { uploader: "seatrial", link: "https://ci.example/jobs/job" },
  });
  expect(await get("1/build-log.txt")).toMatchObject({ status: 200, text: "one\ntwo\n" });
  await end();
  expect(await get("1/finished.json")).toMatchObject({ status: 404, text: "attempt 1 of job has not ended yet\n" });
  await settle();
  expect(linksOf((await get("1/")).text)).toContain("finished.json");
  expect(JSON.parse((await get("1/finished.json")).text)).toMatchObject({
    timestamp: dateAt(60).getTime() / 1000,
    passed: false,
    result: "FAILURE",
    metadata: { verdict: "error", cause: "lost-runner" },
  });
});

test("artifacts are listed, each link leads to its bytes, and none of them is run", async () => {
  const { text } = await get("1/artifacts/");
  expect(text).not.toContain("<b>");
  const links = linksOf(text);
  expect(links.toSorted()).toEqual(["%3Cb%3E.txt", "clusters/a%20b/events.txt", "junit.xml"]);
  for (const link of links) {
    const answer = await get(`1/artifacts/${link}`);
    expect(answer, link).toMatchObject({ status: 200, text: `of ${decodeURIComponent(link)}` });
    expect(answer.headers.get("content-security-policy")).toBe("sandbox");
    expect(answer.headers.get("content-disposition")).toBe("attachment");
  }
});

test.each(["2/started.json", "1/prowjob.json", "1/artifacts/none", "1/artifacts/..%2f..%2fx", "x/"])("%s is not there", async (path) => {
  expect((await get(path)).status).toBe(404);
});
