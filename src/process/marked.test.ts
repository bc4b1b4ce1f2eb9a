import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { expect, onTestFinished, test } from "vitest";
import { waitFor } from "../base/wait.ts";
import { lifeOf } from "./identity.ts";
import { endMarked, processesMarked, runMark } from "./marked.ts";

function start(command: string, args: string[], env: Record<string, string>, detached = false): ChildProcess {
  const child = spawn(command, args, { env: { PATH: process.env["PATH"], ...env }, detached, stdio: "ignore" });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

async function marked(name: string, value: string, count: number) {
  const look = () => {
    // Between fork and exec a child is still its parent's program, and for an instant it has no arguments.
    const found = processesMarked(name, value).filter(({ program, args }) => program === "sleep" && args.length > 0);
    return found.length === count ? found : undefined;
  };
  return await waitFor("the processes", look, { timeoutMs: 5_000, pollMs: 20 });
}

test("a process is found by the mark, with its command, in a session of its own too, and its children with it", async () => {
  const uid = randomUUID();
  start("sh", ["-c", "sleep 60 & exec sleep 61"], { MARK: uid }, true);
  const found = await marked("MARK", uid, 2);
  expect(found.map(({ args }) => args[0]).toSorted((a, b) => Number(a) - Number(b))).toEqual(["60", "61"]);
  expect(found.every(({ identity }) => lifeOf(identity) === "alive")).toBe(true);
  for (const { identity } of found) process.kill(identity.pid, "SIGKILL");
});

test("a value that only begins with the mark's, or another name, is somebody else", async () => {
  const uid = randomUUID();
  start("sleep", ["60"], { MARK: `${uid}-more` });
  start("sleep", ["60"], { OTHER: uid });
  start("sleep", ["60", `MARK=${uid}`], {}).on("error", () => {});
  await marked("OTHER", uid, 1);
  expect(processesMarked("MARK", uid)).toEqual([]);
});

test("ended are all of one run and none of another", async () => {
  const [mine, other] = [randomUUID(), randomUUID()];
  const stubborn = start("sh", ["-c", "trap '' TERM; while :; do sleep 0.1; done"], { [runMark]: mine });
  const bystander = start("sleep", ["60"], { [runMark]: other });
  await marked(runMark, other, 1);
  await waitFor("the shell", () => (processesMarked(runMark, mine).length > 0 ? true : undefined), { timeoutMs: 5_000, pollMs: 20 });
  const ended = once(stubborn, "exit");
  await endMarked(mine, "SIGKILL");
  await ended;
  expect(processesMarked(runMark, mine)).toEqual([]);
  await endMarked(randomUUID());
  expect(bystander.exitCode).toBeNull();
});
