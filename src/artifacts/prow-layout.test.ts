import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { Verdict } from "../resources/verdict.ts";
import { FolderStore } from "./folder.ts";
import type { ObjectStore } from "./object-store.ts";
import { type FinishedAttempt, writeProwFiles } from "./prow-layout.ts";

async function written(attempt: Partial<FinishedAttempt> = {}) {
  const root = await mkdtemp(join(tmpdir(), "prow-"));
  onTestFinished(async () => await rm(root, { recursive: true, force: true }));
  const store = new FolderStore(root);
  const order: string[] = [];
  const watched: ObjectStore = Object.assign(Object.create(store) as ObjectStore, {
    put: async (...args: Parameters<ObjectStore["put"]>) => {
      order.push(args[0]);
      return await store.put(...args);
    },
  });
  const log = async function* () {
    yield await Promise.resolve(Buffer.from("one\n"));
    yield Buffer.from("two\n");
  };
  await writeProwFiles(
    watched,
    "logs/unit/17",
    {
      startedAt: new Date("2026-11-01T12:00:00.900Z"),
      finishedAt: new Date("2026-11-01T12:01:00Z"),
      verdict: "passed",
      repository: "owner/project",
      baseRef: "main",
      commit: "abc",
      ...attempt,
    },
    log(),
  );
  const read = async (name: string) => {
    const chunks: Buffer[] = [];
    for await (const chunk of await store.get(`logs/unit/17/${name}`)) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  };
  return { order, read, json: async (name: string) => JSON.parse(await read(name)) as unknown };
}

test("a push: all files, finished.json last", async () => {
  const { order, read, json } = await written({ node: "host-1", metadata: { link: "https://ci.example/1" }, prowJob: { kind: "ProwJob" } });
  expect(order.map((key) => key.slice("logs/unit/17/".length))).toEqual(["started.json", "build-log.txt", "prowjob.json", "finished.json"]);
  const metadata = { uploader: "seatrial", link: "https://ci.example/1" };
  expect(await json("started.json")).toEqual({
    timestamp: 1793534400,
    node: "host-1",
    repos: { "owner/project": "main" },
    "repo-commit": "abc",
    metadata,
  });
  expect(await json("finished.json")).toEqual({
    timestamp: 1793534460,
    passed: true,
    result: "SUCCESS",
    metadata: { ...metadata, verdict: "passed" },
  });
  expect(await read("build-log.txt")).toBe("one\ntwo\n");
});

test("a pull request names its number and commit", async () => {
  const { json, order } = await written({ pull: 7 });
  expect(await json("started.json")).toMatchObject({ pull: "7", repos: { "owner/project": "main,7:abc" } });
  expect(order).not.toContain("logs/unit/17/prowjob.json");
});

test.each([
  ["passed", "SUCCESS", true],
  ["failed", "FAILURE", false],
  ["error", "FAILURE", false],
  ["timed-out", "FAILURE", false],
  ["aborted", "ABORTED", false],
  ["skipped", "SUCCESS", true],
] satisfies [Verdict, string, boolean][])("%s is %s", async (verdict, result, passed) => {
  const { json } = await written({ verdict, cause: verdict === "error" ? "lost-runner" : undefined });
  expect(await json("finished.json")).toMatchObject({
    result,
    passed,
    metadata: { verdict, ...(verdict === "error" ? { cause: "lost-runner" } : {}) },
  });
});
