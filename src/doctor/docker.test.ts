import { expect, test } from "vitest";
import type { Check, Machine, Trouble } from "./check.ts";
import { judgeCgroup, judgeDocker, judgeNodeImage, type SeenDocker, type SeenEndpoint } from "./docker.ts";

const machine: Machine = { platform: "linux", isRoot: false, hasSystemd: true, installer: "apt-get" };
const mac: Machine = { ...machine, platform: "darwin", hasSystemd: false, installer: "brew" };
const usual: SeenEndpoint = { kind: "unix", address: "unix:///var/run/docker.sock", namedBy: undefined };
const docker: SeenDocker = {
  place: "here",
  version: "29.0.1",
  apiVersion: "1.52",
  operatingSystem: "Debian GNU/Linux 13",
  cgroupVersion: "2",
  isRootless: false,
  memoryBytes: 8 * 1024 ** 3,
  rootDir: "/var/lib/docker",
  nodeImages: [],
};

test.each<[string, SeenEndpoint, Partial<SeenDocker>, string]>([
  ["here", usual, {}, "29.0.1, API 1.52, on this machine, unix:///var/run/docker.sock (the usual socket)"],
  [
    "in a virtual machine",
    { ...usual, namedBy: { context: "desktop-linux" } },
    { place: "vm", operatingSystem: "Docker Desktop" },
    "29.0.1, API 1.52, in a virtual machine of this machine (Docker Desktop), unix:///var/run/docker.sock (context desktop-linux)",
  ],
  [
    "remote",
    { kind: "ssh", address: "ssh://ci@build", namedBy: { variable: "DOCKER_HOST" } },
    { place: "remote" },
    "29.0.1, API 1.52, remote (Debian GNU/Linux 13), ssh://ci@build (from DOCKER_HOST)",
  ],
  ["rootless", usual, { isRootless: true }, "29.0.1, API 1.52, on this machine, rootless, unix:///var/run/docker.sock (the usual socket)"],
])("Docker %s", (_, endpoint, more, found) => {
  expect(judgeDocker({ value: endpoint }, { value: { ...docker, ...more } }, { machine, hasCli: true })).toEqual({
    name: "docker",
    needed: ["kind"],
    state: "ok",
    found,
  });
});

const silent: Trouble = { trouble: "nothing listens there", code: "ECONNREFUSED" };

test.each<[string, Partial<SeenEndpoint>, Trouble, { machine: Machine; hasCli: boolean }, string]>([
  ["stopped", {}, silent, { machine, hasCli: true }, "sudo systemctl start docker"],
  [
    "stopped, no systemd, root",
    {},
    silent,
    { machine: { ...machine, hasSystemd: false, isRoot: true }, hasCli: true },
    "service docker start",
  ],
  ["not installed", {}, silent, { machine, hasCli: false }, "# install Docker: https://docs.docker.com/engine/install/"],
  ["stopped on macOS", {}, silent, { machine: mac, hasCli: true }, "open -a Docker"],
  [
    "not installed on macOS",
    {},
    silent,
    { machine: mac, hasCli: false },
    "# install Docker: https://docs.docker.com/desktop/setup/install/mac-install/",
  ],
  [
    "not this user's",
    {},
    { trouble: "no", code: "EACCES" },
    { machine, hasCli: true },
    'sudo usermod -aG docker "$USER"\n# and log in again',
  ],
  [
    "another one is named",
    { namedBy: { variable: "DOCKER_HOST" } },
    silent,
    { machine, hasCli: true },
    "unset DOCKER_HOST   # if this machine's own Docker is meant; else start that daemon",
  ],
  [
    "another context",
    { namedBy: { context: "lab" } },
    silent,
    { machine, hasCli: true },
    "docker context use default   # if this machine's own Docker is meant; else start that daemon",
  ],
  [
    "by ssh, with a hint",
    { kind: "ssh", address: "ssh://a@b" },
    { ...silent, hint: "is the host up?" },
    { machine, hasCli: true },
    "# is the host up?",
  ],
  [
    "by ssh, without",
    { kind: "ssh", address: "ssh://a@b" },
    silent,
    { machine, hasCli: true },
    "# docker must work on that host: ssh a@b docker version",
  ],
])("Docker that does not answer: %s", (_, endpoint, trouble, context, fix) => {
  expect(judgeDocker({ value: { ...usual, ...endpoint } }, trouble, context)).toMatchObject({
    state: "missing",
    found: trouble.trouble,
    fix,
  });
});

test("an address that cannot be used is told with its hint", () => {
  const bad = { trouble: 'DOCKER_HOST is "x"', hint: "write unix://" };
  expect(judgeDocker(bad, bad, { machine, hasCli: true })).toMatchObject({
    state: "missing",
    found: 'DOCKER_HOST is "x"',
    fix: "# write unix://",
  });
});

test.each<[string, Partial<SeenDocker>, string, Check["state"], string, string?]>([
  ["v2", {}, "v1.36.3", "ok", "v2"],
  ["v2, rootless", { isRootless: true }, "v1.36.3", "ok", "v2"],
  ["v1 with a Kubernetes that takes it", { cgroupVersion: "1" }, "v1.34.0", "ok", "v1"],
  ["v1", { cgroupVersion: "1" }, "v1.35.0", "warning", "do not start on it", "update-grub"],
  [
    "v1, remote",
    { cgroupVersion: "1", place: "remote" },
    "v1.36.3",
    "warning",
    "do not start on it",
    "# on that host: boot its kernel with",
  ],
  ["v1, virtual machine", { cgroupVersion: "1", place: "vm" }, "v1.36.3", "warning", "do not start on it", "# update Docker Desktop"],
  ["v1, rootless", { cgroupVersion: "1", isRootless: true }, "v1.34.0", "missing", "v1: nodes in a rootless Docker need v2", "update-grub"],
  ["not told", { cgroupVersion: undefined }, "v1.36.3", "unknown", "older than 20.10", "newer Docker"],
])("cgroup %s", (_, more, version, state, found, fix) => {
  const check = judgeCgroup({ value: { ...docker, ...more } }, version, machine);
  expect(check).toMatchObject({ state, needed: ["kind"] });
  expect(check.found).toContain(found);
  if (fix) expect(check.fix).toContain(fix);
  else expect(check.fix).toBeUndefined();
});

test.each<[string, string[], Check["state"], string]>([
  ["none", [], "warning", "none of v1.36 on the Docker host: pulled when it is first needed, about 1 GB"],
  [
    "of another version",
    ["kindest/node:v1.34.0"],
    "warning",
    "none of v1.36 on the Docker host; also kindest/node:v1.34.0: pulled when it is first needed, about 1 GB",
  ],
  [
    "several",
    ["offline/node:v1.35.4", "offline/node:v1.36.3", "kindest/node:v1.36.1"],
    "ok",
    "offline/node:v1.36.3; also kindest/node:v1.36.1, offline/node:v1.35.4",
  ],
])("node image: %s", (_, nodeImages, state, found) => {
  expect(judgeNodeImage({ value: { ...docker, nodeImages } }, "v1.36")).toMatchObject({ state, found });
});

test("without an answer nothing else is known", () => {
  expect(judgeCgroup(silent, "v1.36.3", machine)).toMatchObject({ state: "unknown", found: "Docker does not answer" });
  expect(judgeNodeImage(silent, "v1.36")).toMatchObject({ state: "unknown", found: "Docker does not answer" });
});
