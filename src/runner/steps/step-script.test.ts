import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, onTestFinished, test } from "vitest";
import { scriptExtension, scriptText, stepScript } from "./step-script.ts";

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

  test.each([
    ["cmd", 'shell "cmd" is for Windows'],
    ["powershell", 'shell "powershell" is for Windows alone; use pwsh'],
    ["fish", 'shell "fish" is not known here: there are bash, sh, python, pwsh, or a command with {0}'],
  ])("%s", (shell, message) => {
    expect(() => stepScript({ workingDirectory: "/", variables: {}, shell, file: "/x" })).toThrow(message);
  });

  test("python, whatever it is called", async () => {
    expect(await execute("import sys; print(sys.version_info.major)", { shell: "python" })).toMatchObject({ code: 0, stdout: "3\n" });
  });

  test("pwsh: GitHub's template, the file's name, and a clear word where there is none", async () => {
    const folder = await mkdtemp(join(tmpdir(), "pwsh-"));
    onTestFinished(async () => await rm(folder, { recursive: true }));
    await writeFile(join(folder, "pwsh"), '#!/bin/sh\nprintf "%s|" "$@"\n', { mode: 0o755 });
    const text = stepScript({ workingDirectory: folder, variables: {}, shell: "pwsh", file: "/f/0.ps1" });
    const withPath = async (path: string) => await run("/bin/sh", ["-c", text], { env: { PATH: path } }).catch((error: unknown) => error);
    expect(await withPath(folder)).toMatchObject({ stdout: "-command|. '/f/0.ps1'|" });
    expect(await withPath("/nowhere")).toMatchObject({ code: 127, stderr: expect.stringMatching(/^shell pwsh: there is no pwsh where/) });
    expect(scriptExtension("pwsh")).toBe(".ps1");
    expect(scriptText("Write-Output 1", "pwsh").split("\n")).toEqual([
      "$ErrorActionPreference = 'stop'",
      "Write-Output 1",
      "if ((Test-Path -LiteralPath variable:\\LASTEXITCODE)) { exit $LASTEXITCODE }",
      "",
    ]);
  });

  test.each([
    [undefined, ".sh"],
    ["bash", ".sh"],
    ["sh", ".sh"],
    ["python", ".py"],
    ["perl {0}", ""],
  ])("the end of the name of a script's file: %s", (shell, extension) => {
    expect(scriptExtension(shell)).toBe(extension);
    expect(scriptText("text", shell)).toBe("text");
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
