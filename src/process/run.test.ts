import { describe, expect, test } from "vitest";
import { limits } from "../base/limits.ts";
import { CommandFailedError, pasteable, run } from "./run.ts";

const env = { PATH: process.env["PATH"] };
const sh = async (script: string, options: Partial<Parameters<typeof run>[2]> = {}) => await run("sh", ["-c", script], { env, ...options });

describe("a program that ends well", () => {
  test("its output without the last line break, and its input", async () => {
    expect(await sh("cat; echo err >&2", { input: "in\n\n" })).toEqual({ stdout: "in\n", stderr: "err", exitCode: 0 });
  });

  test("it inherits nothing", async () => {
    expect((await run("/usr/bin/env", [], { env: { ONLY: "this", NOT: undefined } })).stdout).toBe("ONLY=this");
  });

  test("without input its stdin is empty", async () => {
    expect((await sh("cat")).stdout).toBe("");
  });

  test("each line as it comes, of both streams", async () => {
    const lines: string[] = [];
    await sh("echo one; sleep 0.05; echo two >&2; sleep 0.05; printf three", { onLine: (line) => lines.push(line) });
    expect(lines).toEqual(["one", "two", "three"]);
  });

  test("codes that are answers", async () => {
    expect((await sh("exit 3", { okCodes: [0, 3] })).exitCode).toBe(3);
  });
});

describe("a program that fails", () => {
  test("is shown to be pasted, with its code and last lines", async () => {
    const error = await sh("echo it\\'s; for i in $(seq 30); do echo line $i >&2; done; exit 7", { hint: "do that" }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(CommandFailedError);
    const { message, exitCode, hint, stdout, code } = error as CommandFailedError;
    expect({ exitCode, hint, stdout, code }).toEqual({ exitCode: 7, hint: "do that", stdout: "it's", code: "command-failed" });
    expect(message.split("\n")[1]).toBe("  ended with exit code 7");
    expect(message.split("\n").filter((line) => line.startsWith("  | "))).toHaveLength(limits.errorTailLines);
    expect(message).toMatch(/\| line 30$/);
  });

  test("what it printed is shown where it complained of nothing", async () => {
    await expect(sh("echo the reason; exit 1")).rejects.toThrow(/\| the reason$/);
  });

  test("ended by a signal", async () => {
    await expect(sh("kill -9 $$")).rejects.toThrow(/was ended by SIGKILL/);
  });

  test("not there", async () => {
    await expect(run("no-such-program", [], { env })).rejects.toMatchObject({
      code: "missing-program",
      hint: expect.stringContaining("seatrial doctor"),
    });
  });

  test("too late", async () => {
    await expect(run("sleep", ["60"], { env, timeoutMs: 50 })).rejects.toMatchObject({
      code: "timeout",
      message: expect.stringContaining("was stopped after 0.05 s"),
    });
  });

  test("stopped by the signal: the signal's reason", async () => {
    const reason = new Error("the user has had enough");
    const abort = new AbortController();
    setTimeout(() => abort.abort(reason), 50);
    await expect(run("sleep", ["60"], { env, signal: abort.signal })).rejects.toBe(reason);
  });
});

test.each([
  [["plain", "a=b", "./x.yaml", "user@host:1"], "plain a=b ./x.yaml user@host:1"],
  [["two words", "it's", "$HOME", ""], `'two words' 'it'\\''s' '$HOME' ''`],
])("pasteable %j", ([command, ...args], expected) => {
  expect(pasteable(command!, args)).toBe(expected);
});
