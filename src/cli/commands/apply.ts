/** `seatrial apply -f FILE`: the world as the documents say; and `create cluster|registry`, the same without a file. */
import type { Command } from "commander";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { listClusters } from "../../controllers/cluster/observe.ts";
import { applyCluster } from "../../controllers/cluster/reconcile.ts";
import { applyRegistry } from "../../controllers/registry/reconcile.ts";
import type { EnsureResult } from "../../registries/registries.ts";
import { type Cluster, providers } from "../../resources/cluster.ts";
import { clusterNameFromContext, ctlptlProducts } from "../../resources/ctlptl.ts";
import type { Document } from "../../resources/documents.ts";
import { apiVersion } from "../../resources/metadata.ts";
import type { Registry } from "../../resources/registry.ts";
import { reportReaped } from "../../runner/with.ts";
import type { CommandContext } from "../cli.ts";
import { collect, wholeNumberOf } from "./options.ts";
import { documentFrom, readDocuments } from "./documents.ts";
import { addPrintOptions, formatOf, type PrintFlags, printResources } from "./printing.ts";
import { shownName } from "./resource-names.ts";

interface ApplyFlags extends PrintFlags {
  filename?: string[];
  recreate?: boolean;
  adopt?: boolean;
  mergeKubeconfig: boolean;
  /** For `create`: what is there already is an error. */
  mustCreate?: boolean;
}

export function registerApply(program: Command, context: CommandContext): void {
  const command = program
    .command("apply")
    .description("make clusters and registries as the documents say; those that are so already are left alone")
    .option("-f, --filename <file>", "documents to apply: a file, - for standard input, or a URL (again for more)", collect)
    .option("--recreate", "delete and make anew what differs in a way that needs it")
    .option("--adopt", "take over clusters and registries that another tool made")
    .option("--merge-kubeconfig", "put the clusters' contexts into your own kubeconfig, and make the last one current", context.isCtlptl);
  addPrintOptions(command).action(async (flags: ApplyFlags) => {
    const format = formatOf(flags);
    const documents = await readDocuments(flags.filename ?? [], context);
    await reportReaped(context.workspace, { signal: context.signals.signal });
    await applyAll(documents, flags, format, context);
  });
}

async function applyAll(
  documents: readonly Document[],
  flags: ApplyFlags,
  format: ReturnType<typeof formatOf>,
  context: CommandContext,
): Promise<void> {
  const { workspace, signals } = context;
  const { signal } = signals;
  const mustCreate = flags.mustCreate ?? false;
  const results = new Map<Document, string>();
  const failures: unknown[] = [];
  const settle = async (document: Document, work: Promise<string>) => {
    try {
      results.set(document, await work);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(error);
    }
  };
  // Registries first, as ctlptl has it; a cluster boots beside its registry and waits for it only where it needs it.
  const registries = new Map<string, Promise<EnsureResult>>();
  const registry = (resource: Registry, mustCreate: boolean): Promise<EnsureResult> => {
    const name = resource.metadata.name;
    const running = registries.get(name) ?? applyRegistry(workspace, resource, { mayAdopt: flags.adopt ?? false, mustCreate, signal });
    registries.set(name, running);
    running.catch(() => {}); // Awaited by its document and by its clusters.
    return running;
  };
  const work: Promise<void>[] = [];
  for (const document of documents) {
    if (document.kind === "Registry")
      work.push(
        settle(
          document,
          registry(document.resource, mustCreate).then(({ change }) => change),
        ),
      );
  }
  for (const document of documents) {
    if (document.kind !== "Cluster") continue;
    const name = document.resource.spec.registry;
    const needed = name ? (registries.get(name) ?? registry(registryNamed(name), false)) : undefined;
    const options = {
      mayRecreate: flags.recreate ?? false,
      mayAdopt: flags.adopt ?? false,
      mustCreate,
      mergesKubeconfig: flags.mergeKubeconfig,
      registry: needed,
      signal,
    };
    work.push(settle(document, applyCluster(workspace, document.resource, options)));
  }
  await Promise.all(work);
  await printApplied(
    documents.filter((document) => results.has(document)),
    results,
    format,
    context,
  );
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) {
    const first = failures.find((error) => error instanceof SeatrialError);
    const hints = failures.map((error) =>
      error instanceof SeatrialError && error.hint ? `${error.message}\n  hint: ${error.hint}` : messageOf(error),
    );
    throw new SeatrialError(
      first?.code ?? "internal",
      `${failures.length} of ${documents.length} documents could not be applied\n${hints.join("\n")}`,
    );
  }
}

/** A registry that a cluster names and no document declares: as it is, or made with defaults. */
function registryNamed(name: string): Registry {
  return { apiVersion: "seatrial.dev/v1alpha1", kind: "Registry", metadata: { name }, spec: {} };
}

