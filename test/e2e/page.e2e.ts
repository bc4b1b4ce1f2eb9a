/** The pages as a person sees them: in a real browser, with scripts turned off, from the link that the forge's check has. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test, type TestContext } from "vitest";
import { waitFor } from "../../src/base/wait.ts";
import type { JobView } from "../../src/server/api/schemas.ts";
import { faintTexts, openBrowser, tabStops, type TestBrowser } from "../support/browser.ts";
import { kubectlPath, seatrial, SharedOwner } from "../support/e2e.ts";
import { TestServer } from "../support/server.ts";

const secret = "open-sesame-4711";
const manyLines = 100_000;

const workflow = (kubectl: string, goOn: string) => `name: ci
on: push
jobs:
  e2e:
    cluster: {provider: bare}
    steps:
      - uses: actions/checkout@v4
      - name: go test ./e2e
        run: sh test.sh
        env: {KUBECTL: ${kubectl}, TOKEN: "\${{ secrets.TOKEN }}"}
  many:
    steps: [{run: "seq -f '%.0f of many lines, each of them as long as lines of tests are, more or less' ${manyLines}"}]
  live:
    steps: [{run: "echo begun; while [ ! -e '${goOn}' ]; do sleep 0.05; done; echo '<b>later</b>'"}]
`;

const script = `#!/bin/sh
"$KUBECTL" create -f - <<END
apiVersion: v1
kind: Event
metadata: {name: seen, namespace: default}
type: Warning
reason: Sinking
message: the boat <leaks>
involvedObject: {kind: Pod, namespace: default, name: boat}
END
for i in $(seq 115); do echo "=== RUN   TestWidget/case_$i"; done
echo "token: $TOKEN"
printf '\\033[31mred\\033[0m alert\\n'
echo '<testsuite name="s"><testcase classname="s" name="TestWidget" time="0.04"><failure message="want 3 widgets, got 2"/></testcase></testsuite>' > "$ARTIFACTS/junit.xml"
echo '--- FAIL: TestWidget (0.04s)'
echo '    widget_test.go:12: want 3 widgets, got <2> & more'
exit 7
`;

let browser: TestBrowser | undefined;
let noBrowser = "";
let server: TestServer;
let goOn: string;
let run: string;
let job: JobView;
/** The link of the job's check, and the line that it leads to. */
let link: string;
let line: number;
const owner = new SharedOwner();

beforeAll(async () => {
  const opened = await openBrowser();
  if ("reason" in opened) return void (noBrowser = opened.reason);
  browser = opened;
  server = await TestServer.prepare(owner, { "README.md": "nothing\n" }, { DOCKER_HOST: "unix:///nowhere/docker.sock" });
  goOn = join(server.home.cwd, "go-on");
  await server.up();
  const set = await seatrial(server.home, ["secret", "set", "TOKEN"], { input: secret });
  expect(set, set.stderr).toMatchObject({ code: 0 });
  const sha = await server.push({ ".seatrial/ci.yml": workflow(await kubectlPath(), goOn), "test.sh": script });
  ({ name: run } = await server.runOf(sha));
  job = await server.jobEnded(run, "e2e");
  expect(job).toMatchObject({ verdict: "failed" });
  const check = await waitFor(
    "the check",
    async () => {
      const { items } = await server.get<{ items: { context: string; state: string; targetUrl: string }[] }>(`/api/v1/runs/${run}/checks`);
      return items.find(({ context, state }) => context === "ci / e2e (push)" && state === "failure");
    },
    { timeoutMs: 30_000, pollMs: 50 },
  );
  link = check.targetUrl;
  line = Number(/#L(\d+)$/.exec(link)?.[1]);
});

afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
  await owner.close();
});

async function open(context: TestContext, path: string, options: Parameters<TestBrowser["page"]>[2] = {}): Promise<Page> {
  if (!browser) return context.skip(noBrowser);
  const page = await browser.page(context, server.url, options);
  await page.goto(new URL(path, server.url).href);
  return page;
}

/** Numbers of the lines that stand out. */
async function markedLines(page: Page): Promise<number[]> {
  return await page.evaluate<number[]>(`(() => {
    const lines = [...document.querySelectorAll(".log div:not(.range)")];
    const usual = getComputedStyle(document.querySelector(".log")).backgroundColor;
    const isMarked = (line) => ![usual, "rgba(0, 0, 0, 0)"].includes(getComputedStyle(line).backgroundColor);
    return lines.filter(isMarked).map((each) => Number(each.id.slice(1)));
  })()`);
}

async function isInView(page: Page, selector: string): Promise<boolean> {
  const box = await page.locator(selector).boundingBox();
  return box !== null && box.y >= 0 && box.y + box.height <= page.viewportSize()!.height;
}

test("the check's link opens the line that failed: it stands out, in view, and the secret above it is masked", async (context) => {
  const page = await open(context, link ?? "/");
  expect(await page.locator(`#L${line}`).innerText()).toContain("widget_test.go:12: want 3 widgets, got <2> & more");
  expect(await isInView(page, `[id="L${line}"]`)).toBe(true);
  expect(await markedLines(page)).toEqual([line]);
  expect(await page.title()).toBe("e2e: failed · Seatrial");
  const text = await page.locator("main").innerText();
  expect(text).toContain("token: ***");
  expect(text).toContain("red alert");
  expect(text).not.toContain(secret);
});

