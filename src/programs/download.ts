/**
 * Downloads of programs from the sites of their projects, each checked against the checksum that the project publishes.
 *
 * A site that does not answer is not asked again by the same {@link Downloads}: without a network, looking for ten programs
 * costs one refused connection for each site.
 */
import { createHash, type Hash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { extract } from "tar-stream";
import type { Dispatcher } from "undici";
import { parse } from "yaml";
import type { Environment } from "../base/environment.ts";
import { undici } from "../base/undici.ts";
import { messageOf, SeatrialError, systemCodeOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { platform } from "./cache.ts";
import { compareVersions, defaultKubernetesVersion } from "./versions.ts";

/** Where things are downloaded from; tests give a server of their own. */
export interface Sites {
  /** The index of the control plane archives that envtest uses. */
  envtestIndex: string;
  /** Releases of Kubernetes: SITE/VERSION/bin/OS/ARCH/NAME. */
  kubernetes: string;
  kindReleases: string;
  kwokReleases: string;
  etcdReleases: string;
}

export const publicSites: Sites = {
  envtestIndex: "https://raw.githubusercontent.com/kubernetes-sigs/controller-tools/HEAD/envtest-releases.yaml",
  kubernetes: "https://dl.k8s.io/release",
  kindReleases: "https://github.com/kubernetes-sigs/kind/releases/download",
  kwokReleases: "https://github.com/kubernetes-sigs/kwok/releases/download",
  etcdReleases: "https://github.com/etcd-io/etcd/releases/download",
};

export interface DownloadTimeouts {
  /** From the request to the first byte: a site that is behind a silent firewall costs this once. */
  firstByteMs: number;
  totalMs: number;
}

const defaultTimeouts: DownloadTimeouts = { firstByteMs: 10_000, totalMs: limits.downloadMs };
const maxRedirects = 5;
const indexBytes = 4 * 1024 * 1024;

interface EnvtestArchive {
  version: string;
  url: string;
  sha512: string;
}

/** One file to have: as it is, or out of a gzipped tar. */
interface Source {
  url: string;
  algorithm: "sha256" | "sha512";
  checksum: string;
  /** Base name of the regular file to take out of the archive. */
  member?: string;
}

export class Downloads {
  readonly #sites: Sites;
  readonly #timeouts: DownloadTimeouts;
  readonly #environment: Environment;
  #dispatcher: Dispatcher | undefined;
  readonly #silentHosts = new Map<string, string>();
  #index: Promise<EnvtestArchive[]> | undefined;

  constructor(options: { environment: Environment; sites?: Partial<Sites> | undefined; timeouts?: Partial<DownloadTimeouts> | undefined }) {
    this.#sites = { ...publicSites, ...options.sites };
    this.#timeouts = { ...defaultTimeouts, ...options.timeouts };
    this.#environment = options.environment;
  }

  /** Made for the first request. */
  #proxied(): Dispatcher {
    const { variables } = this.#environment;
    const proxy = (name: string) => variables[name.toLowerCase()] ?? variables[name] ?? "";
    this.#dispatcher ??= new (undici().EnvHttpProxyAgent)({
      httpProxy: proxy("HTTP_PROXY"),
      httpsProxy: proxy("HTTPS_PROXY"),
      noProxy: proxy("NO_PROXY"),
      connect: { timeout: this.#timeouts.firstByteMs },
      // A command that found its program ends: no connection may hold it up.
      keepAliveTimeout: 100,
      keepAliveMaxTimeout: 100,
    });
    return this.#dispatcher;
  }

  /** Versions of Kubernetes that the control plane index has for this platform, oldest first. */
  async kubernetesVersions(signal?: AbortSignal): Promise<string[]> {
    return (await this.#archives(signal)).map((archive) => archive.version).sort(compareVersions);
  }

  /**
   * Downloads a program to a path, where it is only when its checksum is right.
   * @returns where it came from.
   * @throws SeatrialError saying why it is not to be had: `unreachable`, `timeout`, `not-found`, `refused` (checksum).
   */
  async download(name: string, version: string, path: string, signal?: AbortSignal): Promise<string> {
    const source = await this.#sourceOf(name, version, signal);
    const hash = createHash(source.algorithm);
    await this.#fetchTo(source, path, hash, signal);
    return source.url;
  }

  async close(): Promise<void> {
    await this.#dispatcher?.destroy();
  }

  async #sourceOf(name: string, version: string, signal?: AbortSignal): Promise<Source> {
    const { os, arch } = platform();
    const bySum = async (url: string, sumUrl: string, member?: string): Promise<Source> => {
      const text = await this.#text(sumUrl, signal);
      return { url, algorithm: "sha256", checksum: checksumIn(text, url, sumUrl), ...(member ? { member } : {}) };
    };
    switch (name) {
      case "kind": {
        const url = `${this.#sites.kindReleases}/${version}/kind-${os}-${arch}`;
        return await bySum(url, `${url}.sha256sum`);
      }
      case "kwok": {
        const url = `${this.#sites.kwokReleases}/${version}/kwok-${os}-${arch}`;
        return await bySum(url, `${url}.sha256`);
      }
      case "etcd": {
        const ownReleases = this.#sites.etcdReleases;
        // Its own releases have the exact version, but for Linux alone in a form that is read here. An archive of the
        // index has one of the right minor; whoever asked looks at what came.
        if (os === "linux") {
          return await bySum(
            `${ownReleases}/${version}/etcd-${version}-${os}-${arch}.tar.gz`,
            `${ownReleases}/${version}/SHA256SUMS`,
            "etcd",
          );
        }
        const archives = (await this.#archives(signal)).toSorted((left, right) => compareVersions(right.version, left.version));
        const archive = archives.find((each) => each.version === defaultKubernetesVersion) ?? archives[0];
        if (!archive) throw new SeatrialError("not-found", `the control plane index has nothing for ${os}-${arch}`);
        return { url: archive.url, algorithm: "sha512", checksum: archive.sha512, member: "etcd" };
      }
      case "kube-apiserver":
      case "kubectl": {
        const archive = (await this.#archives(signal)).find((each) => each.version === version);
        if (archive) return { url: archive.url, algorithm: "sha512", checksum: archive.sha512, member: name };
        if (name === "kube-apiserver" && os !== "linux") {
          throw new SeatrialError("not-found", `the control plane index has no ${version} for ${os}-${arch}`);
        }
        break;
      }
    }
    const url = `${this.#sites.kubernetes}/${version}/bin/${os}/${arch}/${name}`;
    return await bySum(url, `${url}.sha256`);
  }

  async #archives(signal?: AbortSignal): Promise<EnvtestArchive[]> {
    this.#index ??= this.#text(this.#sites.envtestIndex, signal).then((text) => readEnvtestIndex(text));
    return await this.#index;
  }

  async #text(url: string, signal?: AbortSignal): Promise<string> {
    const answer = await this.#get(url, signal);
    let text = "";
    for await (const chunk of answer.body.setEncoding("utf8")) {
      text += chunk as string;
      if (text.length > indexBytes) throw new SeatrialError("invalid", `${url} is larger than ${indexBytes} bytes`);
    }
    return text;
  }

  async #fetchTo(source: Source, path: string, hash: Hash, signal?: AbortSignal): Promise<void> {
    // The archive is hashed while it lies beside the target, and unpacked only when it is what it should be.
    const packed = source.member ? `${path}.archive` : path;
    const answer = await this.#get(source.url, signal);
    const tee = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        done(null, chunk);
      },
    });
    try {
      await pipeline(answer.body, tee, createWriteStream(packed, { mode: 0o755 }), signal ? { signal } : {});
    } catch (error) {
      signal?.throwIfAborted();
      throw new SeatrialError("unreachable", `${source.url} broke off: ${messageOf(error)}`, { cause: error, retryable: true });
    }
    const found = hash.digest("hex");
    if (found !== source.checksum.toLowerCase()) {
      throw new SeatrialError(
        "refused",
        `${source.url} has ${source.algorithm} ${found}, not ${source.checksum} as published: it is not used`,
      );
    }
    if (source.member) await takeOut(packed, source.member, path, source.url);
  }

  async #get(url: string, signal?: AbortSignal): Promise<Dispatcher.ResponseData> {
    let at = url;
    for (let redirects = 0; redirects <= maxRedirects; redirects++) {
      const { host } = new URL(at);
      const silent = this.#silentHosts.get(host);
      if (silent) throw new SeatrialError("unreachable", silent, { retryable: true });
      const total = AbortSignal.timeout(this.#timeouts.totalMs);
      const firstByte = AbortSignal.timeout(this.#timeouts.firstByteMs);
      let answer: Dispatcher.ResponseData;
      try {
        answer = await untilFirstByte(firstByte, signal, async (both) =>
          undici().request(at, {
            dispatcher: this.#proxied(),
            signal: AbortSignal.any([both, total]),
            headersTimeout: this.#timeouts.firstByteMs,
            bodyTimeout: this.#timeouts.firstByteMs,
          }),
        );
      } catch (error) {
        signal?.throwIfAborted();
        const why = firstByte.aborted
          ? `no answer within ${this.#timeouts.firstByteMs / 1000} s`
          : (systemCodeOf(error) ?? messageOf(error));
        const message = `${host} cannot be reached (${why})`;
        this.#silentHosts.set(host, message);
        throw new SeatrialError("unreachable", message, { cause: error, retryable: true });
      }
      if (answer.statusCode >= 300 && answer.statusCode < 400 && answer.headers["location"]) {
        await answer.body.dump();
        at = new URL(String(answer.headers["location"]), at).href;
        continue;
      }
      if (answer.statusCode !== 200) {
        await answer.body.dump();
        throw new SeatrialError("not-found", `${url} answered ${answer.statusCode}`);
      }
      return answer;
    }
    throw new SeatrialError("unreachable", `${url} leads on and on`);
  }
}

