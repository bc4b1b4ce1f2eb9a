/**
 * What is left of a step that made a cluster, when the job has it already: later steps know it by the names that the action gave it.
 * Its context is added to the job's kubeconfig, and is current from here on, as the actions have it.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { SeatrialError } from "../../base/errors.ts";
import { hoistedName } from "../../workflows/read/hoisted-name.ts";
import type { ActionContext, BuiltInAction } from "../actions/action.ts";

interface Kubeconfig {
  "current-context": string;
  contexts: { name: string; context: object }[];
}

export const kindAction: BuiltInAction = {
  name: "helm/kind-action",
  async main(context) {
    const name = context.inputs["cluster_name"] ?? "";
    const cluster = await takeUp(context, name, `kind-${name || "chart-testing"}`);
    // What the action says of the registry that it was asked for.
    if (cluster.registry !== undefined && context.inputs["registry"]?.toLowerCase() === "true") {
      context.addVariable("LOCAL_REGISTRY", cluster.registry);
      context.setOutput("LOCAL_REGISTRY", cluster.registry);
    }
  },
};

export const minikube: BuiltInAction = {
  name: "medyagh/setup-minikube",
  async main(context) {
    await takeUp(context, "", "minikube");
  },
};

export const ownAction: BuiltInAction = {
  name: "seatrial/seatrial",
  async main(context) {
    const name = context.inputs["name"] ?? "";
    const cluster = await takeUp(context, name, hoistedName(name));
    context.setOutput("kubeconfig", context.env["KUBECONFIG"] ?? "");
    context.setOutput("registry", cluster.registry ?? "");
  },
};

/** @throws SeatrialError `invalid` where there is no cluster: the step is one of another action, which nobody looks into beforehand. */
async function takeUp(
  { assignment, env, say }: ActionContext,
  asked: string,
  contextName: string,
): Promise<ActionContext["assignment"]["clusters"][number]> {
  const [first] = assignment.clusters;
  const wanted = hoistedName(asked);
  const cluster = assignment.clusters.find(({ name }) => name === wanted) ?? first;
  const path = env["KUBECONFIG"] ?? "";
  if (!cluster || path === "")
    throw new SeatrialError("invalid", "there is no cluster: a step of another action cannot make one", {
      hint: "use it in a step of the job, or write `cluster` in the job",
    });
  const read = JSON.parse(readFileSync(path, "utf8")) as Kubeconfig;
  const own = read.contexts.find(({ name }) => name === cluster.name);
  if (!own) throw new SeatrialError("invalid", `${path} has no context ${cluster.name} any more`);
  const contexts = [...read.contexts.filter(({ name }) => name !== contextName), { ...own, name: contextName }];
  writeFileSync(path, JSON.stringify({ ...read, contexts, "current-context": contextName }), { mode: 0o600 });
  say(`cluster ${cluster.name} is there since before the first step; its context is ${contextName}`);
  return await Promise.resolve(cluster);
}
