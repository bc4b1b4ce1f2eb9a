/** How the command line names clusters and registries: `cluster NAME`, or `cluster/NAME`, as `-o name` prints it. */
import { SeatrialError } from "../../base/errors.ts";
import type { ClusterRecord, ClusterRecords } from "../../clusters/records.ts";
import { clusterNameProblem } from "../../resources/cluster.ts";
import { clusterNameFromContext } from "../../resources/ctlptl.ts";
import { registryContainerNameProblem } from "../../resources/registry.ts";

export type Noun = "cluster" | "registry";

export const nouns: Readonly<Record<string, Noun>> = {
  cluster: "cluster",
  clusters: "cluster",
  registry: "registry",
  registries: "registry",
};

/** @param word with or without its API group, ours or ctlptl's. @throws SeatrialError `usage`. */
function nounOf(word: string): Noun {
  const plain = word.replace(/\.(seatrial|ctlptl)\.dev$/, "");
  const noun = Object.hasOwn(nouns, plain) ? nouns[plain] : undefined;
  if (!noun) throw new SeatrialError("usage", `${JSON.stringify(word)} is not a kind of resource`, { hint: "cluster or registry" });
  return noun;
}

/**
 * What the words name: a kind and names of that kind, or each a kind and a name. A kind alone has no names.
 * @throws SeatrialError `usage`.
 */
export function namedBy(words: readonly string[]): { noun: Noun; name?: string }[] {
  const [first, ...rest] = words;
  if (first === undefined) return [];
  if (!first.includes("/")) {
    const noun = nounOf(first);
    return rest.length === 0 ? [{ noun }] : rest.map((name) => ({ noun, name }));
  }
  return words.map((word) => {
    const at = word.indexOf("/");
    if (at === -1) throw new SeatrialError("usage", `${JSON.stringify(word)} is not KIND/NAME, as ${JSON.stringify(first)} is`);
    return { noun: nounOf(word.slice(0, at)), name: word.slice(at + 1) };
  });
}

/** Whether something can have that name: what cannot is not there, and its name must not become a path. */
export function canBeNamed(noun: Noun, name: string): boolean {
  return (noun === "cluster" ? clusterNameProblem(name) : registryContainerNameProblem(name)) === undefined;
}

/** The record of a cluster that is called by its name, or by its context; a name that looks like a context comes first. */
export async function findRecord(records: ClusterRecords, called: string): Promise<ClusterRecord | undefined> {
  for (const name of [called, clusterNameFromContext(called), called.replace(/^bare-/, "")]) {
    const record = canBeNamed("cluster", name) ? await records.read(name) : undefined;
    if (record) return record;
  }
  return undefined;
}

/** The same, when it has to be there. @throws SeatrialError `not-found`. */
export async function recordOfCluster(records: ClusterRecords, called: string): Promise<ClusterRecord> {
  const record = await findRecord(records, called);
  if (record) return record;
  throw new SeatrialError("not-found", `there is no cluster ${shownName(called)} of this installation`, {
    hint: "seatrial get clusters lists those that there are",
  });
}

/** A name for a message: in quotes when it could be taken for something else. */
export function shownName(name: string): string {
  return /^[\w.-]+$/.test(name) ? name : JSON.stringify(name);
}