/** Gives the call a signal that the first byte's timeout aborts, but only until the call has answered. */
async function untilFirstByte<T>(
  firstByte: AbortSignal,
  signal: AbortSignal | undefined,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const both = new AbortController();
  const onTimeout = () => both.abort(firstByte.reason);
  const onAbort = () => both.abort(signal?.reason);
  firstByte.addEventListener("abort", onTimeout, { once: true });
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted) onAbort();
  try {
    return await call(both.signal);
  } finally {
    firstByte.removeEventListener("abort", onTimeout);
    signal?.removeEventListener("abort", onAbort);
  }
}

/** Reads the index of control plane archives, for this platform. */
function readEnvtestIndex(text: string): EnvtestArchive[] {
  const { os, arch } = platform();
  const document = parse(text) as { releases?: Record<string, Record<string, { hash?: unknown; selfLink?: unknown }>> } | null;
  const found: EnvtestArchive[] = [];
  for (const [version, archives] of Object.entries(document?.releases ?? {})) {
    for (const [name, archive] of Object.entries(archives ?? {})) {
      if (!name.endsWith(`-${os}-${arch}.tar.gz`)) continue;
      if (typeof archive.hash !== "string" || typeof archive.selfLink !== "string") continue;
      found.push({ version, url: archive.selfLink, sha512: archive.hash });
    }
  }
  return found;
}

