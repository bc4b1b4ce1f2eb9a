/**
 * Upkeep of etcd: its file is given back what was compacted, and it never stays full.
 *
 * kube-apiserver compacts every five minutes; the space is then free inside the file, which only defragmentation makes smaller.
 * At its quota etcd raises the alarm NOSPACE and refuses every write, also those by which kube-apiserver would compact: it is
 * compacted, defragmented and the alarm lowered here.
 *
 * Spoken is etcd's JSON gateway, which answers on the client socket: https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway.
 * In its JSON 64-bit numbers are strings, and zeros are left out.
 */
import { Agent } from "undici";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";

export interface EtcdSize {
  /** Of the file. */
  bytes: number;
  /** What of it holds something. */
  usedBytes: number;
}

export interface Maintained extends EtcdSize {
  /** Whether the file was made smaller. */
  wasDefragmented: boolean;
  /** It had reached its quota: what it holds now is the rest. */
  wasFull: boolean;
}

interface Status {
  header: { revision: string };
  dbSize?: string;
  dbSizeInUse?: string;
}

/** Of the socket that etcd's clients connect to. One call after the other; used by one process at a time. */
export class Etcd implements AsyncDisposable {
  readonly #agent: Agent;

  constructor(socketPath: string) {
    const timeouts = { headersTimeout: limits.etcdRequestMs, bodyTimeout: limits.etcdRequestMs };
    this.#agent = new Agent({ connect: { socketPath, timeout: limits.apiRequestMs }, connections: 1, ...timeouts });
  }

  async size(signal?: AbortSignal): Promise<EtcdSize> {
    return sizeOf(await this.#status(signal));
  }

  /**
   * Looks, and does what is due. May be called at any time.
   * @param freeBytes of the file at which it is worth it. Default: {@link limits.etcdFreeBytes}.
   * @throws SeatrialError `unreachable` (retryable) when etcd does not answer, `internal` when it refuses.
   */
  async maintain(signal?: AbortSignal, freeBytes: number = limits.etcdFreeBytes): Promise<Maintained> {
    const status = await this.#status(signal);
    const alarms = await this.#noSpaceAlarms(signal);
    const wasFull = alarms.length > 0;
    if (wasFull) await this.#compact(status.header.revision, signal);
    const { bytes, usedBytes } = sizeOf(status);
    const free = bytes - usedBytes;
    const wasDefragmented = wasFull || (free >= freeBytes && free > usedBytes);
    if (wasDefragmented) await this.#call("maintenance/defragment", {}, signal);
    for (const alarm of alarms) await this.#call("maintenance/alarm", { action: "DEACTIVATE", ...alarm }, signal);
    const after = wasDefragmented ? await this.size(signal) : { bytes, usedBytes };
    return { ...after, wasDefragmented, wasFull };
  }

  /**
   * Maintains it again and again, until what is returned is disposed of. No leader is needed for it: at its quota there can be none,
   * as the Lease cannot be written.
   * @param tell told when it was full, and of what went wrong.
   */
  watch(tell: (line: string) => void): AsyncDisposable {
    const ended = new AbortController();
    const working = this.#work(tell, ended.signal);
    return {
      [Symbol.asyncDispose]: async () => {
        ended.abort();
        await working;
      },
    };
  }

  async #work(tell: (line: string) => void, ended: AbortSignal): Promise<void> {
    while (!ended.aborted) {
      try {
        const { wasFull, bytes } = await this.maintain(ended);
        if (wasFull) tell(`etcd was full, and was compacted: ${Math.ceil(bytes / 1024 ** 2)} MiB are left`);
      } catch (error) {
        if (!ended.aborted) tell(messageOf(error));
      }
      await pause(limits.etcdLookMs, ended).catch(() => {});
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  async #status(signal?: AbortSignal): Promise<Status> {
    return (await this.#call("maintenance/status", {}, signal)) as Status;
  }

  async #noSpaceAlarms(signal?: AbortSignal): Promise<{ memberID: string; alarm: string }[]> {
    const { alarms } = (await this.#call("maintenance/alarm", { action: "GET" }, signal)) as {
      alarms?: { memberID: string; alarm: string }[];
    };
    return (alarms ?? []).filter(({ alarm }) => alarm === "NOSPACE");
  }

  /** Whoever watches from an older revision is told that it is gone, and lists anew. Compacted by somebody else meanwhile is success. */
  async #compact(revision: string, signal?: AbortSignal): Promise<void> {
    await this.#call("kv/compaction", { revision, physical: true }, signal).catch((error: unknown) => {
      if (!/has been compacted/.test(messageOf(error))) throw error;
    });
  }

  async #call(path: string, body: object, signal?: AbortSignal): Promise<object> {
    const what = `POST /v3/${path}`;
    let status: number;
    let text: string;
    try {
      const request = { origin: "http://localhost", path: `/v3/${path}`, method: "POST" as const, body: JSON.stringify(body) };
      const answer = await this.#agent.request({ ...request, ...(signal ? { signal } : {}) });
      status = answer.statusCode;
      text = await answer.body.text();
    } catch (error) {
      signal?.throwIfAborted();
      throw new SeatrialError("unreachable", `etcd did not answer ${what}: ${messageOf(error)}`, { retryable: true, cause: error });
    }
    if (status < 300) return JSON.parse(text) as object;
    throw new SeatrialError("internal", `etcd refused ${what}: ${text.trim().slice(0, 500)}`);
  }
}

function sizeOf({ dbSize = "0", dbSizeInUse = "0" }: Status): EtcdSize {
  return { bytes: Number(dbSize), usedBytes: Number(dbSizeInUse) };
}
