/**
 * The runner's calls to its server, as protocol.ts has them. Every call is repeated until it is answered, with growing pauses,
 * while the server is away or answers that it cannot now.
 *
 * `node:http` alone, and `https` only where the server has it: `fetch` costs a runner 15 MB and 30 ms of CPU.
 */
import { Agent, type ClientRequest, type IncomingMessage, request as httpRequest, type RequestOptions } from "node:http";
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { PassThrough } from "node:stream";
import { pipeline } from "node:stream/promises";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";
import type { ActionDefinition } from "../workflows/actions/action-definition.ts";
import type { ActionMetadata, AssignmentMessage, ReportAnswer, ReportMessage } from "./protocol.ts";

export interface ServerLinkOptions {
  /** Origin of the server. */
  server: string;
  attempt: string;
  token: string;
  /** From 0 up to 1: spreads the calls of many runners when their server comes back. */
  random: () => number;
  /** Default: {@link limits.runnerServerAwayMs}. */
  awayMs?: number;
}

/** The server's answer to log: bytes stored so far, where the next call begins. Also the body of a 409, when the call began elsewhere. */
export interface LogAnswer {
  offset: number;
}

interface Call {
  method: "GET" | "POST" | "PUT";
  /** Below the attempt. */
  path: string;
  body?: Buffer | { file: string; fd: number; length: number };
  /** Answers that are none of an error, beside 2xx. */
  ok?: readonly number[];
  /** File that takes the body of a good answer; the answer's body then is the SHA-256 of it. */
  to?: string;
}

interface Answer {
  status: number;
  body: Buffer;
  headers: IncomingMessage["headers"];
}

/** An action that was fetched. */
export interface FetchedAction {
  commit: string;
  /** What there is to say of it: a tag that moved. */
  notice: string | undefined;
}

/** Answers that another try may change: the server is starting, stopping, busy, or behind a proxy that says so. */
const passing = new Set([408, 425, 429, 500, 502, 503, 504]);

export class ServerLink {
  readonly #options: ServerLinkOptions;
  readonly #origin: URL;
  #agent: Promise<{ agent: Agent; request: typeof httpRequest }> | undefined;
  readonly #dismissal = new AbortController();
  #answeredAt = performance.now();
  /** Since when a server that does not answer may be given up. */
  #impatientSince = performance.now();

  constructor(options: ServerLinkOptions) {
    this.#options = options;
    this.#origin = new URL(options.server);
  }

  /** Aborted when the server has said that the attempt is no longer its own; then no call is made any more. */
  get dismissed(): AbortSignal {
    return this.#dismissal.signal;
  }

  /** What git has to say to the server, too. */
  get authorization(): string {
    return `Bearer ${this.#options.token}`;
  }

  /**
   * Whether a silent server is waited for without end: while steps run, who have their own time. Else, and at first, it is given
   * up after {@link ServerLinkOptions.awayMs}.
   */
  set isPatient(isPatient: boolean) {
    this.#impatientSince = isPatient ? Number.POSITIVE_INFINITY : performance.now();
  }

