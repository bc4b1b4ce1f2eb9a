/** `seatrial with kind|bare|-f FILE -- COMMAND…` */
import { resolve } from "node:path";
import type { Command } from "commander";
import { SeatrialError } from "../../base/errors.ts";
import { type Cluster, providers } from "../../resources/cluster.ts";
import { apiVersion } from "../../resources/metadata.ts";
import type { Registry } from "../../resources/registry.ts";
import { ownFailureCode, runWith } from "../../runner/with.ts";
import type { CommandContext } from "../cli.ts";
import { documentFrom, readDocuments, sourceName } from "./documents.ts";
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
    .argument("[what]", `what to boot: ${providers.join(" or ")}; or -f`)
    .argument("[command...]", "after --: the command and its arguments")
    .option("-f, --filename <file>", "boot what this file, - for standard input, or URL declares: one Cluster, and at most one Registry")
    .option("--image <tag>", "put this image of the Docker host into the cluster's registry (again for more)", collect)
    .option("--kubernetes-version <version>", "v1.36 for the newest patch to be had, v1.36.3 for that one")
    .option("--keep-on-failure", "leave the cluster when the command fails")
    .option("--junit <file>", "write kubetest2's junit_runner.xml there, and metadata.json beside it")
    .passThroughOptions(false)
    .addHelpText(
      "after",
      `
The command finds KUBECONFIG, ARTIFACTS (a folder), and where the cluster has nodes REGISTRY (to push to from here)
and REGISTRY_IN_CLUSTER (the same registry, from nodes and pods). Exit code: the command's; 2 when
this command line is wrong; ${ownFailureCode} when Seatrial failed, or there is no such command; 128+n when signal n ended it.`,
    )
    .action(async (_what: string | undefined, _command: string[], flags: WithFlags, command: Command) => {
      const { what, program } = splitWords(command.args, afterDashes(context.argv), flags);
      context.exitCode = ownFailureCode;
      const { cluster, registry } = await documentsFor(what, flags, context);
      context.exitCode = await runWith(context.workspace, {
        cluster,
        registry,
        images: flags.image ?? [],
        keepOnFailure: flags.keepOnFailure ?? false,
        junit: flags.junit === undefined ? undefined : resolve(context.environment.cwd, flags.junit),
        command: program,
        signals: context.signals,
      });
    });
}

/** How many words come after `--`; undefined without it. */
function afterDashes(argv: readonly string[]): number | undefined {
  const at = argv.indexOf("--");
  return at === -1 ? undefined : argv.length - at - 1;
}

/** @param ofCommand how many of the words are the command's for certain: those after `--`. */
function splitWords(
  words: readonly string[],
  ofCommand: number | undefined,
  flags: WithFlags,
): { what: string | undefined; program: [string, ...string[]] } {
  const hint = `seatrial with ${providers.join("|")} -- COMMAND, or seatrial with -f FILE -- COMMAND`;
  const isProvider = (word: string | undefined) => providers.some((provider) => provider === word);
  const hasFile = flags.filename !== undefined;
  const [first] = words;
  if (hasFile && (ofCommand === undefined ? isProvider(first) : words.length > ofCommand)) {
    throw new SeatrialError("usage", `either ${first} or -f ${flags.filename}: the file says what is booted`, { hint });
  }
  if (!hasFile && !isProvider(first)) {
    const message = first === undefined ? "what shall be booted is missing" : `${JSON.stringify(first)} is not a kind of cluster`;
    throw new SeatrialError("usage", message, { hint });
  }
  const what = hasFile ? undefined : first;
  const [program, ...args] = hasFile ? words : words.slice(1);
  if (program === undefined)
    throw new SeatrialError("usage", "the command is missing", { hint: `seatrial with ${what ?? "-f FILE"} -- COMMAND` });
  if (what !== undefined && ofCommand !== undefined && words.length > ofCommand + 1)
    throw new SeatrialError("usage", `${JSON.stringify(program)} is neither before nor in the command: that begins after --`, { hint });
  return { what, program: [program, ...args] };
}

async function documentsFor(
  what: string | undefined,
  flags: WithFlags,
  context: CommandContext,
): Promise<{ cluster: Cluster; registry: Registry | undefined }> {
  const version = flags.kubernetesVersion;
  if (what !== undefined) {
    const spec = { provider: what, kubernetesVersion: version || undefined };
    const asked = { apiVersion, kind: "Cluster", metadata: { name: "throwaway" }, spec };
    const document = documentFrom(asked, { "spec.kubernetesVersion": "--kubernetes-version" });
    return { cluster: document.resource as Cluster, registry: undefined };
  }
  const file = flags.filename!;
  const documents = await readDocuments([file], context);
  const clusters = documents.filter((document) => document.kind === "Cluster");
  const registries = documents.filter((document) => document.kind === "Registry");
  if (clusters.length !== 1 || registries.length > 1) {
    throw new SeatrialError(
      "usage",
      `${sourceName(file)} declares ${clusters.length} clusters and ${registries.length} registries; seatrial with needs one cluster and at most one registry`,
    );
  }
  const cluster = clusters[0]!.resource;
  return {
    cluster: version ? { ...cluster, spec: { ...cluster.spec, kubernetesVersion: version } } : cluster,
    registry: registries[0]?.resource,
  };
}
