/** What Seatrial's kind clusters are compared with: kind itself, and waiting by kubectl for the same readiness. */
import { join } from "node:path";
import { run } from "../../src/process/run.ts";
import type { BenchContext } from "./context.ts";

export interface PlainCluster {
  name: string;
  kubeconfig: string;
}

/** `kind create cluster`, then waiting for what Seatrial waits for: nodes, the default ServiceAccount, DNS. */
export async function createPlain(context: BenchContext, cluster: PlainCluster, variables: Record<string, string> = {}): Promise<void> {
  await context.run(
    context.program("kind"),
    ["create", "cluster", "--name", cluster.name, "--image", context.nodeImage, "--kubeconfig", cluster.kubeconfig],
    variables,
  );
  await waitByKubectl(context, cluster.kubeconfig);
}

/** kubectl watches: it ends the moment that the condition holds. */
export async function waitByKubectl(context: BenchContext, kubeconfig: string): Promise<void> {
  const wait = async (...args: string[]) =>
    await context.run(context.program("kubectl"), ["--kubeconfig", kubeconfig, "wait", "--timeout=300s", ...args]);
  await wait("--for=condition=Ready", "node", "--all");
  await wait("--for=create", "serviceaccount/default");
  await wait("--for=condition=Available", "--namespace=kube-system", "deployment/coredns");
}

export async function deletePlain(
  context: BenchContext,
  clusters: readonly PlainCluster[],
  variables: Record<string, string> = {},
): Promise<void> {
  const kubeconfig = join(context.directory, "kind-delete");
  await context.run(
    context.program("kind"),
    ["delete", "clusters", ...clusters.map(({ name }) => name), "--kubeconfig", kubeconfig],
    variables,
  );
}

export function newPlain(context: BenchContext): PlainCluster {
  const name = context.newName("bk");
  return { name, kubeconfig: join(context.directory, `${name}.kubeconfig`) };
}

/** Deletes the plain clusters that a stopped benchmark left. kind's own network stays: others may be on it. */
export async function removePlainRemains(context: BenchContext, variables: Record<string, string> = {}): Promise<void> {
  const env = { ...context.variables, ...variables };
  const listed = (await run(context.program("kind"), ["get", "clusters"], { env, timeoutMs: 60_000 })).stdout.split("\n");
  const left = listed.filter((name) => name.startsWith(`bk-${process.pid}-`));
  if (left.length > 0)
    await run(context.program("kind"), ["delete", "clusters", ...left, "--kubeconfig", join(context.directory, "kind-delete")], {
      env,
      timeoutMs: 300_000,
    });
}