  async assignment(): Promise<AssignmentMessage> {
    return json(await this.#call({ method: "GET", path: "assignment" }));
  }

  async report(message: ReportMessage): Promise<ReportAnswer> {
    return json(await this.#call({ method: "POST", path: "report", body: Buffer.from(JSON.stringify(message)) }));
  }

  /** Sends log from an offset on. The answer may be another offset: then the bytes were not taken, or twice. */
  async log(offset: number, bytes: Buffer): Promise<LogAnswer> {
    return json(await this.#call({ method: "POST", path: `log?offset=${offset}`, body: bytes, ok: [409] }));
  }

  /** @param path of the artifact, relative, with `/`. @param fd of the open file, which stays open. */
  async artifact(path: string, fd: number, length: number): Promise<void> {
    const encoded = path.split("/").map(encodeURIComponent).join("/");
    await this.#call({ method: "PUT", path: `artifacts/${encoded}`, body: { file: path, fd, length } });
  }

  /**
   * Asks something in JSON.
   * @param path below the attempt; @param refusals answers that are none of an error, beside 2xx.
   */
  async ask<T>(
    method: "GET" | "POST",
    path: string,
    body?: unknown,
    refusals: readonly number[] = [],
  ): Promise<{ status: number; body: T }> {
    const sent = body === undefined ? {} : { body: Buffer.from(JSON.stringify(body)) };
    const answer = await this.#call({ method, path, ...sent, ok: refusals });
    return { status: answer.status, body: json<T>(answer) };
  }

  /** Sends a file; the answer is JSON. @param fd of the open file, which stays open. */
  async send<T>(path: string, fd: number, length: number): Promise<T> {
    return json<T>(await this.#call({ method: "PUT", path, body: { file: path, fd, length } }));
  }

  /**
   * Takes a file. @param to path of the file, which is replaced.
   * @returns the SHA-256 of what came, in hexadecimal; undefined when there is none: the answer was 404.
   */
  async receive(path: string, to: string): Promise<string | undefined> {
    const answer = await this.#call({ method: "GET", path, to, ok: [404] });
    return answer.status === 404 ? undefined : answer.body.toString();
  }

  /**
   * Fetches the repository of an action, whole.
   * @param uses `OWNER/REPO@REF`. @param file path of the archive that is written.
   * @throws SeatrialError `not-found` when it is nowhere, or not the commit that is locked; `unreachable` when who has it does not answer.
   */
  async action(uses: string, file: string): Promise<FetchedAction> {
    const answer = await this.#call({ method: "GET", path: `actions?uses=${encodeURIComponent(uses)}`, to: file, ok: refusals });
    if (answer.status >= 300) throw refusalOf(answer);
    const notice = answer.headers["seatrial-action-notice"];
    return {
      commit: String(answer.headers["seatrial-action-commit"]),
      notice: notice === undefined ? undefined : decodeURIComponent(String(notice)),
    };
  }

  /** What the metadata of an action says. @throws SeatrialError `invalid` with all that is wrong with it. */
  async actionMetadata(metadata: ActionMetadata): Promise<ActionDefinition> {
    const answer = await this.#call({ method: "POST", path: "actions", body: Buffer.from(JSON.stringify(metadata)), ok: refusals });
    if (answer.status >= 300) throw refusalOf(answer);
    return json(answer);
  }

  /** Ends calls that are under way, too. */
  async close(): Promise<void> {
    this.#dismissal.abort(new SeatrialError("aborted", "the runner ends"));
    (await this.#agent)?.agent.destroy();
  }

  /**
   * @throws SeatrialError `aborted` when the attempt was dismissed, `unreachable` when the server was given up,
   * `internal` for an answer that no further try can change.
   */
  async #call(call: Call): Promise<Answer> {
    for (let pauseMs: number = limits.runnerRetryFirstMs; ; pauseMs = Math.min(pauseMs * 2, limits.runnerRetryMs)) {
      this.dismissed.throwIfAborted();
      let trouble: string;
      try {
        const answer = await this.#try(call);
        const isOk = answer.status < 300 || call.ok?.includes(answer.status);
        if (isOk) {
          this.#answeredAt = performance.now();
          return answer;
        }
        trouble = `it answered ${answer.status}: ${answer.body.toString("utf8", 0, 500)}`;
        if (answer.status === 401) {
          this.#dismissal.abort(new SeatrialError("aborted", "the server has ended this attempt"));
          continue;
        }
        // A result that the server cannot take before it has found the log that it acknowledged.
        if (!passing.has(answer.status) && answer.status !== 409) {
          throw new SeatrialError("internal", `the server refused ${call.method} ${call.path}: ${trouble}`);
        }
      } catch (error) {
        if (error instanceof SeatrialError) throw error;
        trouble = messageOf(error);
      }
      const awayMs = performance.now() - Math.max(this.#answeredAt, this.#impatientSince);
      if (awayMs > (this.#options.awayMs ?? limits.runnerServerAwayMs)) {
        throw new SeatrialError(
          "unreachable",
          `the server did not take ${call.method} ${call.path} for ${Math.round(awayMs / 1000)} s: ${trouble}`,
        );
      }
      await pause(pauseMs * (0.5 + this.#options.random() / 2), this.dismissed);
    }
  }

  async #try({ method, path, body, to }: Call): Promise<Answer> {
    this.#agent ??= transport(this.#origin.protocol);
    const { agent, request } = await this.#agent;
    const length = body === undefined ? 0 : body.length;
    const options: RequestOptions = {
      agent,
      method,
      headers: {
        authorization: this.authorization,
        ...(body === undefined ? {} : { "content-length": length }),
        ...(path === "report" || path === "actions" ? { "content-type": "application/json" } : {}),
      },
      timeout: limits.runnerRequestMs,
      signal: this.dismissed,
    };
    const sent = request(new URL(`/runner/v1/attempts/${this.#options.attempt}/${path}`, this.#origin), options);
    const answer = answerOf(sent, to);
    if (body === undefined || Buffer.isBuffer(body)) sent.end(body);
    else {
      // A file that shrank would leave the server waiting: the request ends with an error, and the next try sees it again.
      const reading = createReadStream(body.file, { fd: body.fd, autoClose: false, start: 0, end: Math.max(0, length - 1) });
      if (length === 0) sent.end();
      else reading.on("error", (error) => sent.destroy(error)).pipe(sent);
    }
    return await answer;
  }
}

async function transport(protocol: string): Promise<{ agent: Agent; request: typeof httpRequest }> {
  if (protocol !== "https:") return { agent: new Agent({ keepAlive: true }), request: httpRequest };
  const https = await import("node:https");
  return { agent: new https.Agent({ keepAlive: true }), request: https.request as typeof httpRequest };
}

async function answerOf(sent: ClientRequest, to: string | undefined): Promise<Answer> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    sent.once("response", resolve);
    sent.on("error", reject);
    sent.on("timeout", () => sent.destroy(new Error(`there was no answer for ${limits.runnerRequestMs / 1000} s`)));
  });
  const status = answer.statusCode ?? 0;
  const { headers } = answer;
  if (to !== undefined && status < 300) {
    const hash = createHash("sha256");
    const hashing = new PassThrough().on("data", (chunk: Buffer) => hash.update(chunk));
    // One that is cut short ends with an error.
    await pipeline(answer, hashing, createWriteStream(to, { mode: 0o644 }));
    return { status, headers, body: Buffer.from(hash.digest("hex")) };
  }
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > limits.runnerAnswerBytes) throw new Error(`the answer has more than ${limits.runnerAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return { status, headers, body: Buffer.concat(chunks) };
}

/** Answers that say for good why an action cannot be had: there is none, it is wrong, or who has it does not answer. */
const refusals = [404, 422, 424];

function refusalOf({ status, body }: Answer): SeatrialError {
  const { error, hint } = JSON.parse(body.toString("utf8")) as { error: string; hint?: string };
  return new SeatrialError(status === 404 ? "not-found" : status === 422 ? "invalid" : "unreachable", error, { hint });
}

function json<T>({ body }: Answer): T {
  return JSON.parse(body.toString("utf8")) as T;
}
