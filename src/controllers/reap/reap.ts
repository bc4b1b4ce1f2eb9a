/**
 * Reaping: deleting what is left of owners that have ended.
 *
 * Level-based, in two looks at the world. Records of this installation, whatever Docker host they name; then objects on the
 * Docker host that carry this installation's label and have no record. What is declared, and what another installation
 * made, is never touched.
 */
import { messageOf, systemCodeOf } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { removeOldFailures } from "../../clusters/failures.ts";
import { type ClusterRecord, ownershipOf } from "../../clusters/records.ts";
import type { Labels } from "../../docker/objects.ts";
import { labels, ownershipIn, reasonToReap } from "../../docker/ownership.ts";
import { endMarked } from "../../process/marked.ts";
import type { Workspace } from "../workspace.ts";

export interface Reaped {
  what: string;
  reason: string;
  /** Set when it could not be deleted; it is tried again by the next reap. */
  error?: string;
}

export interface ReapOptions {
  /** Reap another installation's leftovers: whoever asks for that has named it. */
  instance?: string | undefined;
  /** Also look for objects without a record; needs the Docker host. */
  scansDocker: boolean;
  now: Date;
  signal?: AbortSignal | undefined;
}

export async function reap(workspace: Workspace, options: ReapOptions): Promise<Reaped[]> {
  await workspace.records.removeEmpty();
  // Hosts side by side: one that does not answer keeps nothing waiting but what is on it.
  const byHost = Map.groupBy(await workspace.records.all(), ({ dockerHost }) => dockerHost);
  const reaped = (await Promise.all([...byHost.values()].map(async (records) => await reapRecords(workspace, records, options)))).flat();
  if (options.instance === undefined) await removeOldFailures(workspace.failuresDir, options.now, { everyMs: limits.failuresLookMs });
  if (options.scansDocker) reaped.push(...(await reapUnrecorded(workspace, options)));
  return reaped;
}

async function reapRecords(workspace: Workspace, records: readonly ClusterRecord[], options: ReapOptions): Promise<Reaped[]> {
  const reaped: Reaped[] = [];
  for (const record of records) {
    const ownership = ownershipOf(record);
    const reason = ownership && reasonToReap(ownership, options.now);
    if (reason) reaped.push(await reapRecord(workspace, record, reason, options.signal));
  }
  return reaped;
}

async function reapRecord(workspace: Workspace, record: ClusterRecord, reason: string, signal: AbortSignal | undefined): Promise<Reaped> {
  const what = `cluster ${record.name}`;
  try {
    await deleteRecorded(workspace, record, signal);
    return { what, reason };
  } catch (error) {
    signal?.throwIfAborted();
    return { what, reason, error: messageOf(error) };
  }
}

/** Deletes a recorded cluster, unless another command was faster. */
export async function deleteRecorded(workspace: Workspace, record: ClusterRecord, signal?: AbortSignal): Promise<void> {
  using _lock = await workspace.records.lock(record.name, signal);
  const current = await workspace.records.read(record.name);
  if (current?.uid === record.uid) await deleteParts(workspace, current, signal);
}

/**
 * Deletes a cluster with its throwaway registry, the processes of its command, and the record, on the Docker host that the
 * record names. The caller holds the lock of its name. What is gone already is no error, so that it can be done again.
 */
export async function deleteParts(workspace: Workspace, record: ClusterRecord, signal?: AbortSignal): Promise<void> {
  await workspace.records.write({ ...record, phase: "Deleting" }).catch((error: unknown) => {
    // A full disk must not keep anybody from deleting: the record stays as it was until all is gone.
    if (systemCodeOf(error) !== "ENOSPC") throw error;
  });
  await endMarked(record.uid);
  const there = await workspace.onHost(record.dockerHost);
  const provider = await there.provider(record.provider);
  await Promise.all([
    record.registry ? (await there.docker()).registries.delete(record.registry, record.instance, signal) : undefined,
    provider.delete(workspace.records.targetOf(record), signal),
  ]);
  await workspace.records.remove(record.name);
  if (record.owner !== "declared") await workspace.records.removeLock(record.name);
}

/** Objects with our label whose record is gone: the data folder was deleted, or a kill came between two steps. */
async function reapUnrecorded(workspace: Workspace, options: ReapOptions): Promise<Reaped[]> {
  const { client } = await workspace.docker();
  const { signal } = options;
  const instance = options.instance ?? (await workspace.instance());
  const label = `${labels.instance}=${instance}`;
  const records = await workspace.records.all();
  const recorded = new Set(records.map(({ uid }) => uid));
  const shared = new Set(records.map(({ network }) => network));
  const unclear = new Set(await workspace.records.unreadable());
  const reason = (found: Labels | null | undefined): string | undefined => {
    const ownership = ownershipIn(found);
    if (!ownership || ownership.instance !== instance || recorded.has(found?.[labels.uid] ?? "")) return undefined;
    if (unclear.has(found?.[labels.cluster] ?? "")) return undefined;
    return reasonToReap(ownership, options.now);
  };
  const reaped: Reaped[] = [];
  const each = async <T>(
    items: T[],
    labelsOf: (item: T) => Labels | null,
    what: (item: T) => string,
    remove: (item: T) => Promise<void>,
  ) => {
    for (const item of items) {
      const why = reason(labelsOf(item));
      if (!why) continue;
      try {
        await remove(item);
        reaped.push({ what: what(item), reason: why });
      } catch (error) {
        signal?.throwIfAborted();
        reaped.push({ what: what(item), reason: why, error: messageOf(error) });
      }
    }
  };
  await each(
    await client.containers([label], signal),
    ({ Labels }) => Labels,
    ({ Names, Id }) => `container ${Names[0]?.slice(1) ?? Id}`,
    async ({ Id }) => await client.removeContainer(Id, signal),
  );
  await each(
    (await client.networks(label, signal)).filter(({ Name }) => !shared.has(Name)),
    ({ Labels }) => Labels,
    ({ Name }) => `network ${Name}`,
    async ({ Id }) => await client.removeNetwork(Id, signal),
  );
  await each(
    await client.volumes(label, signal),
    ({ Labels }) => Labels,
    ({ Name }) => `volume ${Name}`,
    async ({ Name }) => await client.removeVolume(Name, signal),
  );
  await each(
    await client.images({ label: [label] }, signal),
    ({ Labels }) => Labels,
    ({ RepoTags, Id }) => `image ${RepoTags?.[0] ?? Id}`,
    async (image) => await client.removeListed(image, signal),
  );
  return reaped;
}
