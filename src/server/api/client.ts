/** The public API as a program calls it: over HTTP where a server runs, in this process where none does. */
import { SeatrialError, type ErrorCode, systemCodeOf } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { pause } from "../../base/wait.ts";
import type { LockDocument } from "../../resources/lock-document.ts";
import type { CacheBody, NewReproduction, UploadBody } from "./locks.ts";
import type { DispatchBody, RepositoryDispatchBody } from "./dispatches.ts";
import type { DeliveryBody, JobView, LineBody, NewRun, RerunBody, RunBody, RunView, SecretBody } from "./schemas.ts";

type Query = Readonly<Record<string, string | undefined>>;
/** One page of a list. */
interface Page<T> {
  items: T[];
  next?: string;
}

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

  /** Of a server. @param origin without a path. @param token for protected routes. */
  static over(origin: string, token: string | undefined): ApiClient {
    const call = async (request: Request) => {
      try {
        return await fetch(request);
      } catch (error) {
        throw new SeatrialError("unreachable", `the server at ${origin} does not answer: ${systemCodeOf(error) ?? String(error)}`, {
          cause: error,
          retryable: true,
        });
      }
    };
    return new ApiClient(call, origin, token);
  }

  async createRun(run: NewRun): Promise<string> {
    return (await this.#json<{ name: string }>("POST", "/api/v1/runs", run)).name;
  }

  /** @returns the name of the Run. */
  async dispatch(dispatch: DispatchBody): Promise<string> {
    return (await this.#json<{ run: string }>("POST", "/api/v1/dispatches", definedOnly(dispatch))).run;
  }

  /** @returns the names of all Runs that this starts. */
  async dispatchRepository(dispatch: RepositoryDispatchBody): Promise<string[]> {
    return (await this.#json<{ runs: string[] }>("POST", "/api/v1/repository-dispatches", definedOnly(dispatch))).runs;
  }

  /** @returns names of the JobRuns that this ends. */
  async abort(run: string, reason: string, job?: string): Promise<string[]> {
    return (await this.#json<{ jobs: string[] }>("POST", `${runPath(run)}/abort`, definedOnly({ reason, job }))).jobs;
  }

  async rerun(run: string, what: RerunBody): Promise<{ name: string; attempt: number }> {
    return await this.#json("POST", `${runPath(run)}/rerun`, definedOnly(what));
  }

  /** @returns names of the JobRuns whose clusters this is about. */
  async hold(run: string, forSeconds: number, job?: string): Promise<string[]> {
    return (await this.#json<{ jobs: string[] }>("POST", `${runPath(run)}/hold`, definedOnly({ forSeconds, job }))).jobs;
  }

  async run(run: string): Promise<RunView> {
    return await this.#json("GET", runPath(run));
  }

  /** The run with each change, until it has ended. */
  stream(run: string): AsyncGenerator<RunView> {
    return reopened(() => this.#views(run));
  }

  async *#views(run: string): AsyncGenerator<RunView> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const bytes of bytesOf(await this.#call("GET", `${runPath(run)}/stream`))) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) yield JSON.parse(line) as RunView;
    }
  }

  /** The last lines of a job's log. */
  async tail(job: string, count: number): Promise<string[]> {
    const { total } = await this.lines(job, { from: "1", to: "1" });
    if (total === 0) return [];
    const { lines } = await this.lines(job, { from: String(Math.max(1, total - count + 1)), to: String(total) });
    return lines.map(({ text }) => text);
  }

  async failingTests(job: string): Promise<{ name: string; message?: string; logLine?: number }[]> {
    const { items } = await this.#json<Page<{ name: string; verdict: string; message?: string; logLine?: number }>>(
      "GET",
      `${jobPath(job)}/tests?limit=20`,
    );
    return items.filter(({ verdict }) => verdict !== "passed" && verdict !== "skipped");
  }

  async runs(query: Query): Promise<Page<RunBody>> {
    return await this.#json("GET", `/api/v1/runs?${queryOf(query)}`);
  }

  async job(job: string): Promise<JobView> {
    return await this.#json("GET", jobPath(job));
  }

  async lines(job: string, query: Query): Promise<{ lines: LineBody[]; next?: number; total: number; isClosed: boolean }> {
    return await this.#json("GET", `${jobPath(job)}/lines?${queryOf(query)}`);
  }

  /** The log as it is. */
  async log(job: string, query: Query): Promise<AsyncIterable<Uint8Array>> {
    return bytesOf(await this.#call("GET", `${jobPath(job)}/log?${queryOf(query)}`));
  }

  /** The log as it comes, of one that has yet to begin too, until the job has ended. A cut connection is made anew where it was cut. */
  async *followLog(job: string, attempt?: string): AsyncGenerator<Uint8Array> {
    // Another attempt may begin meanwhile: its log is another one.
    const number = attempt ?? String(await this.#begun(job));
    const place = { offset: 0 };
    yield* reopened(() => this.#logFrom(place, job, number));
  }

  /** Moves the place on with what it gives. */
  async *#logFrom(place: { offset: number }, job: string, attempt: string): AsyncGenerator<Uint8Array> {
    for await (const bytes of await this.log(job, { attempt, offset: String(place.offset), follow: "true" })) {
      place.offset += bytes.length;
      yield bytes;
    }
  }

  /** Waits until a job has an attempt; one that has ended without any has no log. */
  async #begun(job: string): Promise<number> {
    for (;;) {
      const { attempts, verdict, message } = await this.job(job);
      const last = attempts.at(-1);
      if (last) return last.number;
      if (verdict) throw new SeatrialError("not-found", `${job} has no log: ${verdict}${message === undefined ? "" : `, ${message}`}`);
      await pause(limits.streamPollMs);
    }
  }

  /** The lock document of an attempt; of the last, when none is named. */
  async lock(job: string, attempt?: number): Promise<LockDocument> {
    return await this.#json("GET", `${jobPath(job)}/lock?${queryOf({ attempt: attempt?.toString() })}`);
  }

  /** The payload of the event that the job's run was made for. */
  async event(job: string): Promise<string> {
    return await (await this.#call("GET", `${jobPath(job)}/event`)).text();
  }

  /** Named artifacts of the job's run. */
  async uploads(job: string): Promise<UploadBody[]> {
    return (await this.#json<{ items: UploadBody[] }>("GET", `${jobPath(job)}/uploads`)).items;
  }

  async upload(job: string, name: string, path: string): Promise<AsyncIterable<Uint8Array>> {
    return bytesOf(await this.#call("GET", `${jobPath(job)}/upload?${queryOf({ name, path })}`));
  }

  /** Caches that a job restored and that are still there, the oldest first. */
  async caches(job: string, attempt?: number): Promise<CacheBody[]> {
    const query = queryOf({ attempt: attempt?.toString() });
    return (await this.#json<{ items: CacheBody[] }>("GET", `${jobPath(job)}/caches?${query}`)).items;
  }

  async cache(job: string, digest: string, attempt?: number): Promise<AsyncIterable<Uint8Array>> {
    return bytesOf(await this.#call("GET", `${jobPath(job)}/cache?${queryOf({ digest, attempt: attempt?.toString() })}`));
  }

  /** @returns the name of a run of the one job. */
  async createReproduction(reproduction: NewReproduction): Promise<string> {
    return (await this.#json<{ name: string }>("POST", "/api/v1/reproductions", reproduction)).name;
  }

  async artifacts(job: string, query: Query): Promise<Page<{ path: string; size: number; digest: string }>> {
    return await this.#json("GET", `${jobPath(job)}/artifacts?${queryOf(query)}`);
  }

  async artifact(job: string, query: Query): Promise<AsyncIterable<Uint8Array>> {
    return bytesOf(await this.#call("GET", `${jobPath(job)}/artifact?${queryOf(query)}`));
  }

  async secrets(of: Query): Promise<SecretBody[]> {
    return (await this.#json<{ items: SecretBody[] }>("GET", `/api/v1/secrets?${queryOf(of)}`)).items;
  }

  async setSecret(name: string, value: string, of: Query): Promise<void> {
    await this.#json("PUT", `/api/v1/secrets/${encodeURIComponent(name)}`, definedOnly({ ...of, value }));
  }

  async removeSecret(name: string, of: Query): Promise<void> {
    await this.#json("DELETE", `/api/v1/secrets/${encodeURIComponent(name)}?${queryOf(of)}`);
  }

  async deliveries(query: Query): Promise<Page<DeliveryBody>> {
    return await this.#json("GET", `/api/v1/deliveries?${queryOf(query)}`);
  }

  async delivery(id: string): Promise<DeliveryBody & { payload: string }> {
    return await this.#json("GET", `/api/v1/deliveries/${encodeURIComponent(id)}`);
  }

  async replayDelivery(id: string): Promise<void> {
    await this.#json("POST", `/api/v1/deliveries/${encodeURIComponent(id)}/replay`);
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

/** What `open` gives, to its end: when the connection is cut, or the server is away for a moment, it is called again. */
async function* reopened<T>(open: () => AsyncIterable<T>): AsyncGenerator<T> {
  for (let failures = 0; ; failures++) {
    try {
      for await (const item of open()) {
        failures = 0;
        yield item;
      }
      return;
    } catch (error) {
      // What cuts a body shows as a TypeError of fetch.
      const isCut = error instanceof TypeError || (error instanceof SeatrialError && error.code === "unreachable");
      if (!isCut || failures >= limits.apiReopens) throw error;
      await pause(limits.apiReopenMs);
    }
  }
}

function runPath(run: string): string {
  return `/api/v1/runs/${encodeURIComponent(run)}`;
}

function jobPath(job: string): string {
  return `/api/v1/jobs/${encodeURIComponent(job)}`;
}

function queryOf(query: Query): string {
  return new URLSearchParams(definedOnly(query) as Record<string, string>).toString();
}

function definedOnly(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function bytesOf({ body }: Response): AsyncIterable<Uint8Array> {
  return (body ?? new Blob([]).stream()) as unknown as AsyncIterable<Uint8Array>;
}
