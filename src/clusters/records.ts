/**
 * What this installation knows of the clusters that it made: one folder for each name, with a record that is written before
 * the first effect outside and removed after the last. It is how a cluster whose maker was killed is found again, also on
 * a Docker host that nobody names any more.
 */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, SeatrialError, systemCodeOf } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { formatOwner, type Ownership, parseOwner } from "../docker/ownership.ts";
import { type Lock, lock, tryLock } from "../process/lock.ts";
import { type Cluster, type Provider } from "../resources/cluster.ts";
import { writeFileWhole } from "../process/whole-file.ts";
import type { Target } from "./provider.ts";

export interface ClusterRecord {
  name: string;
  provider: Provider;
  uid: string;
  instance: string;
  /** As formatOwner writes it. */
  owner: string;
  notAfter?: string;
  /** The Docker host that its parts are on, as DOCKER_HOST has it; absent when they are on this machine. */
  dockerHost?: string;
  /** Booting until it was Ready once; Deleting from the first step of its removal. */
  phase: "Booting" | "Ready" | "Deleting";
  createdAt: string;
  resource: Cluster;
  /** The port of its API on the Docker host, for declared clusters. */
  apiServerPort?: number;
  /** Name of the throwaway registry that goes with it. */
  registry?: string;
  /** Docker network that it shares with other clusters of its job; absent when it has one of its own. */
  network?: string;
  /** True when another tool made it. */
  adopted?: boolean;
}

export class ClusterRecords {
  readonly #directory: string;

  /** @param dataDir of the installation. */
  constructor(dataDir: string) {
    this.#directory = join(dataDir, "clusters");
  }

  directoryOf(name: string): string {
    return join(this.#directory, name);
  }

  kubeconfigOf(name: string): string {
    return join(this.directoryOf(name), "kubeconfig");
  }

  targetOf({ name, uid, network }: Pick<ClusterRecord, "name" | "uid" | "network">): Target {
    return { name, uid, directory: this.directoryOf(name), ...(network === undefined ? {} : { network }) };
  }

  /** One command at a time works on a name. */
  async lock(name: string, signal?: AbortSignal): Promise<Lock> {
    return await lock(join(this.#directory, `${name}.lock`), `cluster ${name}`, signal);
  }

  async read(name: string): Promise<ClusterRecord | undefined> {
    try {
      return JSON.parse(await readFile(join(this.directoryOf(name), "cluster.json"), "utf8")) as ClusterRecord;
    } catch (error) {
      if (systemCodeOf(error) === "ENOENT") return undefined;
      throw new SeatrialError("invalid", `the record of cluster ${name} in ${this.directoryOf(name)} cannot be read: ${messageOf(error)}`, {
        hint: `remove that folder; seatrial reap then deletes what its labels tell to be left, and docker what was declared`,
        cause: error,
      });
    }
  }

  /** Every record that can be read. */
  async all(): Promise<ClusterRecord[]> {
    const records = await Promise.all((await this.#names()).map(async (name) => await this.read(name).catch(() => undefined)));
    return records.filter((record) => record !== undefined);
  }

  /** Names whose record is there and cannot be read: nothing may be concluded about their clusters. */
  async unreadable(): Promise<string[]> {
    const checked = await Promise.all(
      (await this.#names()).map(async (name) =>
        (await this.read(name).then(
          () => true,
          () => false,
        ))
          ? []
          : [name],
      ),
    );
    return checked.flat();
  }

  /** Removes folders that a kill left before their record was in them: nothing had been made by then. */
  async removeEmpty(): Promise<void> {
    for (const name of await this.#names()) {
      if (existsSync(join(this.directoryOf(name), "cluster.json"))) continue;
      using held = tryLock(join(this.#directory, `${name}.lock`));
      if (held && !existsSync(join(this.directoryOf(name), "cluster.json"))) await this.remove(name);
    }
  }

  async #names(): Promise<string[]> {
    try {
      return (await readdir(this.#directory, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map(({ name }) => name);
    } catch (error) {
      if (systemCodeOf(error) === "ENOENT") return []; // No cluster was ever made.
      throw new SeatrialError("invalid", `the records in ${this.#directory} cannot be read: ${messageOf(error)}`, { cause: error });
    }
  }

  async write(record: ClusterRecord): Promise<void> {
    const directory = this.directoryOf(record.name);
    makeFolder(directory, 0o700);
    try {
      await writeFileWhole(join(directory, "cluster.json"), `${JSON.stringify(record, null, 2)}\n`);
    } catch (error) {
      await rmdir(directory).catch(() => {}); // Goes only when it is empty: made for this record.
      throw error;
    }
  }

  /** The folder goes with all that is in it. The lock's file stays: others may be waiting for it. */
  async remove(name: string): Promise<void> {
    await rm(this.directoryOf(name), { recursive: true, force: true });
  }

  /** Removes the lock's file too, for names that are never used again. Under the lock. */
  async removeLock(name: string): Promise<void> {
    await rm(join(this.#directory, `${name}.lock`), { force: true });
  }
}

export function ownershipOf(record: ClusterRecord): Ownership | undefined {
  const owner = parseOwner(record.owner);
  if (!owner) return undefined;
  return { instance: record.instance, owner, ...(record.notAfter ? { notAfter: new Date(record.notAfter) } : {}) };
}

export function recordOf(cluster: Cluster, ownership: Ownership, uid: string, now: Date): ClusterRecord {
  return {
    name: cluster.metadata.name,
    provider: cluster.spec.provider,
    uid,
    instance: ownership.instance,
    owner: formatOwner(ownership.owner),
    ...(ownership.notAfter ? { notAfter: ownership.notAfter.toISOString() } : {}),
    phase: "Booting",
    createdAt: now.toISOString(),
    resource: cluster,
  };
}

/** The installation's own id, made at its first use. */
export async function instanceId(dataDir: string): Promise<string> {
  const path = join(dataDir, "instance");
  const read = async () => (await readFile(path, "utf8").catch(() => "")).trim();
  const existing = await read();
  if (existing) return existing;
  makeFolder(dataDir, 0o700);
  using _lock = await lock(join(dataDir, "instance.lock"), "the installation's id");
  const made = (await read()) || randomUUID();
  await writeFileWhole(path, `${made}\n`);
  return made;
}
