import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, rm, stat, symlink } from "node:fs/promises";
import { connect, createServer, type AddressInfo, type Server } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { environmentFrom } from "../base/environment.ts";
import type { DockerEndpoint } from "../docker/endpoint.ts";
import { type DockerHost, doorSocket } from "./docker-host.ts";
import { openDockerHost } from "./open.ts";

const unix: DockerEndpoint = { kind: "unix", name: "default", socketPath: "/run/d.sock" };
const remote: DockerEndpoint = { kind: "tcp", name: "default", host: "10.0.0.1", port: 2376, tls: { ca: "/c/ca.pem", skipVerify: false } };

let host: DockerHost | undefined;
const open = async (endpoint: DockerEndpoint, variables: Record<string, string> = {}) => {
  const environment = environmentFrom({ variables, homeDir: "/home", tempDir: "/tmp", uid: 1, cwd: "/" });
  host = await openDockerHost(endpoint, { environment, signal: AbortSignal.timeout(5_000) });
  return host;
};

let echo: Server;
let port: number;
beforeEach(async () => {
  echo = createServer((socket) => void socket.on("error", () => {}).pipe(socket)).listen(0, "127.0.0.1");
  await once(echo, "listening");
  port = (echo.address() as AddressInfo).port;
});
afterEach(async () => {
  await host?.close();
  await host?.close(); // Twice is allowed.
  echo.close();
});

describe("variables for the programs that we run", () => {
  const given = { DOCKER_HOST: "tcp://10.0.0.1:2376", DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: "/c", DOCKER_CONTEXT: "old" };
  test.each<[string, DockerEndpoint, Record<string, string>]>([
    ["a socket", unix, { DOCKER_HOST: "unix:///run/d.sock" }],
    ["tcp by variables", remote, { DOCKER_HOST: "tcp://10.0.0.1:2376", DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: "/c" }],
    ["tcp by a context", { ...remote, name: "lab" }, { DOCKER_CONTEXT: "lab" }],
  ])("%s", async (_, endpoint, expected) => {
    const { environment } = await open(endpoint, given);
    expect(Object.keys(environment).toSorted()).toEqual([
      "DOCKER_CERT_PATH",
      "DOCKER_CONTEXT",
      "DOCKER_HOST",
      "DOCKER_TLS",
      "DOCKER_TLS_VERIFY",
    ]);
    expect(Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined))).toEqual(expected);
  });
});

test.each<[string, boolean]>([
  ["localhost", true],
  ["127.0.0.1", true],
  ["::1", true],
  ["10.0.0.1", false],
  ["127.example.com", false],
])("tcp://%s is this machine: %s", async (name, isLocal) => {
  expect((await open({ kind: "tcp", name: "default", host: name, port: 1 })).isLocal).toBe(isLocal);
});

test("on this machine a port is its own forward; another one is opened only when it is wanted", async () => {
  const local = await open(unix);
  expect((await local.forward(port)).localPort).toBe(port);
  const free = await freePort();
  expect((await local.forward(port, { localPort: free })).localPort).toBe(free);
  expect(await say(free, "hello")).toBe("hello");
  await expect(local.forward(1, { localPort: port })).rejects.toMatchObject({
    code: "conflict",
    message: expect.stringContaining("taken"),
  });
});

test.each([0, 65_536, 1.5, Number.NaN])("%s is not a port", async (bad) => {
  await expect((await open(unix)).forward(bad)).rejects.toMatchObject({ code: "invalid" });
});

test("a remote tcp host forwards by the caller's dialler, or says what to do", async () => {
  const there = await open(remote);
  await expect(there.forward(port)).rejects.toMatchObject({ code: "unreachable", hint: expect.stringContaining("ssh://") });
  let dialled = 0;
  const dial = async () => (dialled++, connect({ host: "127.0.0.1", port, allowHalfOpen: true }));
  const forward = await there.forward(80, { dial });
  expect(forward.localPort).not.toBe(80);
  expect(await Promise.all(["a", "b"].map((word) => say(forward.localPort, word)))).toEqual(["a", "b"]);
  expect(dialled).toBe(2);
  await forward.close();
  await expect(say(forward.localPort, "c")).rejects.toThrow("ECONNREFUSED");
});