test("a range of lines stands out, whole and alone; so does a line by its number alone", async (context) => {
  const page = await open(context, `/jobs/${job?.name}?line=${line - 4}-${line}#L${line - 4}-L${line}`);
  expect(await markedLines(page)).toEqual([4, 3, 2, 1, 0].map((before) => line - before));
  expect(await isInView(page, `[id="L${line - 4}-L${line}"]`)).toBe(true);
  await page.goto(`${server.url}/jobs/${job.name}#L30`);
  expect(await markedLines(page)).toEqual([30]);
  expect(await isInView(page, "#L30")).toBe(true);
});

test("from the list of runs to the run, its job, the failing test's line, a step's line, an artifact, the events", async (context) => {
  const page = await open(context, "/");
  await page.getByLabel("Search").fill("no such thing");
  await page.keyboard.press("Enter");
  await page.getByText("There are no runs that match").waitFor();
  await page.getByRole("link", { name: "Seatrial" }).click();
  await page.getByRole("link", { name: "ci", exact: true }).first().click();
  await page.getByRole("heading", { level: 1, name: "Running ci" }).waitFor();
  await page.getByRole("link", { name: "e2e", exact: true }).click();
  await page.getByRole("heading", { level: 1, name: "failed e2e" }).waitFor();

  await page.getByRole("link", { name: "s TestWidget" }).click();
  await page.waitForURL(`**#L${line}`);
  expect(await markedLines(page)).toEqual([line]);
  await page.getByRole("link", { name: "go test ./e2e" }).click();
  const first = job.attempts[0]!.steps[1]!.firstLine;
  await page.waitForURL(`**#L${first}`);
  expect(await isInView(page, `#L${first}`)).toBe(true);

  expect(await page.getByRole("row", { name: /Sinking/ }).innerText()).toMatch(/Warning\s+Sinking\s+Pod\/default\/boat\s+the boat <leaks>/);
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "junit.xml" }).click();
  expect(await readFile(await (await download).path(), "utf8")).toContain('<testcase classname="s" name="TestWidget"');
  expect(await page.getByRole("link", { name: "clusters/cluster/events.txt" }).count()).toBe(1);
});

test(`the page of a log with ${manyLines} lines opens within 2 s, at its end and in its middle`, async (context) => {
  const page = await open(context, "/");
  const many = await server.jobEnded(run, "many");
  const path = `/jobs/${many.name}`;
  for (const [at, shown] of [
    ["", manyLines],
    ["?line=50000#L50000", 50_000],
  ] as const) {
    const times: number[] = [];
    for (const _visit of [1, 2, 3]) {
      await page.goto("about:blank");
      const startedAt = performance.now();
      await page.goto(server.url + path + at);
      times.push(performance.now() - startedAt);
    }
    expect(await page.getByText(`${shown} of many lines`).count()).toBe(1);
    expect(Math.min(...times), `${path + at}: ${times.map(Math.round).join(", ")} ms`).toBeLessThanOrEqual(2_000);
  }
  expect(await markedLines(page)).toEqual([50_000]);
  expect(await isInView(page, "#L50000")).toBe(true);
  await page.getByRole("link", { name: /earlier lines/ }).click();
  await page.getByText("45001 of many lines").waitFor();
});

test("lines come while the page is open, and then its verdict", async (context) => {
  const page = await open(context, "/");
  await server.logSays(run, "live", "begun");
  const live = (await server.job(run, "live"))!;
  await page.goto(`${server.url}/jobs/${live.name}`, { waitUntil: "commit" });
  await page.getByText("begun", { exact: true }).waitFor();
  expect(await page.getByText("<b>later</b>", { exact: true }).count()).toBe(0);
  await writeFile(goOn, "");
  await page.getByText("<b>later</b>", { exact: true }).waitFor();
  await page.waitForLoadState("load");
  await server.jobEnded(run, "live");
  await page.reload();
  expect(await page.getByRole("heading", { level: 1 }).innerText()).toMatch(/passed live$/);
  expect((await server.ended(run)).run.verdict).toBe("failed");
  await server.clean();
});

for (const colorScheme of ["light", "dark"] as const)
  test(`all text can be read, on a wide and on a narrow screen: ${colorScheme}`, async (context) => {
    const page = await open(context, "/", { colorScheme });
    for (const width of [1280, 360]) {
      await page.setViewportSize({ width, height: 800 });
      for (const path of ["/", `/runs/${run}`, `/jobs/${job.name}`, `/jobs/${job.name}?line=100-110#L100-L110`]) {
        await page.goto(server.url + path);
        expect(await faintTexts(page), path).toEqual([]);
        const wide = await page.evaluate<number>("document.documentElement.scrollWidth");
        expect(wide, `${path} is no wider than the screen`).toBeLessThanOrEqual(width);
      }
    }
  });

test("the keyboard leads to all that can be followed, in order, and shows where it is", async (context) => {
  const page = await open(context, `/jobs/${job?.name}`);
  const { stops, unseen } = await tabStops(page, 14);
  expect(unseen).toEqual([]);
  const expected = ["Seatrial", /project/, "ci", "s TestWidget", "actions/checkout@v4", "go test ./e2e", /^Artifacts/];
  for (const [index, stop] of expected.entries()) expect(stops[index]).toMatch(stop);
  await page.getByRole("link", { name: "s TestWidget" }).focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(`**#L${line}`);
  expect(await markedLines(page)).toEqual([line]);
});
