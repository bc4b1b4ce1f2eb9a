/** `seatrial get [clusters|registries] [NAME]`, and `seatrial kubeconfig NAME`. */
import type { Command } from "commander";
import { SeatrialError } from "../../base/errors.ts";
import { listClusters } from "../../controllers/cluster/observe.ts";
import { kubeconfigOf } from "../../controllers/cluster/reconcile.ts";
import type { Cluster } from "../../resources/cluster.ts";
import { clusterNameFromContext } from "../../resources/ctlptl.ts";
import type { Registry } from "../../resources/registry.ts";
import type { CommandContext } from "../cli.ts";
import { clustersTable, ctlptlClustersTable, registriesTable } from "../print/tables.ts";
import { addPrintOptions, formatOf, type PrintFlags, printResources } from "./printing.ts";
import { namedBy, recordOfCluster, shownName } from "./resource-names.ts";

interface GetFlags extends PrintFlags {
  fieldSelector?: string;
  ignoreNotFound?: boolean;
}

export function registerGet(program: Command, context: CommandContext): void {
  const command = program
    .command("get")
    .description("show clusters and registries")
    .argument("[kind]", "cluster or registry, or KIND/NAME; default: both")
    .argument("[name]", "only this one")
    .option("--field-selector <selector>", "name=NAME, product=PRODUCT (or provider=PROVIDER), separated by commas")
    .option("--ignore-not-found", "an absent NAME is no error");
  addPrintOptions(command).action(async (_kind: string | undefined, _name: string | undefined, flags: GetFlags, { args }: Command) => {
    const format = formatOf(flags);
    const selector = parseSelector(flags.fieldSelector);
    const [asked, another] = namedBy(args);
    if (another)
      throw new SeatrialError("usage", "get shows one by its name, or all", { hint: "seatrial get KIND NAME, seatrial get KIND" });
    const { noun, name } = asked ?? {};
    // ctlptl shows clusters when it is asked for nothing.
    const wantsClusters = noun !== "registry";
    const wantsRegistries = noun === "registry" || (noun === undefined && !context.isCtlptl);
    const clusters = wantsClusters ? select(await listClusters(context.workspace, context.signals.signal), name, selector, context) : [];
    const registries = wantsRegistries ? select(await listRegistries(context, noun === "registry"), name, selector, context) : [];
    if (name !== undefined && clusters.length + registries.length === 0) {
      if (flags.ignoreNotFound) return;
      throw new SeatrialError("not-found", `there is no ${noun} ${shownName(name)}`, {
        hint: `seatrial get ${noun} lists those that there are`,
      });
    }
    if (format) {
      printResources([...clusters, ...registries], format, context, { list: name === undefined });
      return;
    }
    const now = Date.now();
    const { output } = context;
    if (clusters.length > 0) output.write(context.isCtlptl ? ctlptlClustersTable(clusters, now) : clustersTable(clusters, now));
    if (clusters.length > 0 && registries.length > 0) output.out("");
    if (registries.length > 0) output.write(registriesTable(registries, now));
    if (clusters.length + registries.length === 0)
      output.err(noun ? `No ${noun === "cluster" ? "clusters" : "registries"} found` : "No clusters or registries found");
  });

  program
    .command("kubeconfig")
    .description("print the path of a cluster's own kubeconfig: KUBECONFIG=$(seatrial kubeconfig NAME)")
    .argument("<name>")
    .action(async (name: string) => {
      const record = await recordOfCluster(context.workspace.records, name);
      context.output.out(await kubeconfigOf(context.workspace, record, context.signals.signal));
    });
}

async function listRegistries(context: CommandContext, isAsked: boolean): Promise<Registry[]> {
  try {
    return await (await context.workspace.docker()).registries.list(context.signals.signal);
  } catch (error) {
    if (isAsked || !(error instanceof SeatrialError) || error.code !== "unreachable") throw error;
    return []; // The list of clusters has said that Docker does not answer.
  }
}

function select<T extends Cluster | Registry>(
  all: readonly T[],
  name: string | undefined,
  selector: Record<string, string>,
  context: CommandContext,
): T[] {
  return all.filter((resource) => {
    const own = resource.metadata.name;
    const names = resource.kind === "Cluster" ? [own, resource.status?.context ?? own] : [own];
    const provider = resource.kind === "Cluster" ? resource.spec.provider : undefined;
    if (name !== undefined && !names.includes(name) && !(context.isCtlptl && own === clusterNameFromContext(name))) return false;
    if (selector["name"] !== undefined && !names.includes(selector["name"])) return false;
    return selector["product"] === undefined || selector["product"] === provider;
  });
}

function parseSelector(text: string | undefined): Record<string, string> {
  const selector: Record<string, string> = {};
  for (const term of (text ?? "").split(",").filter((part) => part !== "")) {
    const [, field = "", value = ""] = /^(\w+)==?(.*)$/.exec(term) ?? [];
    const known: Record<string, string> = { name: "name", product: "product", provider: "product" };
    if (!known[field])
      throw new SeatrialError("usage", `--field-selector ${text}: ${JSON.stringify(term)} is not name=NAME or product=PRODUCT`);
    selector[known[field]!] = value;
  }
  return selector;
}