test("a dialler that fails resets the connection and is reported once", async () => {
  const lines: string[] = [];
  const environment = environmentFrom({ variables: {}, homeDir: "/home", tempDir: "/tmp", uid: 1, cwd: "/" });
  host = await openDockerHost(remote, { environment, signal: AbortSignal.timeout(5_000), onProgress: (line) => lines.push(line) });
  const forward = await host.forward(80, { dial: () => Promise.reject(new Error("no way")) });
  for (const word of ["a", "b"]) await expect(say(forward.localPort, word)).rejects.toThrow("ECONNRESET");
  expect(lines).toEqual(["no way"]);
});

describe("a door", () => {
  const openHere = async (doorsDir: string) => {
    const given = { variables: { XDG_RUNTIME_DIR: join(folder, "run") }, homeDir: "/home", tempDir: "/tmp", uid: 1, cwd: "/" };
    host = await openDockerHost(unix, { environment: { ...environmentFrom(given), doorsDir }, signal: AbortSignal.timeout(5_000) });
    return host;
  };
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp("/tmp/st-door-");
    onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  });

  test("is in a folder that no logout and no TMPDIR takes away, of a path that fits", () => {
    const variables = { XDG_RUNTIME_DIR: "/run/user/1000", TMPDIR: "/nix/shell" };
    const { doorsDir } = environmentFrom({ variables, homeDir: "/home", tempDir: "/nix/shell", uid: 4_294_967_294, cwd: "/" });
    expect(doorsDir).toBe("/tmp/seatrial-4294967294");
    expect(Buffer.byteLength(join(doorsDir, "door-0123456789ab", doorSocket))).toBeLessThan(104);
  });

  test("leads here for as long as it is open, and stays the same for the next process", async () => {
    const doors = join(folder, "doors");
    const door = await (await openHere(doors)).openDoor("door-1", port);
    await rm(join(folder, "run"), { recursive: true, force: true });
    const path = join(door.directory, doorSocket);
    expect(await say({ path }, "hello")).toBe("hello");
    expect((await stat(doors)).mode & 0o777).toBe(0o700);
    await door.close(false);
    await expect(say({ path }, "hello")).rejects.toThrow("ENOENT");
    const again = await host!.openDoor("door-1", port);
    expect(again.directory).toBe(door.directory);
    expect(await say({ path }, "again")).toBe("again");
    await again.close(true);
    expect(await readdir(doors)).toEqual([]);
  });

  test("is made again when somebody took its folder", async () => {
    const doors = join(folder, "doors");
    const door = await (await openHere(doors)).openDoor("door-1", port);
    await door.mend();
    await rm(doors, { recursive: true });
    await door.mend();
    expect(await say({ path: join(door.directory, doorSocket) }, "hello")).toBe("hello");
    await door.close(true);
    expect(await readdir(doors)).toEqual([]);
  });

  test.each<[string, (doors: string) => Promise<unknown>]>([
    ["that others may write to", async (doors) => await chmod(doors, 0o777)],
    ["that is a link", async (doors) => (await rm(doors, { recursive: true }), await symlink(folder, doors))],
  ])("is not opened in a folder %s", async (_, spoil) => {
    const doors = join(folder, "doors");
    await mkdir(doors, { mode: 0o700 });
    await spoil(doors);
    await expect((await openHere(doors)).openDoor("door-1", port)).rejects.toMatchObject({ code: "refused" });
  });
});

async function say(to: number | { path: string }, word: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socket = connect({ ...(typeof to === "number" ? { host: "127.0.0.1", port: to } : to), allowHalfOpen: true });
    let heard = "";
    socket.on("data", (chunk) => (heard += String(chunk))).on("error", reject);
    socket.on("end", () => resolve(heard));
    socket.end(word);
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const free = (server.address() as AddressInfo).port;
  server.close();
  await once(server, "close");
  return free;
}
