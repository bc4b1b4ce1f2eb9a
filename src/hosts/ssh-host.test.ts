/** Against a real sshd; what stands for Docker answers by HTTP on a unix socket. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect, createServer, type AddressInfo, type Server } from "node:net";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { SeatrialError } from "../base/errors.ts";
import { waitFor } from "../base/wait.ts";
import { type DockerHost, doorSocket, type OpenOptions } from "./docker-host.ts";
import { openDockerHost } from "./open.ts";
import { noSshd, TestSshd } from "./testdata/sshd.ts";

const soon = { timeoutMs: 30_000, pollMs: 20 };

describe.skipIf(noSshd !== undefined)(`a Docker host by ssh${noSshd ? ` (skipped: ${noSshd})` : ""}`, { timeout: 40_000 }, () => {
  let sshd: TestSshd;
  let echo: Server;
  let echoPort: number;
  let said: string[];
  const opened: DockerHost[] = [];

  const open = async (environment = sshd.environment(), options: Partial<OpenOptions> = {}, endpoint = sshd.endpoint()) => {
    const signal = AbortSignal.timeout(30_000);
    const host = await openDockerHost(endpoint, { environment, signal, onProgress: (line) => said.push(line), ...options });
    opened.push(host);
    return host;
  };
  const refusal = async (environment = sshd.environment(), endpoint = sshd.endpoint()) => {
    const error = await open(environment, {}, endpoint).then(
      () => undefined,
      (thrown: SeatrialError) => thrown,
    );
    return { code: error?.code, retryable: error?.retryable, text: `${error?.message}\n${error?.hint}` };
  };
  const folders = () => (existsSync(sshd.path("seatrial")) ? readdirSync(sshd.path("seatrial")) : []);

  beforeAll(async () => {
    sshd = await TestSshd.start();
    echo = createServer({ allowHalfOpen: true }, (socket) => void socket.on("error", () => {}).pipe(socket));
    echo.listen(0, "127.0.0.1");
    await once(echo, "listening");
    echoPort = (echo.address() as AddressInfo).port;
  });
  beforeEach(() => {
    said = [];
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((host) => host.close()));
    expect(sshd.clients(), "ssh processes after close").toEqual([]);
    expect(folders(), "folders after close").toEqual([]);
  });
  afterAll(async () => {
    echo?.close();
    await sshd?.stop();
  });

  test("forwards Docker's socket, for us and for the docker CLI's variables", async () => {
    const host = await open();
    const { socketPath } = host.connection as { socketPath: string };
    expect(await ask(socketPath, "POST", "/images/load", "x".repeat(3_000_000))).toHaveLength(3_000_000);
    expect(host.environment).toMatchObject({ DOCKER_HOST: `unix://${socketPath}`, DOCKER_CONTEXT: undefined });
    expect(host.isLocal).toBe(false);
  });

  test("a call through it costs at most 30 ms", async () => {
    const { socketPath } = (await open()).connection as { socketPath: string };
    const times: number[] = [];
    for (let i = 0; i < 50; i++) {
      const start = performance.now();
      await ask(socketPath, "GET", "/_ping");
      times.push(performance.now() - start);
    }
    expect(times.toSorted((a, b) => a - b)[25]).toBeLessThan(30);
  });

  test("forwards a port to any free port and to a wanted one, many connections at once, half-closed ones too", async () => {
    const host = await open();
    const [first, second] = await Promise.all([host.forward(echoPort), host.forward(echoPort)]);
    expect(first.localPort).not.toBe(second.localPort);
    const words = Array.from({ length: 100 }, (_, index) => `word ${index}`);
    expect(await Promise.all(words.map((word) => say(first.localPort, word)))).toEqual(words);

    const port = first.localPort;
    await expect(host.forward(echoPort, { localPort: port })).rejects.toMatchObject({ code: "conflict" });
    await first.close();
    expect(await say(second.localPort, "still there")).toBe("still there");
    const wanted = await host.forward(echoPort, { localPort: port });
    expect(wanted.localPort).toBe(port);
    expect(await say(port, "again")).toBe("again");
  });

  test("a connection to a port where nobody listens ends and harms no other", async () => {
    const host = await open();
    const nowhere = await host.forward(1);
    expect(await say(nowhere.localPort, "hello").catch(() => "")).toBe("");
    expect(await say((await host.forward(echoPort)).localPort, "hello")).toBe("hello");
  });

  test("a way back is there again after a boot of the host, which empties its folder; one that cannot be made keeps nothing else away", async () => {
    const host = await open();
    const door = await host.openDoor(`door-test-${process.pid}`, echoPort);
    const socket = { path: join(door.directory, doorSocket) };
    const forward = await host.forward(echoPort);
    expect(await say(socket, "first")).toBe("first");
    const boot = async (change: () => void) => {
      said = [];
      await sshd.down();
      await waitFor("the loss to be noticed", () => said.some((line) => line.includes("was lost")) || undefined, soon);
      rmSync(door.directory, { recursive: true });
      change();
      await sshd.up();
      await waitFor("the connection to be back", () => said.some((line) => line.includes("is back")) || undefined, soon);
    };
    try {
      await boot(() => {});
      expect(await say(socket, "second")).toBe("second");
      await boot(() => writeFileSync(door.directory, "no folder"));
      expect(said.join("\n")).toContain("there is no way back from");
      expect(await say(forward.localPort, "third")).toBe("third");
    } finally {
      await door.close(true);
    }
    expect(existsSync(door.directory)).toBe(false);
  });

  test("a cut connection is restored; what was asked meanwhile is answered, on the same ports", async () => {
    const host = await open();
    const { socketPath } = host.connection as { socketPath: string };
    const forward = await host.forward(echoPort);
    for (const word of ["first", "second"]) {
      said = [];
      await sshd.down();
      await waitFor("the loss to be noticed", () => said.some((line) => line.includes("was lost")) || undefined, soon);
      const answers = Promise.all([
        ask(socketPath, "POST", "/echo", word),
        say(forward.localPort, word),
        host.forward(echoPort).then((made) => say(made.localPort, word)),
      ]);
      // The first attempt to connect again has failed: this is an outage, not a blink.
      await waitFor("a failed attempt", () => said.some((line) => line.includes("Connection refused")) || undefined, soon);
      await sshd.up();
      expect(await answers).toEqual([word, word, word]);
      expect(said.at(-1)).toMatch(/is back after \d+\.\d s$/);
    }
  });

  test("an ended session is replaced", async () => {
    const host = await open();
    const { socketPath } = host.connection as { socketPath: string };
    await sshd.down("sessions");
    await waitFor("the restored connection", () => said.some((line) => line.includes("is back after")) || undefined, soon);
    expect(await ask(socketPath, "GET", "/_ping")).toBe("OK");
  });

  test("a stream that was cut ends for its reader", async () => {
    const host = await open();
    const forward = await host.forward(echoPort);
    const socket = connect(forward.localPort, "127.0.0.1");
    socket.on("error", () => {});
    socket.write("hello");
    await once(socket, "data");
    const closed = once(socket, "close");
    await sshd.down("sessions");
    await closed;
  });

  test("a close while the host is away is quick and ends who waits", async () => {
    const host = await open();
    const { socketPath } = host.connection as { socketPath: string };
    await sshd.down();
    await waitFor("the loss to be noticed", () => said.some((line) => line.includes("was lost")) || undefined, soon);
    const waiting = ask(socketPath, "GET", "/_ping").catch((error: Error) => error.message);
    const start = performance.now();
    await host.close();
    expect(performance.now() - start).toBeLessThan(2_000);
    expect(await waiting).toMatch(/socket hang up|ECONNRESET|ENOENT/);
    await sshd.up();
  });

  test("a close of a connection that has gone silent is quick too", async () => {
    const host = await open();
    sshd.freeze("SIGSTOP");
    const start = performance.now();
    await host.close().finally(() => sshd.freeze("SIGCONT"));
    expect(performance.now() - start).toBeLessThan(2_000);
  });

  test("two at once do not meet", async () => {
    const environment = sshd.environment();
    const [one, other] = await Promise.all([open(environment), open(environment)]);
    expect(one.connection).not.toEqual(other.connection);
    await one.close();
    expect(await ask((other.connection as { socketPath: string }).socketPath, "GET", "/_ping")).toBe("OK");
  });

  test("the user's configuration counts: an alias works, its forwards and its shared connections are left alone", async () => {
    const taken = await open().then(async (host) => await host.forward(echoPort));
    const alias = [
      "Host lab",
      "  HostName 127.0.0.1",
      `  Port ${sshd.port}`,
      `  User ${sshd.user}`,
      `  LocalForward ${taken.localPort} 127.0.0.1:1`,
    ];
    const sharing = ["  ControlMaster auto", "  ControlPersist yes", `  ControlPath ${sshd.path("shared")}`];
    const host = await open(sshd.environment([...alias, ...sharing]), {}, { kind: "ssh", name: "lab", host: "lab" } as never);
    expect(await say((await host.forward(echoPort)).localPort, "hello")).toBe("hello");
    expect(existsSync(sshd.path("shared"))).toBe(false);
  });

  test("a kill -9 of its owner leaves no ssh, and the next one sweeps the folder", async () => {
    const environment = sshd.environment();
    const script = join(import.meta.dirname, "testdata", "hold-open.ts");
    const owner = spawn(process.execPath, [script, JSON.stringify(sshd.endpoint()), JSON.stringify(environment)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(owner.stdout, "data")) as [Buffer];
    const { socketPath } = JSON.parse(line.toString()) as { socketPath: string };
    expect(sshd.clients()).not.toEqual([]);
    owner.kill("SIGKILL");
    await waitFor("ssh to end", () => sshd.clients().length === 0 || undefined, { timeoutMs: 2_000, pollMs: 20 });
    expect(existsSync(dirname(socketPath))).toBe(true);
    await open();
    expect(existsSync(dirname(socketPath))).toBe(false);
  });

  test("an abort while it connects leaves nothing, not even the user's proxy command", async () => {
    const proxy = `sleep 60.${process.pid}`;
    const environment = sshd.environment(["Host *", `  ProxyCommand ${proxy}`]);
    const controller = new AbortController();
    const opening = open(environment, { signal: controller.signal });
    await waitFor("the proxy command", () => sshd.clients(proxy).length > 0 || undefined, soon);
    controller.abort(new Error("stop"));
    await expect(opening).rejects.toThrow("stop");
    await waitFor("the proxy command to end", () => sshd.clients(proxy).length === 0 || undefined, soon);
  });

  describe("refusals, each with what to do", () => {
    afterEach(async () => {
      sshd.trust("hostkey");
      await sshd.down();
      await sshd.up();
    });

    test("an unknown host key", async () => {
      sshd.trust("none");
      const { code, retryable, text } = await refusal();
      expect({ code, retryable }).toEqual({ code: "unreachable", retryable: false });
      expect(text).toContain(`cannot connect to ssh://${sshd.user}@127.0.0.1:${sshd.port}: its host key is not known here`);
      expect(text).toMatch(/run `ssh -F \S+ -p \d+ \w+@127.0.0.1` once/);
      expect(text).toContain(`ssh-keyscan -p ${sshd.port} 127.0.0.1`);
    });

    test("a changed host key", async () => {
      sshd.trust("other-hostkey");
      const { code, text } = await refusal();
      expect(code).toBe("unreachable");
      expect(text).toContain(`its host key is not the one that is known (${sshd.path("known_hosts")}:1)`);
      expect(text).toContain(`ssh-keygen -R '[127.0.0.1]:${sshd.port}'`);
    });

    test("a refused key", async () => {
      const { code, retryable, text } = await refusal(sshd.environment([], "other-id"));
      expect({ code, retryable }).toEqual({ code: "unreachable", retryable: false });
      expect(text).toMatch(/Permission denied \(publickey.*ssh-add/s);
    });

    test("a host that is not there", async () => {
      await sshd.down();
      const { code, retryable, text } = await refusal();
      expect({ code, retryable }).toEqual({ code: "unreachable", retryable: true });
      expect(text).toContain("Connection refused");
    });

    test("a name that is none", async () => {
      const { text } = await refusal(undefined, sshd.endpoint("no-such-host.invalid"));
      expect(text).toContain("Could not resolve hostname no-such-host.invalid");
    });

    test("a configuration that ssh does not understand", async () => {
      const { text } = await refusal(sshd.environment(["NoSuchOption yes"]));
      expect(text).toMatch(/Bad configuration option|bad configuration options/);
    });

    test("no ssh on PATH", async () => {
      const environment = sshd.environment();
      const { code } = await refusal({ ...environment, variables: { ...environment.variables, PATH: "/nowhere" } });
      expect(code).toBe("missing-program");
    });

    test.each([
      ["no socket there", [], "unix:///nowhere/docker.sock", "there is no Docker socket /nowhere/docker.sock on ssh://"],
      ["a daemon elsewhere", [], "tcp://10.0.0.1:2375", "is at tcp://…, and only a unix socket is forwarded"],
      ["a folder in the socket's place", [], "unix:///tmp", "there is no Docker socket /tmp on"],
      ["an sshd that forwards no sockets", ["AllowStreamLocalForwarding no"], undefined, "must allow AllowStreamLocalForwarding"],
      ["a command that is forced on the key", ["ForceCommand echo hello"], undefined, "did not say where Docker's socket is"],
    ])("%s", async (_, settings, dockerHost, message) => {
      await sshd.down();
      await sshd.up(settings, dockerHost);
      const { code, text } = await refusal();
      expect(code).toBe("unreachable");
      expect(text).toContain(message);
      expect(text).not.toContain("undefined");
    });

    test.each([
      ["a socket behind which nobody answers", "dead.sock", "does not answer at"],
      ["a path that ssh would misread", "a:b.sock", "has a path that cannot be forwarded"],
    ])("%s", async (_, file, message) => {
      const dead = createServer((socket) => socket.destroy());
      dead.listen(sshd.path(file));
      await once(dead, "listening");
      await sshd.down();
      await sshd.up([], `unix://${sshd.path(file)}`);
      const { code, text } = await refusal();
      dead.close();
      expect(code).toBe("unreachable");
      expect(text).toContain(message);
    });
  });
});

async function ask(socketPath: string, method: string, path: string, body = ""): Promise<string> {
  return await new Promise((resolve, reject) => {
    const asked = request({ socketPath, method, path, agent: false }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk)).on("error", reject);
      answer.on("end", () => resolve(Buffer.concat(chunks).toString()));
    });
    asked.on("error", reject).end(body);
  });
}

/** Says a word, ends its side, and gives what it heard until the end of the other. */
async function say(to: number | { path: string }, word: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socket = connect({ ...(typeof to === "number" ? { host: "127.0.0.1", port: to } : to), allowHalfOpen: true });
    const heard: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => heard.push(chunk)).on("error", reject);
    socket.on("end", () => resolve(Buffer.concat(heard).toString()));
    socket.end(word);
  });
}
