/** `seatrial delete -f FILE`, `delete cluster|registry NAME…`. */
import type { Command } from "commander";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { deleteCluster } from "../../controllers/cluster/reconcile.ts";
import { deleteRegistry } from "../../controllers/registry/reconcile.ts";
import { type Cluster, contextNameOf } from "../../resources/cluster.ts";
import { clusterNameFromContext } from "../../resources/ctlptl.ts";
import type { CommandContext } from "../cli.ts";
import { collect } from "./options.ts";
import { readDocuments } from "./documents.ts";
import { canBeNamed, findRecord, namedBy, type Noun, shownName } from "./resource-names.ts";

interface DeleteFlags {
  filename?: string[];
  ignoreNotFound?: boolean;
  cascade: string;
}

interface Doomed {
  kind: Noun;
  name: string;
  /** The name as the user wrote it. */
  shown: string;
  /** API group of the document that it was declared in. */
  group: string;
  /** The Docker host of a registry that goes with its cluster; absent for the one that the command speaks to. */
  dockerHost?: string | undefined;
}

export function registerDelete(program: Command, context: CommandContext): void {
  program
    .command("delete")
    .description("delete clusters and registries, with all that is in them")
    .argument("[kind]", "cluster or registry, or KIND/NAME")
    .argument("[names...]", "those to delete, or more of KIND/NAME")
    .option("-f, --filename <file>", "delete what these documents declare (again for more)", collect)
    .option("--ignore-not-found", "what is not there is no error")
    .option("--cascade <true|false>", "also delete the registry of a cluster", "false")
    .action(async (_kind: string | undefined, _names: string[], flags: DeleteFlags, { args }: Command) => {
      if (!["true", "false"].includes(flags.cascade)) throw new SeatrialError("usage", `--cascade ${flags.cascade}: true or false`);
      if (flags.filename && args.length > 0) throw new SeatrialError("usage", `either -f or ${args.join(" ")}: not both`);
      const doomed = flags.filename ? await declared(flags.filename, context) : await named(args, context);
      const registries = flags.cascade === "true" ? await registriesOf(doomed, context) : [];
      // Registries first, as ctlptl has it; the clusters all at once. What fails keeps nothing else from being deleted.
      const failures: unknown[] = [];
      const attempt = async (each: Doomed) => await deleteOne(each, flags, context).catch((error: unknown) => void failures.push(error));
      for (const each of [...doomed.filter((one) => one.kind === "registry"), ...registries]) await attempt(each);
      await Promise.all(doomed.filter((one) => one.kind === "cluster").map(attempt));
      if (failures.length === 1) throw failures[0];
      if (failures.length > 1) {
        const first = failures.find((error) => error instanceof SeatrialError);
        throw new SeatrialError(first?.code ?? "internal", failures.map(messageOf).join("\n"), { hint: first?.hint, cause: failures[0] });
      }
    });
}

async function declared(files: readonly string[], context: CommandContext): Promise<Doomed[]> {
  const documents = await readDocuments(files, context);
  return documents.map(({ kind, resource, origin }) => {
    const { name } = resource.metadata;
    const isCtlptl = origin === "ctlptl" || context.isCtlptl;
    const shown = isCtlptl && kind === "Cluster" ? contextNameOf(resource as Cluster) : name;
    return { kind: kind === "Cluster" ? "cluster" : "registry", name, shown, group: groupOf(isCtlptl) };
  });
}

async function named(words: readonly string[], context: CommandContext): Promise<Doomed[]> {
  const called = namedBy(words).flatMap(({ noun, name }) => (name === undefined ? [] : [{ kind: noun, shown: name }]));
  if (called.length === 0) {
    throw new SeatrialError("usage", "nothing to delete was named", {
      hint: "seatrial delete cluster NAME…, seatrial delete registry NAME…, or seatrial delete -f FILE",
    });
  }
  const doomed = new Map<string, Doomed>(); // Each once, however often and by whichever of its names it is called.
  for (const { kind, shown } of called) {
    const name = kind === "registry" ? shown : await clusterNamed(shown, context);
    if (!doomed.has(`${kind}/${name}`)) doomed.set(`${kind}/${name}`, { kind, name, shown, group: groupOf(context.isCtlptl) });
  }
  return [...doomed.values()];
}

/** A cluster may be called by its name or by its context, which for ctlptl comes first. */
async function clusterNamed(shown: string, context: CommandContext): Promise<string> {
  const ofContext = clusterNameFromContext(shown);
  if (context.isCtlptl && ofContext !== shown) return ofContext;
  return (await findRecord(context.workspace.records, shown))?.name ?? ofContext;
}

async function registriesOf(doomed: readonly Doomed[], context: CommandContext): Promise<Doomed[]> {
  const records = await Promise.all(
    doomed.filter(({ kind, name }) => kind === "cluster" && canBeNamed(kind, name)).map(({ name }) => context.workspace.records.read(name)),
  );
  // A registry of the same name on another host is another one.
  const hosts = new Map(
    records.flatMap((record) => (record?.resource.spec.registry ? [[record.resource.spec.registry, record.dockerHost] as const] : [])),
  );
  const others = (await context.workspace.records.all()).filter(
    ({ name }) => !doomed.some((one) => one.kind === "cluster" && one.name === name),
  );
  for (const { name, resource } of others) {
    if (!hosts.delete(resource.spec.registry ?? "")) continue;
    context.output.err(`registry ${resource.spec.registry} stays: cluster ${name} uses it too`);
  }
  return [...hosts]
    .filter(([name]) => !doomed.some((one) => one.kind === "registry" && one.name === name))
    .map(([name, dockerHost]) => ({ kind: "registry", name, shown: name, group: groupOf(context.isCtlptl), dockerHost }));
}

function groupOf(isCtlptl: boolean): string {
  return isCtlptl ? "ctlptl.dev" : "seatrial.dev";
}

async function deleteOne({ kind, name, shown, group, dockerHost }: Doomed, flags: DeleteFlags, context: CommandContext): Promise<void> {
  const { workspace, output } = context;
  const isDeleted =
    canBeNamed(kind, name) &&
    (kind === "cluster"
      ? await deleteCluster(workspace, name, context.signals.signal)
      : await deleteRegistry(await workspace.onHost(dockerHost), name, context.isCtlptl, context.signals.signal));
  if (isDeleted) output.out(`${kind}.${group}/${shown} deleted`);
  else if (!flags.ignoreNotFound)
    throw new SeatrialError("not-found", `there is no ${kind} ${shownName(shown)}`, {
      hint: `seatrial get ${kind} lists those that there are`,
    });
}