async function printApplied(
  documents: readonly Document[],
  results: ReadonlyMap<Document, string>,
  format: ReturnType<typeof formatOf>,
  context: CommandContext,
): Promise<void> {
  if (!format) {
    for (const document of documents) {
      const group = context.isCtlptl || document.origin === "ctlptl" ? "ctlptl.dev" : "seatrial.dev";
      const name =
        group === "ctlptl.dev" && document.kind === "Cluster"
          ? `${document.resource.spec.provider}-${document.resource.metadata.name}`
          : document.resource.metadata.name;
      context.output.out(`${document.kind.toLowerCase()}.${group}/${name} ${results.get(document)}`);
    }
    return;
  }
  const { workspace } = context;
  const clusters = documents.some(({ kind }) => kind === "Cluster") ? await listClusters(workspace) : [];
  const registries = documents.some(({ kind }) => kind === "Registry") ? await (await workspace.docker()).registries.list() : [];
  for (const { kind, resource } of documents) {
    const all: readonly (Cluster | Registry)[] = kind === "Cluster" ? clusters : registries;
    const found = all.find(({ metadata }) => metadata.name === resource.metadata.name);
    if (found) printResources([found], format, context);
  }
}

interface CreateClusterFlags extends PrintFlags {
  name?: string;
  registry?: string;
  kubernetesVersion?: string;
  minCpus?: number;
  nodes?: number;
  mergeKubeconfig: boolean;
}

interface CreateRegistryFlags extends PrintFlags {
  port?: number;
  listenAddress?: string;
  image?: string;
}

export function registerCreate(program: Command, context: CommandContext): void {
  const create = program.command("create").description("make a cluster or a registry; an error when it is there already");
  const cluster = create
    .command("cluster")
    .description("make a cluster")
    .argument("<product>", providers.join(" or "))
    .option("--name <name>", "its name; default: the product's")
    .option("--registry <name>", "the registry that it pulls from, made when there is none")
    .option("--kubernetes-version <version>", "v1.36 for the newest patch to be had, v1.36.3 for that one")
    .option("--min-cpus <number>", "CPUs that the Docker host must have", wholeNumberOf)
    .option("--nodes <number>", "number of nodes, the control plane among them", wholeNumberOf)
    .option("--merge-kubeconfig", "put its context into your own kubeconfig and make it current", context.isCtlptl);
  addPrintOptions(cluster).action(async (product: string, flags: CreateClusterFlags) => {
    await createOne(clusterFrom(product, flags, context), flags, context);
  });
  const registry = create
    .command("registry")
    .description("make a registry")
    .argument("<name>", "its name, and the host that nodes pull from")
    .option("--port <number>", "port on the Docker host; 0 for any that is free", wholeNumberOf)
    .option("--listen-address <address>", "address of the Docker host that it listens on")
    .option("--image <image>", "image of the registry");
  addPrintOptions(registry).action(async (name: string, flags: CreateRegistryFlags) => {
    const spec = { port: flags.port, listenAddress: flags.listenAddress || undefined, image: flags.image || undefined };
    const document = documentFrom(
      { apiVersion, kind: "Registry", metadata: { name }, spec },
      { "metadata.name": "NAME", "spec.port": "--port", "spec.listenAddress": "--listen-address", "spec.image": "--image" },
    );
    await createOne(document, { ...flags, mergeKubeconfig: false }, context);
  });
}

function clusterFrom(product: string, flags: CreateClusterFlags, context: CommandContext): Document {
  if (!providers.some((provider) => provider === product)) {
    const isKnown = ctlptlProducts.some((each) => each === product);
    throw new SeatrialError(
      "usage",
      `${shownName(product)} is not ${isKnown ? "supported yet" : "a kind of cluster"}: ${providers.join(" and ")} are`,
    );
  }
  const name = flags.name ?? product;
  const spec = {
    provider: product,
    registry: flags.registry || undefined,
    kubernetesVersion: flags.kubernetesVersion || undefined,
    minCPUs: flags.minCpus,
    nodes: flags.nodes,
  };
  return documentFrom(
    { apiVersion, kind: "Cluster", metadata: { name: context.isCtlptl ? clusterNameFromContext(name) : name }, spec },
    {
      "metadata.name": "--name",
      "spec.registry": "--registry",
      "spec.kubernetesVersion": "--kubernetes-version",
      "spec.minCPUs": "--min-cpus",
      "spec.nodes": "--nodes",
    },
  );
}

async function createOne(document: Document, flags: PrintFlags & { mergeKubeconfig: boolean }, context: CommandContext): Promise<void> {
  const format = formatOf(flags);
  await reportReaped(context.workspace, { signal: context.signals.signal });
  await applyAll([document], { ...flags, mustCreate: true }, format, context);
}
