/** Jobs in this process: the real loop of steps, and a server of the tests for what they ask of one. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { RunnerServer, type AttemptOnServer } from "../support/runner-server.ts";
import { waitFor } from "../../src/base/wait.ts";
import { createMask } from "../../src/logs/masking.ts";
import type { StepSpec } from "../../src/resources/job-run.ts";
import { Job, type JobEnd } from "../../src/runner/job.ts";
import { JobLog } from "../../src/runner/job-log.ts";
import { markStart } from "../../src/runner/steps/marked-output.ts";
import type { AssignmentMessage, StepReport } from "../../src/runner/protocol.ts";
import { ServerLink } from "../../src/runner/server-link.ts";
import { StepLoop } from "../../src/runner/steps/step-loop.ts";

interface Opened {
  attempt: AttemptOnServer;
  folder: string;
  /** Writes files of the workspace. */
  write(files: Readonly<Record<string, string>>): void;
  /** Makes an action of a repository be there. */
  addAction(uses: string, files: Readonly<Record<string, string>>, notice?: string): void;
  run(steps: StepSpec[], more?: Partial<AssignmentMessage>): Promise<Ended>;
  job: () => Job;
  log: () => string;
}

interface Ended {
  end: JobEnd;
  log: string;
  steps: StepReport[];
  annotations: string[];
  /** Its steps, each with how it ended. */
  shown: string[];
}

async function open(): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), "job-"));
  const server = await RunnerServer.start();
  const attempt = server.add({});
  const names = ["steps", "workspace", "temp", "tools", "artifacts", "actions"] as const;
  for (const name of names) mkdirSync(join(folder, name));
  const folders = Object.fromEntries(names.map((name) => [name, join(folder, name)])) as Record<(typeof names)[number], string>;
  const chunks: Buffer[] = [];
  const steps = new Map<number, StepReport>();
  const annotations: string[] = [];
  const mask = createMask(["s3cret-value"]);
  let job: Job;
  const log = new JobLog({
    mask,
    store: {
      get end() {
        return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
      },
      append: (bytes) => void chunks.push(Buffer.from(bytes)),
    },
    onCommand: (line, logLine) => job.onCommand(line, logLine),
    onBroken: (error) => {
      throw error;
    },
  });
  const inherited = { PATH: process.env["PATH"], HOME: folder };
  const link = new ServerLink({ server: server.url, attempt: attempt.uid, token: attempt.token, random: () => 0 });
  const loop = await StepLoop.start({
    attempt: attempt.uid,
    directory: folders.steps,
    env: inherited,
    mark: `${markStart}${attempt.uid}`,
    onOutput: (bytes) => {
      log.write(bytes);
      return true;
    },
  });
  onTestFinished(async () => {
    await loop.end();
    await link.close();
    await server.stop();
    rmSync(folder, { recursive: true });
  });
  const said = () => Buffer.concat(chunks).toString("utf8").replaceAll(folder, "FOLDER");
  return {
    attempt,
    folder,
    write: (files) => writeAll(folders.workspace, files),
    addAction: (uses, files, notice) => {
      const archive = archiveOf(files);
      attempt.actions.set(uses, { archive, commit: "c".repeat(40), ...(notice === undefined ? {} : { notice }) });
    },
    job: () => job,
    log: said,
    run: async (list, more = {}) => {
      job = new Job({
        assignment: { ...attempt.assignment, ...more, steps: list },
        folders,
        loop,
        link,
        log,
        mask,
        masking: undefined,
        node: process.execPath,
        inherited,
        given: { CI: "true" },
        now: () => new Date(),
        onStep: (report) => steps.set(report.index, report),
        onAnnotation: ({ level, message, step }) => annotations.push(`${step} ${level}: ${message}`) > 0,
      });
      const end = await job.run();
      const all = [...steps.values()].toSorted((a, b) => a.index - b.index);
      return { end, log: said(), steps: all, annotations, shown: all.map(({ name, verdict }) => `${name}: ${verdict}`) };
    },
  };
}

function writeAll(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    if (text.startsWith("-> ")) symlinkSync(text.slice(3), join(folder, path));
    else writeFileSync(join(folder, path), text);
    if (text.startsWith("#!")) chmodSync(join(folder, path), 0o755);
  }
}

