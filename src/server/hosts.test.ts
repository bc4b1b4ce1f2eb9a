/** Which hosts jobs come to, and which are only kept in reach. Docker hosts are stand-ins: what is asked of them is what counts. */
import { setImmediate as turn } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import type { Place } from "../controllers/job-run/schedule.ts";
import type { OpenDocker, Workspace } from "../controllers/workspace.ts";
import type { DeclaredHost } from "./hosts.ts";
import { Hosts } from "./hosts.ts";

const local = "unix:///docker.sock";

interface Made {
  HostConfig: { Memory: number; PidsLimit: number };
}

/** Docker hosts by their endpoints, and what of ours is there. */
class World {
  readonly containers = new Map<string, string[]>();
  readonly doors = new Set<string>();
  /** What was asked for. */
  readonly made: Made[] = [];
  declared: DeclaredHost[] = [];
  inUse: Place[] = [];
  /** Endpoints that answer. */
  answering = new Set([local, "ssh://old", "ssh://new"]);

  open(doorKey = "server"): Hosts {
    const hosts = new Hosts({
      workspace: this.#workspace(),
      declared: async () => await Promise.resolve(this.declared),
      executor: "docker",
      ownershipOf: (attempt) => ({ instance: "i", owner: { attempt }, notAfter: new Date() }),
      doorKey,
      kubectl: async () => await Promise.resolve(undefined),
    });
    hosts.open({ server: "http://127.0.0.1:1", bundle: import.meta.filename, attemptsDir: "" });
    onTestFinished(async () => await hosts[Symbol.asyncDispose]());
    return hosts;
  }

  #workspace(): Workspace {
    const others = new Map<string, OpenDocker>();
    const docker = async (endpoint: string) => {
      await Promise.resolve();
      let opened = others.get(endpoint);
      if (!opened) others.set(endpoint, (opened = this.#docker(endpoint)));
      return opened;
    };
    return {
      environment: { variables: {} },
      output: { err: () => {} },
      instance: async () => await Promise.resolve("i"),
      onHost: async (endpoint = local) => await Promise.resolve({ endpoint, docker: async () => await docker(endpoint) }),
    } as unknown as Workspace;
  }

  #docker(endpoint: string): OpenDocker {
    const answer = async <T>(value: T) => {
      await turn();
      if (!this.answering.has(endpoint)) throw new Error(`${endpoint} is silent`);
      return value;
    };
    return {
      address: endpoint,
      client: {
        version: async () => await answer({ Version: "1", Os: "linux", Arch: "amd64" }),
        info: async () => await answer({ NCPU: 2, MemTotal: 4 * 1024 ** 3 }),
        networks: async () => await answer([]),
        image: async (reference: string) => await answer({ Id: reference }),
        container: async () => await answer(undefined),
        createContainer: async (_name: string, body: unknown) => {
          this.made.push(body as Made);
          return await answer("id");
        },
        writeArchive: async () => {},
        startContainer: async () => {},
        containers: async () =>
          await answer(
            (this.containers.get(endpoint) ?? []).map((attempt) => ({
              Labels: { "seatrial.dev/runner": attempt, "seatrial.dev/owner": `job/${attempt}` },
            })),
          ),
      },
      host: {
        openDoor: async (name: string) => {
          const door = `${endpoint} ${name}`;
          this.doors.add(door);
          return await answer({
            directory: door,
            mend: async () => {},
            close: async (isLast: boolean) => void (await Promise.resolve(isLast && this.doors.delete(door))),
          });
        },
      },
    } as unknown as OpenDocker;
  }
}

const far = (endpoint: string): DeclaredHost => ({ name: "far", spec: { endpoint } });
const never = new AbortController().signal;

/** Asks all, and waits until those that answer have their executors. */
async function look(hosts: Hosts): Promise<void> {
  for (let i = 0; i < 2; i++) {
    await hosts.look(never);
    for (let turns = 0; turns < 50; turns++) await turn();
  }
}

test.each<[string, DeclaredHost[]]>([
  ["taken away", []],
  ["reached in another way", [far("ssh://new")]],
])("a host that is %s gets no jobs, and those that it has are reached until nothing of them is left", async (_, declared) => {
  const world = new World();
  world.declared = [far("ssh://old")];
  const hosts = world.open();
  await look(hosts);
  expect(hosts.views().map(({ name, endpoint }) => [name, endpoint])).toEqual([
    ["local", local],
    ["far", "ssh://old"],
  ]);
  const place = { host: "far", endpoint: "ssh://old" };
  world.inUse = [place];
  world.containers.set("ssh://old", ["a-1"]);
  hosts.keepInReach(() => world.inUse);

  world.declared = declared;
  await look(hosts);
  expect(hosts.views().map(({ name, endpoint }) => [name, endpoint])).toEqual([
    ["local", local],
    ...declared.map(({ name, spec }) => [name, spec.endpoint]),
  ]);
  expect(await hosts.executor("docker", place).list()).toEqual(["a-1"]);
  expect(await hosts.workspaceOf(place)).toMatchObject({ endpoint: "ssh://old" });
  expect([...world.doors].filter((door) => door.startsWith("ssh://old"))).toHaveLength(1);

  world.containers.clear();
  world.inUse = [];
  await look(hosts);
  expect(() => hosts.executor("docker", place)).toThrow("host far");
  expect(
    [...world.doors].filter((door) => door.startsWith("ssh://old")),
    "its door is gone",
  ).toEqual([]);
});

