/**
 * The server's half of the runner's protocol, in memory: what end-to-end tests of the runner talk to. It keeps what it was told
 * over a stop, as the real one does, and can be away, slow, wrong, and cut connections.
 */
import { spawn } from "node:child_process";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { randomUUID } from "node:crypto";
import { waitFor } from "../../src/base/wait.ts";
import {
  actionMetadataSchema,
  type Annotation,
  type AssignmentMessage,
  assignmentSchema,
  type ReportMessage,
  reportSchema,
  type StepReport,
} from "../../src/runner/protocol.ts";
import { readAction } from "../../src/workflows/actions/metadata.ts";

/** What the server does to a call instead of answering it: an answer of its own, or the connection cut before or after it was obeyed. */
export type Fault = number | "cut-before" | "cut-after";

/** What is known of one attempt. */
export class AttemptOnServer {
  readonly uid = randomUUID();
  readonly token = `token-${randomUUID()}`;
  /** The token that is good: another one than its own when the attempt has ended for the server. */
  accepted = this.token;
  readonly assignment: AssignmentMessage;
  readonly chunks: Buffer[] = [];
  logBytes = 0;
  /** When the log had so many bytes. */
  readonly logTimes: { at: number; bytes: number }[] = [];
  readonly steps = new Map<number, StepReport>();
  readonly annotations: Annotation[] = [];
  readonly artifacts = new Map<string, Buffer>();
  result: NonNullable<ReportMessage["result"]> | undefined;
  /** Bare repository that `git/` serves. */
  repository: string | undefined;
  /** Archives of actions, by `owner/repo@ref`. */
  readonly actions = new Map<string, { archive: Buffer; commit: string; notice?: string }>();
  /** Answered to the next reports. */
  abort: string | undefined;
  reports = 0;
  assignedAt: number | undefined;
  /** When a step was first told of as running. */
  startedAt: number | undefined;
  resultAt: number | undefined;

  constructor(assignment: Partial<AssignmentMessage>) {
    this.assignment = assignmentSchema.parse({
      attempt: this.uid,
      steps: [],
      env: {},
      outputs: {},
      timeoutMinutes: 5,
      contexts: { github: {}, runner: {}, needs: {}, matrix: {}, strategy: {}, vars: {}, inputs: {} },
      secrets: {},
      masks: [],
      checkout: {},
      clusters: [],
      ...assignment,
    });
  }

  get log(): string {
    return Buffer.concat(this.chunks).toString("utf8");
  }

  /** Waits for the result; the log so far is in the error. */
  async ended(timeoutMs = 60_000): Promise<NonNullable<ReportMessage["result"]>> {
    return await waitFor(
      "the result",
      () => this.result,
      { timeoutMs, pollMs: 5 },
      () => `the log\n${this.log.slice(-4000)}`,
    );
  }

  async says(text: string | RegExp, timeoutMs = 30_000): Promise<void> {
    await waitFor(
      `the log to say ${String(text)}`,
      () => ((typeof text === "string" ? this.log.includes(text) : text.test(this.log)) ? true : undefined),
      { timeoutMs, pollMs: 10 },
      () => this.log.slice(-4000),
    );
  }
}

export class RunnerServer implements AsyncDisposable {
  readonly #host: string;
  readonly #attempts = new Map<string, AttemptOnServer>();
  #server: Server | undefined;
  #port = 0;
  /** Asked before each call. */
  fault: (call: { method: string; path: string; attempt: AttemptOnServer }) => Fault | undefined = () => undefined;
  /** How long each answer takes. */
  delayMs = 0;

  private constructor(host: string) {
    this.#host = host;
  }

  /** @param host address to listen on; a container reaches that of its network's gateway. */
  static async start(host = "127.0.0.1"): Promise<RunnerServer> {
    const server = new RunnerServer(host);
    await server.start();
    return server;
  }

  get url(): string {
    return `http://${this.#host}:${this.#port}`;
  }

  add(assignment: Partial<AssignmentMessage>): AttemptOnServer {
    const attempt = new AttemptOnServer(assignment);
    this.#attempts.set(attempt.uid, attempt);
    return attempt;
  }

