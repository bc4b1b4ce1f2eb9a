import { expect, test } from "vitest";
import { parseContainerOptions, parseContainerPort, parseContainerVolume } from "./container-options.ts";

const none = { env: {}, aliases: [], ulimits: [], tmpfs: {}, capDrop: [] };

test.each([
  ["nothing", "  ", none],
  [
    "health as GitHub's documentation has it",
    '--health-cmd "redis-cli ping" --health-interval 10s --health-timeout 5s --health-retries 5 --health-start-period=1m30s',
    { ...none, health: { Test: ["CMD-SHELL", "redis-cli ping"], Interval: 10e9, Timeout: 5e9, Retries: 5, StartPeriod: 90e9 } },
  ],
  ["health in one word", "--health-cmd=pg_isready", { ...none, health: { Test: ["CMD-SHELL", "pg_isready"] } }],
  ["no health", "--no-healthcheck", { ...none, health: { Test: ["NONE"] } }],
  ["quotes", `-e 'A=b c' --env "D=\\"e\\"" -eF=g`, { ...none, env: { A: "b c", D: '"e"', F: "g" } }],
  ["sizes", "--memory 512m --shm-size=1.5g --cpus 1.5", { ...none, memoryBytes: 512 * 1024 ** 2, shmBytes: 1.5 * 1024 ** 3, cpus: 1.5 }],
  [
    "limits",
    "--ulimit nofile=10:20 --ulimit core=0",
    {
      ...none,
      ulimits: [
        { Name: "nofile", Soft: 10, Hard: 20 },
        { Name: "core", Soft: 0, Hard: 0 },
      ],
    },
  ],
  [
    "user and places",
    "-u 1001:1001 -w /src --tmpfs /tmp:size=1m --cap-drop ALL",
    { ...none, user: "1001:1001", workdir: "/src", tmpfs: { "/tmp": "size=1m" }, capDrop: ["ALL"] },
  ],
  [
    "of services",
    "--hostname db --network-alias db2 --init --read-only",
    { ...none, hostname: "db", aliases: ["db2"], hasInit: true, isReadOnly: true },
  ],
])("options: %s", (_name, text, expected) => {
  expect(parseContainerOptions(text, "service")).toEqual(expected);
});

test.each([
  ["privileged", "--privileged", "--privileged is refused: it would give the job a part of its host"],
  ["behind others", "--cpus 1 --cap-add=SYS_ADMIN", "--cap-add is refused"],
  ["a device", "--device /dev/kvm", "--device is refused"],
  ["security", "--security-opt seccomp=unconfined", "--security-opt is refused"],
  ["the host's processes", "--pid=host", "--pid is refused"],
  ["a network", "--network host", "--network is refused: a job has its own network"],
  ["a volume", "-v /:/host", "-v is refused: write it under `volumes`"],
  ["a port", "-p 80:80", "-p is refused: write it under `ports`"],
  ["one that nobody knows", "--frobnicate", "--frobnicate is not supported"],
  ["a word", "redis", '"redis" is no option'],
  ["no value", "--health-cmd", "--health-cmd lacks its value"],
  ["no duration", "--health-interval soon", '--health-interval must be a duration of at least 1ms, as in 10s, and is "soon"'],
  ["an open quote", '--health-cmd "a', 'a " is not closed'],
  ["a prototype's", "--constructor x", "--constructor is not supported"],
])("options refused: %s", (_name, text, message) => {
  expect(() => parseContainerOptions(text, "service")).toThrow(message);
});

test("the job's container has the name of its runner", () => {
  expect(() => parseContainerOptions("--hostname x", "job")).toThrow("--hostname is of services alone");
});

test.each([
  ["80", { job: 0, container: 80 }],
  ["8080:80", { job: 8080, container: 80 }],
  ["8080:80/tcp", { job: 8080, container: 80 }],
])("port %s", (text, expected) => {
  expect(parseContainerPort(text)).toEqual(expected);
});

test.each([
  ["80/udp", "udp is not supported"],
  ["127.0.0.1:80:80", "must be CONTAINER or JOB:CONTAINER"],
  ["0", "is not from 1 to 65535"],
  ["70000:80", "is not from 1 to 65535"],
])("port refused: %s", (text, message) => {
  expect(() => parseContainerPort(text)).toThrow(message);
});

test.each([
  ["/data", { path: "/data", isReadOnly: false }],
  ["cache:/var/cache:ro", { name: "cache", path: "/var/cache", isReadOnly: true }],
])("volume %s", (text, expected) => {
  expect(parseContainerVolume(text)).toEqual(expected);
});

test.each([
  ["/etc:/host", "is refused: it is a folder of the host"],
  ["./x:/host", "is refused: it is a folder of the host"],
  ["/var/run/docker.sock:/var/run/docker.sock", "is refused: it is a folder of the host"],
  ["cache:data", "must name a path that begins with /"],
  ["x:/seatrial/attempt", "is not to be covered"],
  ["a:/b:ro:z", "must be NAME:/PATH or /PATH"],
])("volume refused: %s", (text, message) => {
  expect(() => parseContainerVolume(text)).toThrow(message);
});
