import { expect, test } from "vitest";
import type { FoundProgram, ProgramName } from "../programs/programs.ts";
import type { Check, Machine, Seen } from "./check.ts";
import { judgeProgram, judgeTool, type SeenTool, type ToolName, type ToolNeeds, type Ways } from "./programs.ts";

const found = (source: FoundProgram["source"], version?: string): Seen<FoundProgram> => ({
  value: { name: "kind", path: "/bin/kind", version, source, steps: [] },
});
const absent = { value: undefined };
const none: Ways = { site: undefined, hasGo: false };

test.each<[string, ProgramName, Seen<FoundProgram | undefined>, Ways, Partial<Check>]>([
  ["in PATH", "kind", found("path", "v0.33.0"), none, { state: "ok", found: "v0.33.0, in PATH: /bin/kind", needed: ["kind"] }],
  ["tells no version", "kwok", found("explicit"), none, { state: "ok", found: "unknown version, named by the environment: /bin/kind" }],
  [
    "can be downloaded",
    "etcd",
    absent,
    { site: "github.com", hasGo: true },
    {
      state: "warning",
      found: "not here yet: downloaded from github.com when it is first needed, about 1 minute",
      fix: "seatrial with bare -- true   # gets it now",
      needed: ["bare"],
    },
  ],
  [
    "can be built",
    "kube-apiserver",
    absent,
    { site: undefined, hasGo: true },
    {
      state: "warning",
      found: "not here yet: built with the Go toolchain when it is first needed, up to 9 minutes (its download site does not answer)",
      fix: "seatrial with bare -- true   # gets it now",
    },
  ],
  ["an optional one can be built", "kwok", absent, { site: undefined, hasGo: true }, { state: "warning" }],
  [
    "cannot be had",
    "kind",
    absent,
    none,
    {
      state: "missing",
      found: "not here; its download site does not answer, and there is no Go toolchain to build it",
      fix: "# install Go from https://go.dev/dl/, or set SEATRIAL_KIND to the path of kind",
      needed: ["kind"],
    },
  ],
  ["an optional one cannot be had", "kube-scheduler", absent, none, { state: "missing" }],
  [
    "the path that was given is none",
    "kwok",
    { trouble: "SEATRIAL_KWOK names /x", hint: "unset it" },
    none,
    { state: "missing", fix: "# unset it" },
  ],
  ["hangs", "etcd", { trouble: "no answer within 5 s" }, none, { state: "unknown", found: "no answer within 5 s" }],
])("program %s", (_, name, seen, ways, expected) => {
  expect(judgeProgram(name, seen, ways)).toMatchObject(expected);
  if (expected.state === "ok") expect(judgeProgram(name, seen, ways).fix).toBeUndefined();
});

test("what every provider can do without is not needed", () => {
  const optional: ProgramName[] = ["kubectl", "kube-controller-manager", "kube-scheduler", "kwok"];
  expect(optional.map((name) => judgeProgram(name, absent, none).needed)).toEqual([undefined, undefined, undefined, undefined]);
});

const machine: Machine = { platform: "linux", isRoot: false, hasSystemd: true, installer: "apt-get" };
const needs: ToolNeeds = { machine, isDockerBySsh: false, isProgramAbsent: false };

test.each<[string, ToolName, Seen<SeenTool | undefined>, Partial<ToolNeeds>, Partial<Check>]>([
  ["is there", "git", { value: { path: "/bin/git", version: "2.39.5" } }, {}, { state: "ok", found: "2.39.5, in PATH: /bin/git" }],
  [
    "docker",
    "docker-cli",
    absent,
    {},
    { state: "missing", needed: ["kind"], fix: "# install it: https://docs.docker.com/engine/install/" },
  ],
  ["git", "git", absent, {}, { state: "missing", fix: "sudo apt-get install -y git" }],
  ["git on macOS", "git", absent, { machine: { ...machine, installer: "brew" } }, { fix: "brew install git" }],
  ["git as root", "git", absent, { machine: { ...machine, isRoot: true, installer: "apk" } }, { fix: "apk add git" }],
  [
    "git without packages",
    "git",
    absent,
    { machine: { ...machine, installer: undefined } },
    { fix: "# install it with the packages of your system" },
  ],
  ["ssh that nobody needs", "ssh", absent, {}, { state: "ok", found: "not here; only a Docker host by ssh:// needs it" }],
  ["ssh", "ssh", absent, { isDockerBySsh: true }, { state: "missing", needed: ["kind"], fix: "sudo apt-get install -y openssh-client" }],
  ["Go with nothing to build", "go", absent, {}, { state: "ok", found: "not here; nothing has to be built" }],
  ["Go", "go", absent, { isProgramAbsent: true }, { state: "warning", fix: "# install it: https://go.dev/dl/" }],
])("tool: %s", (_, name, seen, more, expected) => {
  expect(judgeTool(name, seen, { ...needs, ...more })).toMatchObject(expected);
});
