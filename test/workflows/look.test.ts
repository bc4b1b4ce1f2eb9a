/** Each thing that a case can expect is compared: with another in its place the case fails. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseCase } from "./case.ts";
import type { CaseRepository } from "./forge.ts";
import { lookAt } from "./look.ts";
import type { SeenRun, World } from "./world.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "st-look-"));
  await mkdir(join(folder, ".seatrial"));
  await writeFile(join(folder, ".seatrial", "ci.yml"), "on: push\njobs: {a: {steps: [{run: x}]}}\n");
});
afterAll(async () => await rm(folder, { recursive: true, force: true }));

const step = { state: "finished", verdict: "failed", conclusion: "passed", message: "exit code 3, it said", startedAt: "", firstLine: 1 };
const seen = {
  view: { run: { verdict: "failed", message: "failed: a (1)", workflow: { name: "ci" } } },
  jobs: [
    {
      view: {
        jobName: "a (1)",
        verdict: "failed",
        message: "Run x: exit code 3",
        attempts: [
          {
            steps: [
              { ...step, name: "Run x" },
              { ...step, name: "last" },
            ],
          },
        ],
      },
      log: ["first", "took 12 ms", "second"],
      outputs: { one: "1" },
      annotations: [{ level: "error", message: "bad" }],
      artifacts: ["b.txt", "a.txt"],
    },
  ],
} as unknown as SeenRun;

const right = {
  verdict: "failed",
  message: "failed: a",
  notices: [],
  jobs: {
    "a (1)": {
      verdict: "failed",
      message: "exit code 3",
      steps: [
        { name: "Run x", conclusion: "passed", outcome: "failed", message: "it said" },
        { conclusion: "passed", outcome: "failed" },
      ],
      outputs: { one: "1" },
      log: ["first", "/^took \\d+ ms$/", "second"],
      absent: ["third"],
      annotations: [{ level: "error", message: "bad" }],
      artifacts: ["a.txt", "b.txt"],
    },
  },
};
const job = right.jobs["a (1)"];
const [first, last] = job.steps;

test.each<[string, boolean, object | string]>([
  ["all as it is", true, right],
  ["no more than the verdicts", true, { verdict: "failed", jobs: { "a (1)": "failed" } }],
  ["no run", false, "no run"],
  ["a refusal", false, { problems: ["x"] }],
  ["another verdict of the run", false, { ...right, verdict: "passed" }],
  ["another message of the run", false, { ...right, message: "passed" }],
  ["a notice", false, { ...right, notices: ["x"] }],
  ["another workflow", false, { ...right, started: ["other"] }],
  ["no job", false, { ...right, jobs: {} }],
  ["a job more", false, { ...right, jobs: { ...right.jobs, b: "passed" } }],
  ["another verdict", false, of({ verdict: "error" })],
  ["another message", false, of({ message: "exit code 4" })],
  ["a step less", false, of({ steps: [first] })],
  ["a step more", false, of({ steps: [...job.steps, "passed"] })],
  ["another name of a step", false, of({ steps: [{ ...first, name: "Run y" }, last] })],
  ["another conclusion", false, of({ steps: [{ ...first, conclusion: "failed" }, last] })],
  ["another outcome", false, of({ steps: [first, "passed"] })],
  ["another message of a step", false, of({ steps: [{ ...first, message: "exit code 4" }, last] })],
  ["an output more", false, of({ outputs: { one: "1", two: "" } })],
  ["an output less", false, of({ outputs: {} })],
  ["a line that is not there", false, of({ log: ["first", "thir"] })],
  ["a part of a line", false, of({ log: ["firs"] })],
  ["lines in another order", false, of({ log: ["second", "first"] })],
  ["a line twice", false, of({ log: ["first", "first"] })],
  ["a pattern that matches nothing", false, of({ log: ["/^took ms$/"] })],
  ["an absent text that is there", false, of({ absent: ["third", "ook 1"] })],
  ["no annotation", false, of({ annotations: [] })],
  ["another annotation", false, of({ annotations: [{ level: "warning", message: "bad" }] })],
  ["an artifact less", false, of({ artifacts: ["a.txt"] })],
])("%s: %s", async (_name, isRight, expected) => {
  const { expect: read } = parseCase(JSON.stringify({ title: "x", docs: "x", expect: expected }), "case.yml");
  const world = { ended: async () => await Promise.resolve(seen) } as unknown as World;
  const look = await lookAt(world, { folder } as CaseRepository, ["run-1"], read);
  if (isRight) expect(look.seen).toEqual(look.expected);
  else expect(look.seen).not.toEqual(look.expected);
});

function of(change: object): object {
  return { ...right, jobs: { "a (1)": { ...job, ...change } } };
}