test("a server that is started anew reaches what runs on a host that was taken away, by the same door", async () => {
  const world = new World();
  world.declared = [far("ssh://old")];
  const before = world.open();
  await look(before);
  world.containers.set("ssh://old", ["a-1"]);
  await before[Symbol.asyncDispose]();
  const doors = [...world.doors];
  expect(doors).toHaveLength(1);

  world.declared = [];
  const hosts = world.open();
  const place = { host: "far", endpoint: "ssh://old" };
  await look(hosts);
  expect(() => hosts.executor("docker", place), "nobody knows of it yet").toThrow("host far is not declared");
  hosts.keepInReach(() => [place]);
  await look(hosts);
  expect(await hosts.executor("docker", place).list()).toEqual(["a-1"]);
  expect(hosts.views().map(({ name }) => name)).toEqual(["local"]);
  expect([...world.doors].filter((door) => door.startsWith("ssh://old"))).toEqual(doors);
});

test("a server and a command beside it have doors of their own: the end of one takes nothing from the other", async () => {
  const world = new World();
  await look(world.open());
  const [ofServer] = world.doors;
  const command = world.open("one-shot/run-1");
  await look(command);
  expect(world.doors.size).toBe(2);
  await command[Symbol.asyncDispose]();
  expect([...world.doors]).toEqual([ofServer]);
});

test("a local host whose endpoint is another after a restart is not taken for the one before", async () => {
  const world = new World();
  const hosts = world.open();
  await look(hosts);
  const place = { host: "local", endpoint: "ssh://old" };
  expect(() => hosts.executor("docker", place)).toThrow("host local is not declared");
  hosts.keepInReach(() => [place]);
  world.containers.set("ssh://old", ["a-1"]);
  await look(hosts);
  expect(await hosts.executor("docker", place).list()).toEqual(["a-1"]);
  expect(await hosts.executor("docker", { host: "local", endpoint: local }).list()).toEqual([]);
});

test("one that is silent is asked again, and nobody gets another in its place", async () => {
  const world = new World();
  world.answering.delete("ssh://old");
  const hosts = world.open();
  const place = { host: "far", endpoint: "ssh://old" };
  hosts.keepInReach(() => [place]);
  await look(hosts);
  expect(() => hosts.executor("docker", place)).toThrow("host far does not answer: ssh://old is silent");
  world.answering.add("ssh://old");
  await look(hosts);
  expect(await hosts.executor("docker", place).list()).toEqual([]);
});

test.each<[string, DeclaredHost[], boolean]>([
  ["by default", [far("ssh://old")], true],
  ["both", [{ name: "far", spec: { endpoint: "ssh://old", lanes: ["untrusted", "trusted"] } }], true],
  ["untrusted alone", [{ name: "far", spec: { endpoint: "ssh://old", lanes: ["untrusted"] } }], false],
  [
    "untrusted alone, and another name of it is for the trusted",
    [
      { name: "far", spec: { endpoint: "ssh://old", lanes: ["untrusted"] } },
      { name: "same", spec: { endpoint: "ssh://old" } },
    ],
    true,
  ],
  ["unknown: it is gone", [], true],
])("whether a host may have what is of the trusted lane: %s", async (_, declared, servesTrusted) => {
  const world = new World();
  world.declared = declared;
  const hosts = world.open();
  await look(hosts);
  expect(hosts.servesTrusted({ host: "far", endpoint: "ssh://old" })).toBe(servesTrusted);
});

const [GiB, MiB] = [1024 ** 3, 1024 ** 2];

test.each<[string, boolean, DeclaredHost["spec"], { Memory: number; PidsLimit: number }]>([
  ["by default", false, {}, { Memory: 3 * GiB, PidsLimit: 4096 }],
  ["as the Host says", false, { container: { memoryPercent: 50, processes: 100 } }, { Memory: 2 * GiB, PidsLimit: 100 }],
  ["where the change is not trusted, a fair share", true, {}, { Memory: 512 * MiB, PidsLimit: 4096 }],
  ["where it is not, and jobs are few", true, { capacity: { jobs: 1 } }, { Memory: 3 * GiB, PidsLimit: 4096 }],
])("of a host with 4 GiB one container takes at most: %s", async (_, isIsolated, spec, bounds) => {
  const world = new World();
  world.declared = [{ name: "far", spec: { endpoint: "ssh://old" } }];
  const hosts = world.open();
  await look(hosts);
  // It need not be made anew when its Host is changed.
  world.declared = [{ name: "far", spec: { endpoint: "ssh://old", ...spec } }];
  await look(hosts);
  await hosts.executor("docker", { host: "far", endpoint: "ssh://old" }).start({ attempt: "a", token: "t", isIsolated });
  expect(world.made.map(({ HostConfig: { Memory, PidsLimit } }) => ({ Memory, PidsLimit }))).toEqual([bounds]);
});
