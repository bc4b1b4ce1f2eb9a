import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, onTestFinished, test } from "vitest";
import { stepScript } from "./step-script.ts";

const run = promisify(execFile);

/** Runs a script as the loop does: sourced by sh. */
async function execute(script: string, of: { shell?: string; variables?: Record<string, string>; workingDirectory?: string } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "script-"));
  onTestFinished(async () => await rm(folder, { recursive: true }));
  const file = join(folder, "it's.script");
  await writeFile(file, script);
  const text = stepScript({ workingDirectory: of.workingDirectory ?? folder, variables: of.variables ?? {}, shell: of.shell, file });
  await writeFile(join(folder, "0.sh"), text);
  return await run("sh", ["-c", ". ./0.sh"], { cwd: folder, env: { PATH: process.env["PATH"] } }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({ code: error.code, stdout: error.stdout, stderr: error.stderr }),
  );
}

describe("shells", () => {
  test.each([
    ["none", undefined, "false | true; echo on; false; echo not", { code: 1, stdout: "on\n" }],
    ["bash", "bash", "false | true; echo not", { code: 1, stdout: "" }],
    ["bash has no profile and is no login shell", "bash", "shopt -q login_shell || echo plain", { code: 0, stdout: "plain\n" }],
    ["sh", "sh", "echo $0 | grep -c bash; false; echo not", { code: 1, stdout: "0\n" }],
    ["a command of one's own", "sh -x {0}", "echo traced", { code: 0, stdout: "traced\n", stderr: "+ echo traced\n" }],
    ["a command with its own quotes", `sh -c 'echo "$1"; cat "$0"' {0} "two  words"`, "text", { code: 0, stdout: "two  words\ntext" }],
    ["one that is not there", "no-such-shell {0}", "", { code: 127 }],
  ])("%s", async (_, shell, script, expected) => {
    expect(await execute(script, shell === undefined ? {} : { shell })).toMatchObject(expected);
  });

  test("one that is not known", () => {
    expect(() => stepScript({ workingDirectory: "/", variables: {}, shell: "cmd", file: "/x" })).toThrow('shell "cmd" is not known here');
  });
});

test("values are passed as they are", async () => {
  const value = `it's "quoted" $HOME \`date\` \\n \n second line; rm -rf ${"x".repeat(1000)} ünï`;
  const ran = await execute('printf %s "$VALUE"', { variables: { VALUE: value, "not-a-name": "x", _OK1: "y" } });
  expect(ran.stdout).toBe(value);
});

test("a folder that is not there ends the step", async () => {
  expect(await execute("echo not", { workingDirectory: "/no/such folder" })).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringMatching(/no\/such folder/),
  });
});
