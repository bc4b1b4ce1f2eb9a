/**
 * Asking a forge over HTTP: JSON, bounded in time and size, and with errors that say whether to ask again. The token goes in a
 * header, and is taken out of whatever an error quotes.
 */
import { Pool } from "undici";
import { type ErrorCode, messageOf, SeatrialError, systemCodeOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { ForgeError } from "./forge.ts";

export interface ForgeApiOptions {
  /** The forge's name, for errors. */
  name: string;
  /** Of the API: `https://gitea.example/api/v1`. */
  url: string;
  token: string;
  now: () => Date;
}

export class ForgeApi implements AsyncDisposable {
  readonly #options: ForgeApiOptions;
  readonly #pool: Pool;
  readonly #path: string;

  constructor(options: ForgeApiOptions) {
    const { origin, pathname } = new URL(options.url);
    this.#options = options;
    this.#path = pathname.replace(/\/$/, "");
    this.#pool = new Pool(origin, { connections: limits.forgeConnections, connect: { timeout: limits.forgeRequestMs } });
  }

  /**
   * One call. Redirects are not followed: the token is for this forge.
   * @param path below the API, with its query; parts that are not ours are encoded.
   * @returns the answer's JSON; undefined when it was empty.
   * @throws {@link ForgeError}; the signal's reason.
   */
  async call(method: "GET" | "POST" | "PATCH" | "DELETE", path: string, body?: object, signal?: AbortSignal): Promise<unknown> {
    const what = `${method} ${path.split("?")[0]} at forge ${this.#options.name}`;
    signal?.throwIfAborted();
    const timeout = AbortSignal.timeout(limits.forgeRequestMs);
    try {
      const answer = await this.#pool.request({
        method,
        path: `${this.#path}${path}`,
        headers: {
          authorization: `token ${this.#options.token}`,
          accept: "application/json",
          ...(body ? { "content-type": "application/json" } : {}),
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      });
      const text = await boundedText(answer.body, what);
      if (answer.statusCode >= 200 && answer.statusCode < 300) return text.trim() === "" ? undefined : parseJson(text, what);
      throw this.#refusal(what, answer.statusCode, answer.headers, text);
    } catch (error) {
      if (error instanceof SeatrialError) throw error;
      signal?.throwIfAborted();
      const isLate = timeout.aborted;
      const why = isLate
        ? `there was no answer for ${limits.forgeRequestMs / 1000} s`
        : (systemCodeOf(error) ?? this.#clean(messageOf(error)));
      throw new ForgeError(isLate ? "timeout" : "unreachable", `${what}: ${why}`, { retryable: true, cause: error });
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #refusal(what: string, status: number, headers: Record<string, string | string[] | undefined>, text: string): ForgeError {
    const retryAfterMs = retryAfterOf(headers, this.#options.now());
    const isBusy = status === 429 || status >= 500 || (status === 403 && retryAfterMs !== undefined);
    const codes: Record<number, ErrorCode> = {
      400: "invalid",
      401: "refused",
      403: "refused",
      404: "not-found",
      409: "conflict",
      422: "invalid",
    };
    return new ForgeError(isBusy ? "unreachable" : (codes[status] ?? "command-failed"), `${what}: ${status} ${this.#clean(text)}`.trim(), {
      status,
      retryAfterMs,
      retryable: isBusy,
      hint: status === 401 || (status === 403 && !isBusy) ? `check the token of forge ${this.#options.name} and what it may do` : undefined,
    });
  }

  #clean(text: string): string {
    return text.replaceAll(this.#options.token, "***").replaceAll(/\s+/g, " ").trim().slice(0, 300);
  }
}

/** When the forge wants to be asked again, from now; a time that is absurd is cut. */
function retryAfterOf(headers: Record<string, string | string[] | undefined>, now: Date): number | undefined {
  const given = [headers["retry-after"]].flat()[0];
  if (given === undefined) return undefined;
  const ms = /^\d+$/.test(given) ? Number(given) * 1000 : Date.parse(given) - now.getTime();
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), limits.forgeRetryAfterMs);
}

async function boundedText(body: AsyncIterable<Uint8Array> & { destroy(): unknown }, what: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > limits.forgeAnswerBytes) {
      throw new ForgeError("unreachable", `${what}: the answer has more than ${limits.forgeAnswerBytes} bytes`, { retryable: false });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // A proxy that stands before the forge answers with a page.
    throw new ForgeError("unreachable", `${what}: the answer is not JSON`, { retryable: true, cause: error });
  }
}
