/** Seatrial's side: documents applied, and deleted by the same documents. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import type { BenchContext } from "./context.ts";

export interface Declared {
  names: string[];
  file: string;
}

/** A file with as many kind clusters, and a registry for the first when asked for. */
export async function declare(context: BenchContext, count: number, withRegistry: boolean): Promise<Declared> {
  const names = Array.from({ length: count }, () => context.newName("bs"));
  const registry = context.newName("br");
  const clusters = names.map((name, i) => ({
    apiVersion: "seatrial.dev/v1alpha1",
    kind: "Cluster",
    metadata: { name },
    spec: { provider: "kind", ...(withRegistry && i === 0 ? { registry } : {}) },
  }));
  const registries = withRegistry ? [{ apiVersion: "seatrial.dev/v1alpha1", kind: "Registry", metadata: { name: registry } }] : [];
  const file = join(context.directory, `${names[0]}.yaml`);
  await writeFile(file, [...registries, ...clusters].map((document) => stringify(document)).join("---\n"));
  return { names, file };
}

/** Deletes what is declared still: a stopped benchmark's clusters and registries. */
export async function removeDeclaredRemains(context: BenchContext, variables: Record<string, string> = {}): Promise<void> {
  const signal = new AbortController().signal; // Also when the benchmarks were stopped.
  const names = async (kind: string) =>
    (await context.seatrial(["get", kind, "-o", "name"], variables, signal)).split("\n").map((line) => line.replace(/^.*\//, ""));
  const mine = new RegExp(`^b[sr]-${process.pid}-`);
  for (const kind of ["cluster", "registry"]) {
    const left = (await names(kind)).filter((name) => mine.test(name));
    if (left.length > 0) await context.seatrial(["delete", kind, ...left, "--ignore-not-found"], variables, signal);
  }
}
