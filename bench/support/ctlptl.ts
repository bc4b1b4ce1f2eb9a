/** ctlptl as another side, where its program is on PATH or named by CTLPTL. */
import { access, constants, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { stringify } from "yaml";
import type { BenchContext } from "./context.ts";

export async function findCtlptl(context: BenchContext): Promise<string | undefined> {
  const { CTLPTL, PATH = "" } = context.variables;
  for (const path of CTLPTL ? [CTLPTL] : PATH.split(delimiter).map((folder) => join(folder, "ctlptl"))) {
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  return undefined;
}

/** The file of a cluster with a registry, from the same images as Seatrial's. */
export async function ctlptlDocuments(context: BenchContext): Promise<string> {
  const name = context.newName("bk");
  const documents = [
    {
      apiVersion: "ctlptl.dev/v1alpha1",
      kind: "Registry",
      name: `${name}-registry`,
      ...(context.registryImage ? { image: context.registryImage } : {}),
    },
    {
      apiVersion: "ctlptl.dev/v1alpha1",
      kind: "Cluster",
      name: `kind-${name}`,
      product: "kind",
      registry: `${name}-registry`,
      kindV1Alpha4Cluster: { nodes: [{ role: "control-plane", image: context.nodeImage }] },
    },
  ];
  const file = join(context.directory, `${name}.yaml`);
  await writeFile(file, documents.map((document) => stringify(document)).join("---\n"));
  return file;
}

export async function runCtlptl(context: BenchContext, program: string, verb: "apply" | "delete", file: string): Promise<void> {
  const path = `${dirname(context.program("kind"))}${delimiter}${dirname(context.program("kubectl"))}${delimiter}${context.variables["PATH"] ?? ""}`;
  // Its client asks for the newest version of Docker's API that it knows, whatever the daemon has.
  const variables = { PATH: path, DOCKER_API_VERSION: context.variables["DOCKER_API_VERSION"] ?? context.dockerApiVersion };
  await context.run(program, [verb, "-f", file, ...(verb === "delete" ? ["--cascade=true"] : [])], variables);
}
