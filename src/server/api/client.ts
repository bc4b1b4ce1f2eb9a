/** The public API as a program calls it: over HTTP where a server runs, in this process where none does. */
import { SeatrialError, type ErrorCode } from "../../base/errors.ts";
import type { JobView, NewRun, RunBody, RunView } from "./schemas.ts";

export class ApiClient {
  readonly #fetch: (request: Request) => Promise<Response>;
  readonly #origin: string;
  readonly #token: string | undefined;

  /** @param origin of the server; any, where the API is in this process. */
  constructor(fetch: (request: Request) => Promise<Response>, origin = "http://seatrial.invalid", token?: string) {
    this.#fetch = fetch;
    this.#origin = origin;
    this.#token = token;
  }

  async createRun(run: NewRun): Promise<string> {
    return (await this.#json<{ name: string }>("POST", "/api/v1/runs", run)).name;
  }

  async abort(run: string, reason: string, job?: string): Promise<void> {
    await this.#json("POST", `/api/v1/runs/${encodeURIComponent(run)}/abort`, { reason, ...(job === undefined ? {} : { job }) });
  }

  async run(run: string): Promise<RunView> {
    return await this.#json("GET", `/api/v1/runs/${encodeURIComponent(run)}`);
  }

  /** The run with each change, until it has ended. */
  async *stream(run: string): AsyncGenerator<RunView> {
    const { body } = await this.#call("GET", `/api/v1/runs/${encodeURIComponent(run)}/stream`);
    let rest = "";
    const decoder = new TextDecoder();
    for await (const bytes of body as AsyncIterable<Uint8Array>) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) yield JSON.parse(line) as RunView;
    }
  }

  /** The last lines of a job's log. */
  async tail(job: string, count: number): Promise<string[]> {
    const path = `/api/v1/jobs/${encodeURIComponent(job)}/lines`;
    interface Lines {
      lines: { text: string }[];
      total: number;
    }
    const { total } = await this.#json<Lines>("GET", `${path}?from=1&to=1`);
    if (total === 0) return [];
    return (await this.#json<Lines>("GET", `${path}?from=${Math.max(1, total - count + 1)}&to=${total}`)).lines.map(({ text }) => text);
  }

  async failingTests(job: string): Promise<{ name: string; message?: string; logLine?: number }[]> {
    const { items } = await this.#json<{ items: { name: string; verdict: string; message?: string; logLine?: number }[] }>(
      "GET",
      `/api/v1/jobs/${encodeURIComponent(job)}/tests?limit=20`,
    );
    return items.filter(({ verdict }) => verdict !== "passed" && verdict !== "skipped");
  }

  async runs(query: Record<string, string | undefined>): Promise<{ items: RunBody[]; next?: string }> {
    return await this.#json("GET", `/api/v1/runs?${queryOf(query)}`);
  }

  async job(job: string): Promise<JobView> {
    return await this.#json("GET", `/api/v1/jobs/${encodeURIComponent(job)}`);
  }

  async lines(
    job: string,
    query: Record<string, string | undefined>,
  ): Promise<{ lines: { number: number; text: string }[]; next?: number; total: number }> {
    return await this.#json("GET", `/api/v1/jobs/${encodeURIComponent(job)}/lines?${queryOf(query)}`);
  }

  /** The log as it is; with `follow`, as it comes. */
  async log(job: string, query: Record<string, string | undefined>): Promise<AsyncIterable<Uint8Array>> {
    return bytesOf(await this.#call("GET", `/api/v1/jobs/${encodeURIComponent(job)}/log?${queryOf(query)}`));
  }

  async artifacts(
    job: string,
    query: Record<string, string | undefined>,
  ): Promise<{ items: { path: string; size: number }[]; next?: string }> {
    return await this.#json("GET", `/api/v1/jobs/${encodeURIComponent(job)}/artifacts?${queryOf(query)}`);
  }

  async artifact(job: string, query: Record<string, string | undefined>): Promise<AsyncIterable<Uint8Array>> {
    return bytesOf(await this.#call("GET", `/api/v1/jobs/${encodeURIComponent(job)}/artifact?${queryOf(query)}`));
  }

  async #json<T>(method: string, path: string, body?: object): Promise<T> {
    return (await (await this.#call(method, path, body)).json()) as T;
  }

  async #call(method: string, path: string, body?: object): Promise<Response> {
    const answer = await this.#fetch(
      new Request(this.#origin + path, {
        method,
        headers: {
          ...(body ? { "content-type": "application/json" } : {}),
          ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
      }),
    );
    if (answer.ok) return answer;
    const { error } = (await answer.json().catch(() => ({}))) as { error?: { code: ErrorCode; message: string; hint?: string } };
    throw new SeatrialError(error?.code ?? "internal", error?.message ?? `the server answered ${answer.status} to ${method} ${path}`, {
      hint: error?.hint,
    });
  }
}

function queryOf(query: Record<string, string | undefined>): string {
  return new URLSearchParams(Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined)).toString();
}

function bytesOf({ body }: Response): AsyncIterable<Uint8Array> {
  return (body ?? new Blob([]).stream()) as unknown as AsyncIterable<Uint8Array>;
}
