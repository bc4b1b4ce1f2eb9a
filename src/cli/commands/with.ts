/** `seatrial with kind|bare|-f FILE -- COMMAND…` */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Command } from "commander";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { type Cluster, providers } from "../../resources/cluster.ts";
import { loadDocuments } from "../../resources/documents.ts";
import type { Registry } from "../../resources/registry.ts";
import { ownFailureCode, runWith } from "../../runner/with.ts";
import type { CommandContext } from "../cli.ts";
import { collect } from "./options.ts";

interface WithFlags {
  filename?: string;
  image?: string[];
  kubernetesVersion?: string;
  keepOnFailure?: boolean;
  junit?: string;
}

export function registerWith(program: Command, context: CommandContext): void {
  program
    .command("with")
    .description("run a command in a throwaway cluster, and delete the cluster whatever happens")
    .usage("kind|bare|-f FILE [options] -- COMMAND [ARGUMENT…]")
    .argument("[words...]", "what to boot, and after -- the command")
    .option("-f, --filename <file>", "boot what this file declares: one Cluster, and at most one Registry")
    .option("--image <tag>", "put this image of the Docker host into the cluster's registry (again for more)", collect)
    .option("--kubernetes-version <version>", "v1.36 for the newest patch to be had, v1.36.3 for that one")
    .option("--keep-on-failure", "leave the cluster when the command fails")
    .option("--junit <file>", "write kubetest2's junit_runner.xml there, and metadata.json beside it")
    .passThroughOptions(false)
    .addHelpText(
      "after",
      `
The command finds KUBECONFIG, ARTIFACTS (a folder), and where the cluster has nodes REGISTRY (to push to from here)
and REGISTRY_IN_CLUSTER (the same registry, from nodes and pods). Exit code: the command's; ${ownFailureCode} when Seatrial
failed; 128+n when signal n ended it.`,
    )
    .action(async (words: string[], flags: WithFlags) => {
      const { what, command } = splitWords(words, flags);
      context.exitCode = ownFailureCode;
      const { cluster, registry } = await documentsFor(what, flags, context);
      context.exitCode = await runWith(context.workspace, {
        cluster,
        registry,
        images: flags.image ?? [],
        keepOnFailure: flags.keepOnFailure ?? false,
        junit: flags.junit === undefined ? undefined : resolve(context.environment.cwd, flags.junit),
        command,
        signals: context.signals,
      });
    });
}

function splitWords(words: string[], flags: WithFlags): { what: string | undefined; command: [string, ...string[]] } {
  const hasProvider = flags.filename === undefined;
  const what = hasProvider ? words[0] : undefined;
  const rest = hasProvider ? words.slice(1) : words;
  const [program, ...args] = rest;
  if (hasProvider && !providers.some((provider) => provider === what)) {
    throw new SeatrialError(
      "usage",
      what === undefined ? "what shall be booted is missing" : `${JSON.stringify(what)} is not a kind of cluster`,
      {
        hint: `seatrial with ${providers.join("|")} -- COMMAND, or seatrial with -f FILE -- COMMAND`,
      },
    );
  }
  if (program === undefined)
    throw new SeatrialError("usage", "the command is missing", { hint: `seatrial with ${what ?? "-f FILE"} -- COMMAND` });
  return { what, command: [program, ...args] };
}

async function documentsFor(
  what: string | undefined,
  flags: WithFlags,
  context: CommandContext,
): Promise<{ cluster: Cluster; registry: Registry | undefined }> {
  const version = flags.kubernetesVersion;
  if (what !== undefined) {
    const text = JSON.stringify({
      apiVersion: "seatrial.dev/v1alpha1",
      kind: "Cluster",
      metadata: { name: "throwaway" },
      spec: { provider: what, ...(version ? { kubernetesVersion: version } : {}) },
    });
    const [document] = loadDocuments(text, "command line");
    return { cluster: document!.resource as Cluster, registry: undefined };
  }
  const file = flags.filename!;
  const text = await readFile(resolve(context.environment.cwd, file), "utf8").catch((error: unknown) => {
    throw new SeatrialError("usage", `cannot read ${file}: ${messageOf(error)}`, { cause: error });
  });
  const documents = loadDocuments(text, file);
  const clusters = documents.filter((document) => document.kind === "Cluster");
  const registries = documents.filter((document) => document.kind === "Registry");
  if (clusters.length !== 1 || registries.length > 1) {
    throw new SeatrialError(
      "usage",
      `${file} declares ${clusters.length} clusters and ${registries.length} registries; seatrial with needs one cluster and at most one registry`,
    );
  }
  const cluster = clusters[0]!.resource;
  return {
    cluster: version ? { ...cluster, spec: { ...cluster.spec, kubernetesVersion: version } } : cluster,
    registry: registries[0]?.resource,
  };
}
