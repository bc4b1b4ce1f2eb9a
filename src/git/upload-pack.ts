/**
 * Serving a mirror to runners: git's smart HTTP protocol, versions 0 and 2, read only (gitprotocol-http and gitprotocol-v2 in
 * git's documentation). A route of the server checks the attempt's token and hands the request on.
 *
 * No ref of the mirror is shown, and only the commits that the attempt is for can be asked for, with what they need: what git
 * itself allows in version 2 is any object, so the request is read before git gets it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { gunzipSync } from "node:zlib";
import type { Environment } from "../base/environment.ts";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { git, gitEnvironment, type GitSetting } from "./git.ts";

/** What may be fetched, and from where. */
export interface ServedCommits {
  /** A bare repository of ours. */
  folder: string;
  commits: readonly string[];
}

const settings: readonly GitSetting[] = [
  ["uploadpack.allowAnySHA1InWant", "true"],
  ["transfer.hideRefs", "refs/"],
  // The other end is near: bytes are cheaper than the search for deltas.
  ["pack.window", "0"],
  ["pack.compression", "1"],
  ["pack.threads", "1"],
];

/** All fetches that one server answers: a bounded number at once, the others in the order they came. */
export class UploadPack implements AsyncDisposable {
  readonly #environment: Environment;
  readonly #children = new Set<ChildProcess>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #isClosed = false;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** Answers `GET …/info/refs?service=git-upload-pack`. Never throws: what goes wrong is an answer. */
  async advertise(request: Request, served: ServedCommits): Promise<Response> {
    if (new URL(request.url).searchParams.get("service") !== "git-upload-pack") return refusal(403, "this repository can only be read");
    const version = versionOf(request);
    if (!("GIT_PROTOCOL" in version)) return new Response(advertisementOf(served.commits), { headers: headersOf("advertisement") });
    try {
      const args = ["upload-pack", "--stateless-rpc", "--advertise-refs", served.folder];
      const { stdout } = await git(this.#environment, args, { settings, env: version, signal: request.signal });
      return new Response(stdout, { headers: headersOf("advertisement") });
    } catch (error) {
      return refusal(500, `git could not answer: ${messageOf(error)}`);
    }
  }

  /** Answers `POST …/git-upload-pack`. Never throws. The pack is streamed; git ends when the client goes away. */
  async serve(request: Request, served: ServedCommits): Promise<Response> {
    let body: Buffer;
    try {
      body = await bodyOf(request);
      checkWants(body, served.commits);
    } catch (error) {
      return refusal(error instanceof SeatrialError && error.code === "refused" ? 403 : 400, messageOf(error));
    }
    if (this.#waiting.length >= limits.gitServesWaiting) return refusal(503, "too many fetches wait already", { "retry-after": "5" });
    await this.#turn();
    if (this.#isClosed || request.signal.aborted) {
      this.#next();
      return refusal(503, "the server is being stopped", { "retry-after": "5" });
    }
    return this.#start(request, served.folder, body);
  }

  /** Ends every git that still runs, and waits for its end. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const wake of this.#waiting.splice(0)) wake();
    await Promise.all(
      [...this.#children].map(async (child) => {
        endChild(child);
        await once(child, "close");
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #start(request: Request, folder: string, body: Buffer): Response {
    const child = spawn("git", ["upload-pack", "--stateless-rpc", folder], {
      cwd: "/",
      env: { ...gitEnvironment(this.#environment, settings), ...versionOf(request) },
      stdio: ["pipe", "pipe", "ignore"],
    });
    this.#children.add(child);
    const end = () => endChild(child);
    const timer = setTimeout(end, limits.gitServeMs);
    request.signal.addEventListener("abort", end, { once: true });
    child.once("error", (error) => child.stdout.destroy(error));
    child.once("close", () => {
      clearTimeout(timer);
      request.signal.removeEventListener("abort", end);
      this.#children.delete(child);
      this.#next();
    });
    child.stdin.on("error", () => {}); // It ended before it had read all: its exit says so.
    child.stdin.end(body);
    child.stdout.once("close", end);
    return new Response(ReadableStream.from(chunksOf(child.stdout)), { headers: headersOf("result") });
  }

  async #turn(): Promise<void> {
    if (this.#running >= limits.gitServes) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
  }

  /** Hands the place on to the next that waits. */
  #next(): void {
    const wake = this.#waiting.shift();
    if (wake) wake();
    else this.#running--;
  }
}

/** The output; its end, however it came, is the end of the answer: a client knows by itself whether a pack is whole. */
async function* chunksOf(output: Readable): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of output) yield chunk as Uint8Array;
  } catch {
    // Ended by us, or by the client.
  }
}