  /** Listens, on the same port as before. */
  async start(): Promise<void> {
    const server = createServer((request, response) => {
      this.#handle(request, response).catch((error: unknown) => {
        response.writeHead(500).end(String(error));
      });
    });
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(this.#port, this.#host, resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Goes away: no new connections, and those that there are are cut. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await new Promise<void>((resolve) => {
      if (!server) return resolve();
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.url);
    const [, uid = "", path = ""] = /^\/runner\/v1\/attempts\/([^/]+)\/(.*)$/.exec(url.pathname) ?? [];
    const body = Buffer.concat(await request.toArray());
    const attempt = this.#attempts.get(uid);
    if (this.delayMs > 0) await new Promise((done) => setTimeout(done, this.delayMs));
    if (!attempt || request.headers.authorization !== `Bearer ${attempt.accepted}`) return void response.writeHead(401).end();
    const fault = this.fault({ method: request.method ?? "", path, attempt });
    if (fault === "cut-before") return void request.socket.destroy();
    if (typeof fault === "number") return void response.writeHead(fault).end("a fault of the test");
    if (path.startsWith("git/") && attempt.repository)
      return await serveGit(attempt.repository, path.slice(3), url, request, body, response);
    if (path === "actions") return serveAction(attempt, url, body, response);
    const { status, answer } = this.#obey(attempt, request.method ?? "", path, url, body);
    if (fault === "cut-after") return void request.socket.destroy();
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
  }

  #obey(attempt: AttemptOnServer, method: string, path: string, url: URL, body: Buffer): { status: number; answer?: unknown } {
    if (method === "GET" && path === "assignment") {
      attempt.assignedAt ??= performance.now();
      return { status: 200, answer: attempt.assignment };
    }
    if (method === "POST" && path === "report") return this.#report(attempt, reportSchema.parse(JSON.parse(body.toString("utf8"))));
    if (method === "POST" && path === "log") {
      if (Number(url.searchParams.get("offset")) !== attempt.logBytes) return { status: 409, answer: { offset: attempt.logBytes } };
      attempt.chunks.push(body);
      attempt.logBytes += body.length;
      attempt.logTimes.push({ at: performance.now(), bytes: attempt.logBytes });
      return { status: 200, answer: { offset: attempt.logBytes } };
    }
    if (method === "PUT" && path.startsWith("artifacts/")) {
      attempt.artifacts.set(path.split("/").slice(1).map(decodeURIComponent).join("/"), body);
      return { status: 201, answer: {} };
    }
    return { status: 404 };
  }

  #report(attempt: AttemptOnServer, { steps, annotations, result }: ReportMessage): { status: number; answer?: unknown } {
    attempt.reports++;
    if (result && result.logBytes !== attempt.logBytes) return { status: 409, answer: { offset: attempt.logBytes } };
    for (const step of steps) {
      if (step.state === "running") attempt.startedAt ??= performance.now();
      attempt.steps.set(step.index, step);
    }
    attempt.annotations.push(...annotations);
    if (result) {
      attempt.result = result;
      attempt.resultAt = performance.now();
    }
    return { status: 200, answer: attempt.abort === undefined ? {} : { abort: attempt.abort } };
  }
}

/** git's own server, which speaks CGI; see git-http-backend(1). */
async function serveGit(
  repository: string,
  path: string,
  url: URL,
  request: IncomingMessage,
  body: Buffer,
  response: ServerResponse,
): Promise<void> {
  const child = spawn("git", ["-c", "uploadpack.allowAnySHA1InWant=true", "http-backend"], {
    env: {
      PATH: process.env["PATH"],
      GIT_PROJECT_ROOT: repository,
      GIT_HTTP_EXPORT_ALL: "1",
      GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
      PATH_INFO: path,
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers["content-type"] ?? "",
      HTTP_CONTENT_ENCODING: String(request.headers["content-encoding"] ?? ""),
    },
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.on("error", () => {});
  child.stdin.end(body);
  const output = Buffer.concat(await child.stdout.toArray());
  const end = output.indexOf("\r\n\r\n");
  const headers = Object.fromEntries(
    output
      .toString("latin1", 0, end)
      .split("\r\n")
      .map((line) => line.split(": ", 2) as [string, string]),
  );
  const { Status, ...others } = headers;
  response.writeHead(Number.parseInt(Status ?? "200", 10), others).end(output.subarray(end + 4));
}

function serveAction(attempt: AttemptOnServer, url: URL, body: Buffer, response: ServerResponse): void {
  const refuse = (status: number, error: string) => void response.writeHead(status).end(JSON.stringify({ error }));
  const uses = url.searchParams.get("uses");
  if (uses === null) {
    try {
      const { file, text } = actionMetadataSchema.parse(JSON.parse(body.toString("utf8")));
      response.writeHead(200).end(JSON.stringify(readAction(text, file)));
    } catch (error) {
      refuse(422, (error as Error).message);
    }
    return;
  }
  const action = attempt.actions.get(uses);
  if (!action) return refuse(404, `action ${uses} is nowhere`);
  const { archive, commit, notice } = action;
  const told = notice === undefined ? {} : { "seatrial-action-notice": encodeURIComponent(notice) };
  response.writeHead(200, { "seatrial-action-commit": commit, ...told }).end(archive);
}
