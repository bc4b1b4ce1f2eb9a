import { expect, test } from "vitest";
import type { Check, Machine } from "./check.ts";
import { judgeCacheDisk, judgeDataDisk, judgeDockerDisk, judgeFolder, judgeInotify, judgeMemory, type Memory } from "./host.ts";

const machine: Machine = { platform: "linux", isRoot: false, hasSystemd: true, installer: "apt-get" };
const mb = 1024 ** 2;
const gb = 1024 ** 3;

test.each<[string, number, number, Check["state"], string, string?]>([
  ["enough", 512, 524_288, "ok", "512 instances, 524288 watches for each user"],
  [
    "few instances",
    128,
    1_048_576,
    "warning",
    "fs.inotify.max_user_instances is 128, less than 512: ",
    "fs.inotify.max_user_instances=512",
  ],
  [
    "few watches",
    8192,
    65_536,
    "warning",
    "fs.inotify.max_user_watches is 65536, less than 524288: ",
    "fs.inotify.max_user_watches=524288",
  ],
  [
    "few of both",
    128,
    8192,
    "warning",
    "is 128, less than 512; fs.inotify.max_user_watches is 8192",
    "fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=524288",
  ],
])("inotify: %s", (_, instances, watches, state, found, settings) => {
  const check = judgeInotify({ value: { instances, watches } }, machine);
  expect(check.state).toBe(state);
  expect(check.found).toContain(found);
  expect(check.fix).toBe(
    settings && `sudo sysctl -w ${settings}\nprintf '%s\\n' ${settings} | sudo tee /etc/sysctl.d/90-seatrial.conf   # and after a reboot`,
  );
});

test("inotify of another host", () => {
  expect(judgeInotify({ trouble: "cannot be seen from here" }, machine)).toEqual({
    name: "inotify",
    state: "unknown",
    found: "cannot be seen from here",
  });
});

const space = (freeBytes: number) => ({ value: { path: "/d", freeBytes } });

test.each<[string, Check, Check["state"], string]>([
  ["Docker, enough", judgeDockerDisk(space(61 * gb)), "ok", "61 GB free in /d"],
  ["Docker, low", judgeDockerDisk(space(5 * gb)), "warning", "5.0 GB free in /d, less than 10 GB: a node takes 1.3 GB"],
  ["Docker, not one node", judgeDockerDisk(space(1 * gb)), "missing", "1.0 GB free in /d, less than 2.0 GB: a node takes 1.3 GB"],
  ["Docker, elsewhere", judgeDockerDisk({ trouble: "cannot be seen from here" }), "unknown", "cannot be seen from here"],
  ["data, enough", judgeDataDisk(space(2 * gb)), "ok", "2.0 GB free in /d"],
  [
    "data, low",
    judgeDataDisk(space(500 * mb)),
    "warning",
    "500 MB free in /d, less than 1.0 GB: etcd of a bare cluster and the logs of failed boots are there",
  ],
  [
    "data, full",
    judgeDataDisk(space(0)),
    "missing",
    "0 MB free in /d, less than 256 MB: etcd of a bare cluster and the logs of failed boots are there",
  ],
  ["cache, all there", judgeCacheDisk(space(2 * gb), false), "ok", "2.0 GB free in /d"],
  [
    "cache, a build is to come",
    judgeCacheDisk(space(2 * gb), true),
    "warning",
    "2.0 GB free in /d, less than 16 GB: a build of Kubernetes takes 14 GB in Go's caches",
  ],
  [
    "cache, full",
    judgeCacheDisk(space(0), false),
    "warning",
    "0 MB free in /d, less than 1.0 GB: the programs of one Kubernetes version take 0.6 GB",
  ],
])("disk of %s", (_, check, state, found) => {
  expect(check).toMatchObject({ state, found });
  expect(check.fix === undefined).toBe(state === "ok" || state === "unknown");
});

const total = 16 * gb;

test.each<[string, Memory, Parameters<typeof judgeMemory>[1], Partial<Check>[]]>([
  [
    "Docker here",
    { totalBytes: total, availableBytes: 8 * gb },
    { place: "here", totalBytes: total },
    [{ name: "memory", state: "ok", found: "8.0 GB available: 20 kind or 25 bare clusters fit", needed: ["kind", "bare"] }],
  ],
  [
    "one kind cluster",
    { totalBytes: total, availableBytes: 700 * mb },
    { place: "here", totalBytes: total },
    [{ state: "warning", found: "700 MB available: 1 kind or 2 bare clusters fit" }],
  ],
  [
    "a bare one alone",
    { totalBytes: total, availableBytes: 350 * mb },
    { place: "here", totalBytes: total },
    [{ state: "missing", needed: ["kind"] }],
  ],
  [
    "nothing",
    { totalBytes: total, availableBytes: 100 * mb },
    { place: "here", totalBytes: total },
    [{ state: "missing", needed: ["kind", "bare"] }],
  ],
  [
    "no Docker",
    { totalBytes: total, availableBytes: 8 * gb },
    undefined,
    [{ name: "memory", state: "ok", found: "8.0 GB available: 25 bare clusters fit", needed: ["bare"] }],
  ],
  [
    "macOS",
    { totalBytes: total, availableBytes: undefined },
    { place: "vm", totalBytes: 2 * gb },
    [
      { name: "memory", state: "ok", found: "16 GB in all: 51 bare clusters fit", needed: ["bare"] },
      {
        name: "memory-docker",
        state: "ok",
        found: "2.0 GB in all on Docker's virtual machine: at most 5 kind clusters fit",
        needed: ["kind"],
      },
    ],
  ],
  [
    "a small remote host",
    { totalBytes: total, availableBytes: 8 * gb },
    { place: "remote", totalBytes: 500 * mb },
    [
      { name: "memory" },
      { name: "memory-docker", state: "warning", found: "500 MB in all on the Docker host: at most 1 kind clusters fit" },
    ],
  ],
])("memory: %s", (_, here, docker, expected) => {
  const checks = judgeMemory(here, docker);
  expect(checks).toHaveLength(expected.length);
  expect(checks).toMatchObject(expected);
});

test("folders", () => {
  expect(judgeFolder("data-folder", { path: "/d", trouble: undefined }, "SEATRIAL_HOME")).toMatchObject({
    state: "ok",
    found: "/d can be written",
  });
  expect(judgeFolder("data-folder", { path: "/d", trouble: "this user may not" }, "SEATRIAL_HOME")).toMatchObject({
    state: "missing",
    found: "/d cannot be written: this user may not",
    fix: "export SEATRIAL_HOME=/a/folder/of/yours",
    needed: ["kind", "bare"],
  });
});
