/** The `-o` options, which every command that shows resources has, and the way that they are shown. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { SeatrialError } from "../../base/errors.ts";
import type { Cluster } from "../../resources/cluster.ts";
import { isFromCtlptl, toCtlptl } from "../../resources/ctlptl.ts";
import type { Registry } from "../../resources/registry.ts";
import type { CommandContext } from "../cli.ts";
import { type Format, parseFormat, type Printable, printObjects } from "../print/formats.ts";

export interface PrintFlags {
  output?: string;
  template?: string;
  allowMissingTemplateKeys: boolean;
}

export function addPrintOptions(command: Command): Command {
  return command
    .option("-o, --output <format>", "json|yaml|kyaml|name|jsonpath=TEMPLATE|jsonpath-file=FILE|jsonpath-as-json=TEMPLATE")
    .option("--template <template>", "the template or its file, when -o names none")
    .option("--allow-missing-template-keys", "treat a field that is not there as empty; =false: as an error", true)
    .option("--show-managed-fields", "accepted as ctlptl does; our resources have none");
}

/** Undefined when no format was asked for. Called first, so that a typo is found before anything is done. */
export function formatOf(flags: PrintFlags): Format | undefined {
  if (!flags.output) {
    if (flags.template === undefined) return undefined;
    throw new SeatrialError("usage", "--template is for an -o that takes one", { hint: "-o jsonpath --template='{.metadata.name}'" });
  }
  return parseFormat(flags.output, {
    template: flags.template,
    allowMissingKeys: flags.allowMissingTemplateKeys,
    readFile: (path) => readFileSync(path, "utf8"),
  });
}

/** Our documents are shown as ours, ctlptl's as ctlptl would; the command `ctlptl` shows all as ctlptl. */
export function printResources(
  resources: readonly (Cluster | Registry)[],
  format: Format,
  context: CommandContext,
  options: { list?: boolean } = {},
): void {
  const objects = resources
    .map(withoutPasswords)
    .map((resource) => (context.isCtlptl || isFromCtlptl(resource) ? toCtlptl(resource) : resource) as Printable);
  context.output.write(printObjects(objects, format, options));
}

/** A password that is not a reference to the environment would end in a log. */
function withoutPasswords(resource: Cluster | Registry): Cluster | Registry {
  if (resource.kind !== "Cluster" || !resource.spec.registryAuths) return resource;
  const registryAuths = resource.spec.registryAuths.map((auth) =>
    auth.password && !/^\$\{?\w+\}?$/.test(auth.password) ? { ...auth, password: "(hidden)" } : auth,
  );
  return { ...resource, spec: { ...resource.spec, registryAuths } };
}