/** As the server makes it. */
function archiveOf(files: Readonly<Record<string, string>>): Buffer {
  const folder = mkdtempSync(join(tmpdir(), "archive-"));
  try {
    mkdirSync(join(folder, "tree"));
    writeAll(join(folder, "tree"), files);
    return execFileSync("tar", ["-c", "-P", "-f", "-", "--format=pax", ...Object.keys(files)], { cwd: join(folder, "tree") });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Says which phase it is, and what it sees. */
const speaker = (phase: string) =>
  `const fs = require("node:fs");
   console.log("${phase}", process.env.INPUT_WHO ?? "-", process.env["INPUT_WITH-DASH"] ?? "-", process.env.STATE_token ?? "-", __filename.split("/").pop());
   fs.appendFileSync(process.env.GITHUB_STATE, "token=${phase}\\n");
   fs.appendFileSync(process.env.GITHUB_OUTPUT, "said=${phase}\\n");
   if (process.env.INPUT_FAIL === "${phase}") process.exit(7);`;

const javaScript = {
  "action.yml": `name: speaker
inputs: {who: {default: nobody}, with-dash: {default: dashed}, fail: {}}
runs: {using: node24, pre: pre.js, main: dist/main.js, post: post.js, post-if: "!cancelled()"}`,
  "pre.js": speaker("pre"),
  "dist/main.js": speaker("main"),
  "post.js": speaker("post"),
};

describe("JavaScript actions", () => {
  test("pre, main and post in GitHub's order, with inputs and state; their posts in reverse", async () => {
    const { run, addAction } = await open();
    addAction("o/speaker@v1", javaScript, "tag v1 of o/speaker has moved");
    const { end, log, shown } = await run([
      { run: "echo first" },
      { id: "a", uses: "o/speaker@v1", with: { WHO: " ann ", "with-dash": "x y" } },
      { uses: "o/speaker@v1", with: { who: "${{ steps.a.outputs.said }}" } },
      { run: "echo last ${{ steps.a.outputs.said }} ${GITHUB_ACTION_PATH-unset}" },
    ]);
    expect(end).toEqual({ verdict: "passed", outputs: {} });
    expect(shown).toEqual(
      [
        "Pre Run o/speaker@v1: passed",
        "Pre Run o/speaker@v1: passed",
        "Run echo first: passed",
        "Run o/speaker@v1: passed",
        "Run o/speaker@v1: passed",
        "Run echo last main unset: passed".replace("main", "${{ steps.a.outputs.said }}").replace("unset", "${GITHUB_ACTION_PATH-unset}"),
        "Post Run o/speaker@v1: passed",
        "Post Run o/speaker@v1: passed",
      ].map((line) => line.replace("${{ steps.a.outputs.said }}", "main")),
    );
    const spoken = log.split("\n").filter((line) => /^(pre|main|post|first|last) ?/.test(line));
    expect(spoken).toEqual([
      "pre ann x y - pre.js",
      "pre  dashed - pre.js",
      "first",
      "main ann x y pre main.js",
      "main main dashed pre main.js",
      "last main unset",
      "post main dashed main post.js",
      "post ann x y main post.js",
    ]);
    expect(log).toContain(`» action o/speaker@v1 is commit ${"c".repeat(40)}\n» tag v1 of o/speaker has moved\n`);
    // One archive, however often it is used.
    expect(log.match(/is commit/g)).toHaveLength(1);
  });
});

describe("when the job is ended", () => {
  const slow = {
    "action.yml": "runs: {using: node24, main: main.js, post: post.js}",
    "post.js": 'console.log("cleaned", process.env.STATE_made);',
  };
  const main = `require("node:fs").appendFileSync(process.env.GITHUB_STATE, "made=thing\\n"); console.log("begun");`;

  test("the action that runs is ended, its post still runs, and so does always() in a composite action", async () => {
    const { run, job, log, addAction, write } = await open();
    addAction("o/slow@v1", { ...slow, "main.js": `${main} setInterval(() => {}, 1000);` });
    write({
      "c/action.yml":
        "runs: {using: composite, steps: [{uses: o/slow@v1}, {run: echo never, shell: sh}, {if: always(), run: 'echo always ${{ job.status }}', shell: sh}]}",
    });
    const running = run([{ uses: "./c" }, { run: "echo never" }, { if: "cancelled()", run: "echo told" }]);
    await waitFor("the action to begin", () => (log().includes("begun\n") ? true : undefined), { timeoutMs: 10_000, pollMs: 5 });
    job().end({ verdict: "aborted", reason: "somebody wanted that" });
    const { end, shown, log: said } = await running;
    expect(end).toMatchObject({ verdict: "aborted", message: "somebody wanted that" });
    expect(shown).toEqual(["Run ./c: aborted", "Run echo never: skipped", "Run echo told: passed", "Post Run ./c: passed"]);
    expect(said).toMatch(/always cancelled\n[^]*told\n[^]*cleaned thing\n/);
    expect(said).not.toMatch(/^never$/m);
  });

  test("at once: no post runs any more", async () => {
    const { run, job, log, addAction } = await open();
    addAction("o/slow@v1", { ...slow, "main.js": `${main} setInterval(() => {}, 1000);` });
    const running = run([{ uses: "o/slow@v1" }]);
    await waitFor("the action to begin", () => (log().includes("begun\n") ? true : undefined), { timeoutMs: 10_000, pollMs: 5 });
    job().stop();
    expect((await running).shown).toEqual(["Run o/slow@v1: aborted"]);
    expect(log()).not.toContain("cleaned");
  });

  test("a post that fails fails the job, and the others still run", async () => {
    const { run, addAction } = await open();
    addAction("o/speaker@v1", javaScript);
    addAction("o/slow@v1", { ...slow, "main.js": main, "post.js": "process.exit(9)" });
    const { end, shown } = await run([{ uses: "o/slow@v1" }, { uses: "o/speaker@v1" }]);
    expect(end).toMatchObject({ verdict: "failed", message: "Post Run o/slow@v1: exit code 9" });
    // The one with a pre phase began first.
    expect(shown.slice(-2)).toEqual(["Post Run o/slow@v1: failed", "Post Run o/speaker@v1: passed"]);
  });

  test("a post has the timeout of its step, and is forgiven with it", async () => {
    const { run, addAction } = await open();
    addAction("o/slow@v1", { ...slow, "main.js": main, "post.js": "setInterval(() => {}, 1000)" });
    const { end, steps } = await run([{ uses: "o/slow@v1", timeoutMinutes: "0.1", continueOnError: "true" }]);
    expect(end.verdict).toBe("passed");
    expect(steps.map(({ name, verdict, conclusion }) => `${name}: ${verdict} (${conclusion})`)).toEqual([
      "Run o/slow@v1: passed (passed)",
      "Post Run o/slow@v1: timed-out (passed)",
    ]);
  });

  test("a pre that fails keeps the steps from running; what it began is still cleaned up", async () => {
    const { run, addAction } = await open();
    addAction("o/speaker@v1", javaScript);
    const { end, shown } = await run([{ run: "echo never" }, { uses: "o/speaker@v1", with: { fail: "pre" } }]);
    expect(end).toMatchObject({ verdict: "failed", message: "Pre Run o/speaker@v1: exit code 7" });
    expect(shown).toEqual([
      "Pre Run o/speaker@v1: failed",
      "Run echo never: skipped",
      "Run o/speaker@v1: skipped",
      "Post Run o/speaker@v1: passed",
    ]);
  });
});

describe("what cannot be run", () => {
  test.each([
    { name: "an archive with a name that leads outside", files: { "../evil": "x" }, message: "the name" },
    { name: "a link that leads outside", files: { link: "-> ../../.." }, message: "link is a link to ../../.., outside of it" },
    { name: "a whole path as a link", files: { link: "-> /etc/passwd" }, message: "link is a link to /etc/passwd, outside of it" },
    {
      name: "links that lead outside together",
      files: { "p/here": "x", s: "-> .", "p/t": "-> ../s/.." },
      message: "p/t is a link to ../s/.., outside of it",
    },
  ])("$name", async ({ files, message }) => {
    const { run, addAction, folder } = await open();
    mkdirSync(join(folder, "outer"));
    addAction("o/a@v1", { "action.yml": "runs: {using: composite, steps: []}", ...files });
    const { end, shown } = await run([{ uses: "o/a@v1" }]);
    expect(shown).toEqual([]);
    expect(end).toMatchObject({ verdict: "error", cause: "invalid-workflow", message: expect.stringContaining(message) });
  });

  test("an archive that was cut", async () => {
    const { run, addAction, attempt } = await open();
    addAction("o/a@v1", javaScript);
    const action = attempt.actions.get("o/a@v1")!;
    action.archive = action.archive.subarray(0, 700);
    expect((await run([{ uses: "o/a@v1" }])).end).toMatchObject({
      verdict: "error",
      message: "actions: action o/a@v1: the archive cannot be unpacked: it was cut",
    });
  });

  test("links inside of it, and names that are longer than a header, are unpacked as they are", async () => {
    const { run, addAction } = await open();
    const long = `${"deep/".repeat(40)}${"n".repeat(120)}.js`;
    addAction("o/a@v1", {
      "action.yml": "runs: {using: node24, main: main.js}",
      "main.js": `-> ${long}`,
      [long]: 'console.log("from afar");',
      nowhere: "-> gone",
    });
    const { end, log } = await run([{ uses: "o/a@v1" }]);
    expect(end.verdict).toBe("passed");
    expect(log).toContain("from afar\n");
  });
});