/** With its output: what nobody reads would keep it from being over. */
function endChild(child: ChildProcess): void {
  child.kill("SIGKILL");
  child.stdout?.destroy();
}

function headersOf(kind: "advertisement" | "result"): Record<string, string> {
  return { "content-type": `application/x-git-upload-pack-${kind}`, "cache-control": "no-cache" };
}

function refusal(status: number, message: string, headers: Record<string, string> = {}): Response {
  return new Response(`${message}\n`, { status, headers: { "content-type": "text/plain; charset=utf-8", ...headers } });
}

function line(text: string): string {
  return `${(Buffer.byteLength(text) + 4).toString(16).padStart(4, "0")}${text}`;
}

/** What git's upload-pack can do in version 0 since long ago; it takes its part from the client's choice of these. */
const capabilities =
  "multi_ack_detailed multi_ack no-done thin-pack side-band side-band-64k ofs-delta shallow deepen-since deepen-not deepen-relative no-progress allow-tip-sha1-in-want";

/** Version 0 begins with a list of refs, and a client fetches nothing where none is shown: the commits are shown by names of ours. */
function advertisementOf(commits: readonly string[]): string {
  const shown = commits.map((commit, index) => line(`${commit} refs/attempt/${index}${index === 0 ? `\0${capabilities}` : ""}\n`));
  return [line("# service=git-upload-pack\n"), "0000", ...shown, "0000"].join("");
}

/** The client's wish for version 2; nothing else of the header reaches git. */
function versionOf(request: Request): Record<string, string> {
  const asks = (request.headers.get("git-protocol") ?? "").split(":").includes("version=2");
  return asks ? { GIT_PROTOCOL: "version=2" } : {};
}

async function bodyOf(request: Request): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of request.body ?? []) {
    bytes += chunk.length;
    if (bytes > limits.gitRequestBytes) throw new SeatrialError("invalid", `the request has more than ${limits.gitRequestBytes} bytes`);
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  const encoding = request.headers.get("content-encoding") ?? "identity";
  if (encoding === "identity") return body;
  if (encoding !== "gzip" && encoding !== "x-gzip") throw new SeatrialError("invalid", `content encoding ${encoding} is not understood`);
  return gunzipSync(body, { maxOutputLength: limits.gitRequestBytes });
}

/**
 * Reads the request line by line: four hexadecimal digits of length, then the line; 0000, 0001 and 0002 stand alone.
 * @throws SeatrialError `refused` when it asks for anything but the commits; `invalid` when it is no such request.
 */
export function checkWants(body: Buffer, commits: readonly string[]): void {
  for (let at = 0; at < body.length;) {
    const digits = body.toString("latin1", at, at + 4);
    const length = /^[0-9a-f]{4}$/i.test(digits) ? parseInt(digits, 16) : NaN;
    if (!(length <= 2 || (length >= 4 && at + length <= body.length))) throw new SeatrialError("invalid", "this is not a request of git");
    if (length > 4) {
      const text = body.toString("latin1", at + 4, at + length).trimEnd();
      if (!mayAsk(text, commits)) throw new SeatrialError("refused", `this attempt may not fetch: ${text.slice(0, 100)}`);
    }
    at += Math.max(length, 4);
  }
}

function mayAsk(text: string, commits: readonly string[]): boolean {
  const [word, argument] = text.split(" ", 2);
  if (word === "want") return commits.includes(argument!);
  if (word!.startsWith("command=")) return text === "command=fetch" || text === "command=ls-refs";
  return word !== "want-ref";
}
