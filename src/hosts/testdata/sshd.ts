/**
 * A real sshd on a loopback port, with keys of its own and a small HTTP server in the place of Docker's socket.
 * Everything lives in one folder under the system's temporary folder.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { connect, createServer as createTcpServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { environmentFrom, type Environment } from "../../base/environment.ts";
import { waitFor } from "../../base/wait.ts";
import type { DockerEndpoint } from "../../docker/endpoint.ts";

const SSHD = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].find((path) => existsSync(path));

/** Why the tests with sshd cannot run here; undefined when they can. */
export const noSshd = SSHD
  ? spawnSync("ssh", ["-V"]).error
    ? "there is no ssh (Debian: openssh-client)"
    : undefined
  : "there is no sshd (Debian: openssh-server)";

export class TestSshd {
  readonly folder = mkdtempSync(join(tmpdir(), "sshd-"));
  readonly user = userInfo().username;
  /** What the fake Docker was asked, in order. */
  readonly asked: string[] = [];
  port = 0;
  readonly #docker: Server;
  #process: ChildProcess | undefined;

  private constructor() {
    this.#docker = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        this.asked.push(`${request.method} ${request.url}`);
        response.end(request.url === "/_ping" ? "OK" : Buffer.concat(chunks));
      });
    });
  }

  static async start(): Promise<TestSshd> {
    const sshd = new TestSshd();
    const { promise, resolve } = Promise.withResolvers<void>();
    sshd.#docker.listen(sshd.path("docker.sock"), resolve);
    await promise;
    for (const key of ["id", "other-id", "hostkey", "other-hostkey"]) {
      spawnSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", sshd.path(key)], { stdio: "inherit" });
    }
    sshd.port = await freePort();
    sshd.trust("hostkey");
    await sshd.up();
    return sshd;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** @param settings lines of sshd_config, for the servers that refuse something. The first of a name counts. */
  async up(settings: readonly string[] = [], dockerHost = `unix://${this.path("docker.sock")}`): Promise<void> {
    if (userInfo().uid === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
    const lines = [
      ...settings,
      `Port ${this.port}`,
      "ListenAddress 127.0.0.1",
      `HostKey ${this.path("hostkey")}`,
      `AuthorizedKeysFile ${this.path("id.pub")}`,
      `PidFile none`,
      "PermitRootLogin yes",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "StrictModes no",
      "UsePAM no",
      `SetEnv DOCKER_HOST=${dockerHost}`,
    ];
    writeFileSync(this.path("sshd_config"), `${lines.join("\n")}\n`);
    const started = spawn(SSHD!, ["-D", "-e", "-f", this.path("sshd_config")], { stdio: ["ignore", "ignore", "ignore"] });
    this.#process = started;
    await waitFor(
      "sshd to listen",
      () => {
        if (started.exitCode !== null) throw new Error(`sshd ended with exit code ${started.exitCode}`);
        return isListening(this.port);
      },
      { timeoutMs: 10_000, pollMs: 20 },
    );
  }

  /** Cuts every connection, and stops listening unless told otherwise. */
  async down(what: "all" | "sessions" = "all"): Promise<void> {
    const master = this.#process;
    if (!master?.pid) return;
    const pids = descendants(master.pid);
    if (what === "all") {
      this.#process = undefined;
      const ended = new Promise((resolve) => master.once("exit", resolve));
      master.kill("SIGKILL");
      await ended;
    }
    for (const pid of pids) kill(pid, "SIGKILL");
  }

  /** Stops or continues everything on the other side: a host that has gone silent. */
  freeze(signal: "SIGSTOP" | "SIGCONT"): void {
    for (const pid of [this.#process!.pid!, ...descendants(this.#process!.pid!)]) kill(pid, signal);
  }

  /** Which host key the client takes for this server's. */
  trust(key: "hostkey" | "other-hostkey" | "none"): void {
    const line = key === "none" ? "" : `[127.0.0.1]:${this.port} ${readFileSync(this.path(`${key}.pub`), "utf8")}`;
    writeFileSync(this.path("known_hosts"), line);
  }

  endpoint(host = "127.0.0.1"): Extract<DockerEndpoint, { kind: "ssh" }> {
    return { kind: "ssh", name: "default", host, user: this.user, port: this.port };
  }

  /** @param settings lines of ssh_config before the usual ones. */
  environment(settings: readonly string[] = [], identity = "id"): Environment {
    const config = this.path(`ssh_config-${Math.random().toString(36).slice(2)}`);
    const lines = [...settings, "Host *", `  IdentityFile ${this.path(identity)}`, "  IdentitiesOnly yes", `  UserKnownHostsFile ${this.path("known_hosts")}`];
    writeFileSync(config, `${[...lines, "  GlobalKnownHostsFile /dev/null"].join("\n")}\n`);
    return environmentFrom({
      variables: { PATH: process.env["PATH"], SEATRIAL_SSH_CONFIG: config, XDG_RUNTIME_DIR: this.folder },
      homeDir: this.folder,
      tempDir: tmpdir(),
      uid: userInfo().uid,
      cwd: this.folder,
    });
  }

  /** Our ssh processes, and what stands beside them: all carry the path of this folder in their arguments. */
  clients(mark = `-F ${this.path("ssh_config-")}`): string[] {
    return processes()
      .filter((each) => each.args.includes(mark))
      .map((each) => `${each.pid} ${each.args}`);
  }

  async stop(): Promise<void> {
    await this.down();
    this.#docker.closeAllConnections();
    this.#docker.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function processes(): { pid: number; parent: number; args: string }[] {
  const listed = spawnSync("ps", ["-A", "-ww", "-o", "pid=,ppid=,stat=,args="], { encoding: "utf8" }).stdout;
  return listed.split("\n").flatMap((line) => {
    const [, pid, parent, stat, args] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
    return pid && !stat!.startsWith("Z") ? [{ pid: Number(pid), parent: Number(parent), args: args! }] : [];
  });
}

function descendants(pid: number): number[] {
  const all = processes();
  const below = (parent: number): number[] => all.filter((each) => each.parent === parent).flatMap((each) => [each.pid, ...below(each.pid)]);
  return below(pid);
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended with its parent.
  }
}

async function freePort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function isListening(port: number): Promise<true | undefined> {
  return await new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => (socket.destroy(), resolve(true)));
    socket.once("error", () => resolve(undefined));
  });
}
