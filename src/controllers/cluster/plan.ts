/**
 * What to do about a declared cluster: the pure half of the reconciler. Everything that it may know is in its arguments.
 *
 * Destruction is never a conclusion: a cluster is deleted only when it was half-made by us, or when the user said
 * `--recreate`. One that cannot be asked is left alone, with an error.
 */
import type { ObservedCluster } from "../../clusters/provider.ts";
import type { ClusterRecord } from "../../clusters/records.ts";
import type { Cluster } from "../../resources/cluster.ts";
import { type Difference, diffCluster } from "../../resources/diff.ts";

export interface PlanInput {
  desired: Cluster;
  /** What is there under that name, with any provider. */
  observed: ObservedCluster | undefined;
  /** What this installation noted about that name. */
  record: ClusterRecord | undefined;
  /** The Docker host that the record's cluster is on, and the one that this command speaks to, where they are not the same. */
  elsewhere?: { there: string; here: string } | undefined;
  /** This installation's id. */
  instance: string;
  mayRecreate: boolean;
  mayAdopt: boolean;
}

export type Plan =
  | { action: "create"; deletesFirst?: { why: string } }
  | { action: "recreate"; differences: Difference[] }
  | { action: "adopt" }
  /** Nothing that needs a new cluster: start it if it stopped, put in what can be changed in place, see that it is Ready. */
  | { action: "keep"; differences: Difference[]; mustStart: boolean }
  | { action: "refuse"; code: "refused" | "conflict"; message: string; hint: string; differences?: Difference[] };

export function planCluster(input: PlanInput): Plan {
  const { desired, observed, record, instance } = input;
  const name = desired.metadata.name;
  if (input.elsewhere) {
    const { there, here } = input.elsewhere;
    return {
      action: "refuse",
      code: "conflict",
      message: `cluster ${name} is on ${there}, and this command speaks to ${here}; nothing was touched`,
      hint: `with DOCKER_HOST=${there} the same command works on it; seatrial delete cluster ${name} deletes it, wherever it is`,
    };
  }
  const isRecorded = record !== undefined && (observed === undefined || isSame(observed, record));
  if (!observed) {
    // Its parts are gone, by whatever hand: a record alone is no cluster.
    return record ? { action: "create", deletesFirst: { why: "nothing of it is there any more" } } : { action: "create" };
  }
  const isOurs = isRecorded || observed.ownership?.instance === instance;
  if (!isOurs) return planForeign(input, observed);
  if (record && isRecorded && record.phase !== "Ready") {
    return { action: "create", deletesFirst: { why: record.phase === "Booting" ? "it was only half made" : "it was only half deleted" } };
  }
  if (observed.state === "paused") {
    return {
      action: "refuse",
      code: "conflict",
      message: `cluster ${name} is paused: its API cannot answer`,
      hint: "docker unpause its containers, then run the same command again",
    };
  }
  const current = record?.resource ?? observed.resource;
  const differences = current ? diffCluster(current, desired) : [];
  const needsNew = differences.filter(({ change }) => change === "recreate");
  if (needsNew.length === 0) return { action: "keep", differences, mustStart: observed.state !== "running" };
  if (input.mayRecreate) return { action: "recreate", differences: needsNew };
  return {
    action: "refuse",
    code: "refused",
    message: `cluster ${name} is not as asked for, and only a new cluster could be; it was not touched`,
    hint: "apply --recreate deletes it, with all that is in it, and makes a new one",
    differences: needsNew,
  };
}

/** A cluster that another tool or another installation made. */
function planForeign({ desired, mayAdopt, record }: PlanInput, observed: ObservedCluster): Plan {
  const name = desired.metadata.name;
  if (observed.ownership && observed.ownership.owner !== "declared") {
    return {
      action: "refuse",
      code: "refused",
      message: `cluster ${name} is held by a command of another installation of Seatrial; it was not touched`,
      hint: "choose another name, or wait until that command has ended",
    };
  }
  if (record) {
    return {
      action: "refuse",
      code: "conflict",
      message: `cluster ${name} is there already, and this installation has another cluster of that name (${record.provider}); neither was touched`,
      hint: `seatrial delete cluster ${name} deletes the one of this installation`,
    };
  }
  if (mayAdopt) return { action: "adopt" };
  const whose = observed.ownership ? "another installation of Seatrial" : "kind or another tool";
  return {
    action: "refuse",
    code: "refused",
    message: `cluster ${name} is there already and was made by ${whose}; it was not touched`,
    hint: "apply --adopt takes it over; or choose another name",
  };
}

/** Whether the record is about this very cluster: ids decide, names prove nothing. */
export function isSame(observed: ObservedCluster, record: ClusterRecord): boolean {
  return observed.provider === record.provider && (observed.uid === record.uid || observed.parts.includes(record.uid));
}
