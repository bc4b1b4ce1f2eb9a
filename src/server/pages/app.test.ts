/** The pages over real stores: which part of a log is shown, and lines that come while a page is open. */
import { expect, test } from "vitest";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { at, dateAt, jobRunNamed, runNamed } from "../../history/testdata/resources.ts";
import type { JobView, RunView } from "../api/schemas.ts";
import type { SettleStores } from "../runners/settle.ts";
import { openTestStores } from "../testdata/stores.ts";
import { pagesApp } from "./app.ts";

const attempt = { uid: "a-1", number: 1, executor: "host", host: "local", startedAt: at(0), steps: [], tests: {} };
const job = { name: "job", phase: "Running", run: "run", jobName: "e2e", attempts: [attempt], createdAt: at(0) } as unknown as JobView;

/** Pages of one job, whose log has these lines. */
async function pages(lines: number, isClosed = true) {
  const { stores } = await openTestStores();
  const { history, logs } = stores;
  await history.projection.projectRuns([runNamed("run", { status: { phase: "Running" } })]);
  await history.projection.projectJobRuns([jobRunNamed("job", { run: "run", jobName: "e2e" })]);
  await history.attempts.open(
    { uid: "a-1", jobRun: { name: "job", uid: "uid-job" }, number: 1, tokenHash: "", executor: "host", host: "local" },
    dateAt(0),
  );
  await append(stores, Array.from({ length: lines }, (_, index) => `text ${index + 1}\n`).join(""));
  if (isClosed) await logs.close("a-1", dateAt(1));
  const { run } = { run: { name: "run", repository: "owner/project", workflow: { name: "ci" }, event: "push", ref: "main", sha: "0" } };
  const app = pagesApp({
    ...stores,
    jobView: async (name) => {
      if (name !== "job") throw new SeatrialError("not-found", `there is no job run ${name}`);
      return await Promise.resolve(job);
    },
    runView: async () => await Promise.resolve({ run, jobs: [] } as unknown as RunView),
  });
  return { stores, get: async (path: string) => await app.request(path) };
}

async function append({ logs }: SettleStores, text: string): Promise<void> {
  const { size } = (await logs.info("a-1")) ?? { size: 0 };
  await logs.append("a-1", size, Buffer.from(text), dateAt(1));
}

/** First and last number of the lines that a page has, and how many. */
function extent(text: string): { first: number; last: number; count: number } {
  const numbers = Array.from(text.matchAll(/<div id="L(\d+)"/g), ([, number]) => Number(number));
  return { first: numbers[0]!, last: numbers.at(-1)!, count: numbers.length };
}

const most = limits.pageLogLines;

test.each<[string, string, { first: number; last: number; more: (string | RegExp)[] }]>([
  ["of a long log its end", "", { first: most + 1001, last: 2 * most + 1000, more: [`${most + 1000} earlier lines`] }],
  ["its beginning, for a line there", "?line=1", { first: 1, last: most, more: [`${most + 1000} later lines`] }],
  [
    "what is around a line",
    `?line=${most}`,
    { first: most / 2, last: most + most / 2 - 1, more: [`${most / 2 - 1} earlier lines`, /later lines/] },
  ],
  ["no more for a range of all of it", "?line=1-999999999", { first: 1, last: most, more: [/later lines/] }],
  ["its end, for a line beyond it", "?line=999999999", { first: 2 * most + 1000 - most / 2, last: 2 * most + 1000, more: [/earlier/] }],
  ["its end, for what is no line", "?line=x", { first: most + 1001, last: 2 * most + 1000, more: [/earlier/] }],
])("%s", async (_name, query, { first, last, more }) => {
  const { get } = await pages(2 * most + 1000);
  const text = await (await get(`/jobs/job${query}`)).text();
  expect(extent(text)).toMatchObject({ first, last, count: last - first + 1 });
  for (const link of more) expect(text).toMatch(link);
  expect(text.trim().endsWith("</html>")).toBe(true);
});

test("while the log goes on its page does, too: each line once and whole, then the page ends", async () => {
  const { stores, get } = await pages(2, false);
  await append(stores, "half of ");
  const answer = await get("/jobs/job");
  const reader = answer.body!.getReader();
  let seen = "";
  const until = async (what: string) => {
    while (!seen.includes(what)) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`the page ended without ${what}: ${seen}`);
      seen += Buffer.from(value).toString();
    }
  };
  await until("text 2");
  expect(seen).not.toContain("half of");
  await append(stores, "a line\n");
  await until("half of a line");
  await append(stores, "no line end");
  await stores.logs.close("a-1", dateAt(2));
  await until("</html>");
  expect(extent(seen)).toEqual({ first: 1, last: 4, count: 4 });
  expect(seen).toContain("no line end");
  expect((await reader.read()).done).toBe(true);
});

test("a page that is left open takes no more of a flood than a browser bears, and leads on", async () => {
  const { stores, get } = await pages(0, false);
  const answer = await get("/jobs/job");
  const text = answer.text();
  await append(stores, "text\n".repeat(limits.pageFollowedLines));
  await append(stores, "text\n".repeat(10));
  expect(extent(await text)).toEqual({ first: 1, last: limits.pageFollowedLines, count: limits.pageFollowedLines });
  expect(await text).toContain(`line=${limits.pageFollowedLines + 1}#L${limits.pageFollowedLines + 1}">the log goes on</a>`);
  expect((await text).trim().endsWith("</html>")).toBe(true);
});

test("what is not there says so, on a page, with 404", async () => {
  const { get } = await pages(1);
  for (const path of ["/jobs/none", "/runs/none", "/nothing"]) {
    const answer = await get(path);
    expect(answer.status, path).toBe(404);
    expect(answer.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(await answer.text()).toContain("There is nothing here");
  }
});

test("runs are listed, found by a text, and lead on; what was asked for is no markup", async () => {
  const { get } = await pages(1);
  expect(await (await get("/")).text()).toContain('<a href="/runs/run">test</a>');
  expect(await (await get("/?text=PROJECT")).text()).toContain('<a href="/runs/run">test</a>');
  const none = await (await get(`/?text=${encodeURIComponent('"><script>')}`)).text();
  expect(none).toContain("There are no runs that match");
  expect(none).not.toContain("<script");
  expect(await (await get("/runs/run")).text()).toContain('<a href="/jobs/job">e2e</a>');
});

test("the style and the icon that pages name are there", async () => {
  const { get } = await pages(1);
  const page = await (await get("/")).text();
  const paths = Array.from(page.matchAll(/<link rel="\w+" href="([^"]+)"/g), ([, path]) => path!);
  expect(paths).toHaveLength(2);
  for (const path of paths) expect((await get(path)).status, path).toBe(200);
});