/** The checksum of a file in the text of a checksum file: alone, or in the line that names the file. */
function checksumIn(text: string, url: string, sumUrl: string): string {
  const name = url.split("/").at(-1)!;
  const lines = text.split("\n").map((line) => line.trim().split(/\s+\*?/));
  const named = lines.find((words) => words[1] === name || words[1]?.endsWith(`/${name}`));
  const sum = (named ?? (lines[0]?.length === 1 ? lines[0] : undefined))?.[0];
  if (!sum || !/^[0-9a-f]{64}$/i.test(sum)) throw new SeatrialError("invalid", `${sumUrl} has no checksum of ${name}`);
  return sum;
}

/** Writes the one regular file of that base name; everything else in the archive is passed over. */
async function takeOut(archive: string, member: string, path: string, url: string): Promise<void> {
  const unpacked = extract();
  const reading = pipeline(createReadStream(archive), createGunzip(), unpacked);
  let isFound = false;
  try {
    for await (const entry of unpacked) {
      const isWanted = !isFound && entry.header.type === "file" && entry.header.name.split("/").at(-1) === member;
      if (isWanted) {
        await pipeline(Readable.from(entry), createWriteStream(path, { mode: 0o755 }));
        isFound = true;
      } else {
        entry.resume();
      }
    }
    await reading;
  } catch (error) {
    reading.catch(() => undefined);
    throw new SeatrialError("invalid", `${url} cannot be unpacked: ${messageOf(error)}`, { cause: error });
  }
  if (!isFound) throw new SeatrialError("not-found", `${url} holds no ${member}`);
}
