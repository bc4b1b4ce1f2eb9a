import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { runNamed } from "../history/testdata/resources.ts";
import type { RunsOnRule } from "../workflows/runs-on.ts";
import { readUserRules, runsOnBy, userConfigPath } from "./runs-on.ts";

const hosts = {
  executorFor: (lane: string) => (lane === "untrusted" ? ("docker" as const) : ("host" as const)),
  digestOf: async (image: string) => await Promise.resolve(`${image.split(":")[0]}@sha256:new`),
};
const rules: RunsOnRule[] = [
  { labels: ["ci"], image: "ci:1", hosts: { labels: { pool: "ci" } } },
  { labels: ["here"], executor: "host" },
  { labels: ["boxed"], executor: "docker" },
  { labels: ["big", "arm64"], executor: "docker" },
  { labels: ["far"], hosts: { names: ["far"] } },
];

test.each<[string[], string | undefined, object]>([
  [["ci", "linux"], undefined, { executor: "docker", image: "ci@sha256:new", hosts: { labels: { pool: "ci" } } }],
  [["ci"], "ci@sha256:old", { executor: "docker", image: "ci@sha256:old", hosts: { labels: { pool: "ci" } } }],
  [["here"], undefined, { executor: "host" }],
  [["boxed"], "never@sha256:old", { executor: "docker" }],
  [["far"], undefined, { executor: "host", hosts: { names: ["far"] } }],
  [["ubuntu-latest"], undefined, { executor: "host" }],
  [["ubuntu-24.04-arm"], undefined, { executor: "host", architecture: "arm64" }],
  [["boxed", "X64"], undefined, { executor: "docker", architecture: "amd64" }],
  [["big", "ARM64"], undefined, { executor: "docker" }],
  [[], undefined, { executor: "host" }],
])("%j, with image %s before", async (labels, known, expected) => {
  expect(await runsOnBy(rules, hosts)(labels, runNamed("run-1"), known)).toEqual({ labels, ...expected });
});

test("a job of the untrusted lane gets what its labels say: a process of the server is refused where jobs are placed", async () => {
  const run = runNamed("run-1", { source: { lane: "untrusted" } });
  expect(await runsOnBy(rules, hosts)(["far"], run, undefined)).toMatchObject({ executor: "docker" });
  expect(await runsOnBy(rules, hosts)(["here"], run, undefined)).toMatchObject({ executor: "host" });
});

async function home(text?: string) {
  const homeDir = await mkdtemp(join(tmpdir(), "user-"));
  onTestFinished(async () => await rm(homeDir, { recursive: true, force: true }));
  const environment = { homeDir, variables: { XDG_CONFIG_HOME: "" } };
  const path = userConfigPath(environment);
  expect(path).toBe(join(homeDir, ".config", "seatrial", "config.yaml"));
  if (text !== undefined) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
  return environment;
}

test("a user without a configuration has no labels; one with it has its own", async () => {
  expect(await readUserRules(await home())).toEqual([]);
  expect(await readUserRules(await home(""))).toEqual([]);
  expect(await readUserRules(await home("runsOn: [{labels: [gpu], executor: host}]\n"))).toEqual([{ labels: ["gpu"], executor: "host" }]);
  expect(userConfigPath({ homeDir: "/home/me", variables: { XDG_CONFIG_HOME: "/etc/me" } })).toBe("/etc/me/seatrial/config.yaml");
});

test("a laptop has no other hosts to choose from", async () => {
  await expect(readUserRules(await home("runsOn: [{labels: [gpu], hosts: {names: [a]}}]\n"))).rejects.toMatchObject({
    code: "invalid",
    message: expect.stringContaining("config.yaml: runsOn[0].hosts: is not a known field"),
  });
});
