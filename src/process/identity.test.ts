import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { currentProcess, formatIdentity, identityOf, lifeOf, parseIdentity } from "./identity.ts";

test("this process lives, and its identity is the same each time", () => {
  const me = currentProcess();
  expect(me.pid).toBe(process.pid);
  expect(lifeOf(me)).toBe("alive");
  expect(currentProcess()).toEqual(me);
  expect(parseIdentity(formatIdentity(me))).toEqual(me);
});

test("a process that ended is dead, also as a zombie, and has no identity any more", async () => {
  const child = spawn("sleep", ["60"]);
  const identity = identityOf(child.pid!)!;
  expect(lifeOf(identity)).toBe("alive");
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(lifeOf(identity)).toBe("dead");
  expect(identityOf(identity.pid)).toBeUndefined();
});

describe("who else can be judged from here", () => {
  const me = currentProcess();
  test.each([
    ["another that got the same pid", { ...me, startTime: "1" }, "dead"],
    ["a process from before the boot", { ...me, bootId: "another" }, "dead"],
    ["a process of another host", { ...me, hostId: "another" }, "unknown"],
    ["one of another host, whose pid runs here too", { ...me, hostId: "another", pid: 1 }, "unknown"],
  ])("%s", (_, identity, expected) => {
    expect(lifeOf(identity)).toBe(expected);
  });
});

test.each(["", "declared", "a/b/c", "a/b/c/d", "a/b/1/d/e", "a/b//d", "/b/1/d", "a/b/-1/d"])("%j is no identity", (text) => {
  expect(parseIdentity(text)).toBeUndefined();
});
