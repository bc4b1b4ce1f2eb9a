/** Actions that are part of Seatrial, as a user of the command line has them. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openHome, seatrial } from "../support/e2e.ts";
import { commit } from "../support/repository.ts";

test("what jobs uploaded is listed and had, and a cache is there in the next run", async (context) => {
  const home = await openHome(context);
  await commit(home.cwd, {
    ".seatrial/ci.yml": `on: push
jobs:
  build:
    steps:
      - uses: actions/checkout@v5
      - uses: actions/cache@v4
        with: {path: kept, key: k}
      - run: if [ -e second-run ]; then grep "kept before" kept; else echo "kept before" > kept; fi
      - run: mkdir out && echo content > out/file && echo "### Done" >> "$GITHUB_STEP_SUMMARY"
      - uses: actions/upload-artifact@v4
        with: {name: result, path: out}
  use:
    needs: build
    steps:
      - uses: actions/download-artifact@v5
        with: {name: result}
      - run: test "$(cat file)" = content
`,
  });
  const ran = await seatrial(home, ["run", "--event", "push"]);
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
  const status = await seatrial(home, ["history", "-o", "json"]);
  expect(status, status.stderr).toMatchObject({ code: 0 });
  const [, run] = /"name": "([^"]+)"/.exec(status.stdout)!;
  const jobs = await seatrial(home, ["status", run!, "-o", "json"]);
  const [, job] = /"name": "([^"]*build[^"]*)"/.exec(jobs.stdout)!;
  const listed = await seatrial(home, ["artifacts", "list", job!]);
  expect(listed.stdout.trim().split(/\s+/)).toEqual(["9", "step-summaries/0004.md", "8", "uploads/result/file"]);
  const had = await seatrial(home, ["artifacts", "get", job!, "uploads/result/file", "--to", "had"]);
  expect(had, had.stderr).toMatchObject({ code: 0 });
  expect(await readFile(join(home.cwd, "had", "uploads", "result", "file"), "utf8")).toBe("content\n");

  await writeFile(join(home.cwd, "second-run"), "");
  const again = await seatrial(home, ["run", "--event", "push"]);
  expect(again, again.stderr).toMatchObject({ code: 0 });
});

test("folders of tools are those that this machine's environment names", async (context) => {
  const home = await openHome(context);
  const tools = join(home.directory, "tools", "node", "97.1.2", "x64", "bin");
  await mkdir(tools, { recursive: true });
  await writeFile(join(tools, "node"), "#!/bin/sh\necho v97.1.2\n", { mode: 0o755 });
  await commit(home.cwd, {
    ".seatrial/ci.yml": `on: push
jobs:
  a:
    steps:
      - uses: actions/setup-node@v4
        with: {node-version: 97.x}
      - run: test "$(node --version)" = v97.1.2
`,
  });
  const without = await seatrial(home, ["run", "--event", "push"]);
  expect(without.code).toBe(1);
  expect(without.stderr).toContain("there is no Node 97.x here");
  const ran = await seatrial(home, ["run", "--event", "push"], { env: { SEATRIAL_TOOLS: join(home.directory, "tools") } });
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
});
