/**
 * Steps that make a cluster, with actions that GitHub's users have for it: they become clusters of the job, Ready before its first
 * step. What is left of the step, at its turn, gives the names that later steps know the cluster by (runner/built-in/cluster.ts).
 */
import type { Place, Problem } from "../../base/errors.ts";
import { clusterNameProblem } from "../../resources/cluster.ts";
import type { Path } from "../../resources/finding.ts";
import { shown } from "../../resources/schema.ts";
import { builtInOf } from "../actions/built-in.ts";
import { askedVersion } from "../clusters.ts";
import { holdsExpression } from "../expressions/expressions.ts";
import { hoistedName } from "./hoisted-name.ts";
import { type Mapping, type Node, readTree, type Scalar, valueOf } from "./tree.ts";

export interface Hoisted {
  /** Among the clusters of the job. */
  name: string;
  /** As `cluster` has it; its values have the places of the inputs. */
  node: Mapping;
  path: Path;
  place: Place;
}

/** Told of something, at a place. */
type Tell = (place: Place, path: Path, message: string) => void;

/** What the step's surroundings are asked and told. */
interface HoistReader {
  /** Of what is wrong, and what is taken and does less than it says. */
  report: Tell;
  notice: Tell;
  /** Of a file of the tree, or why it cannot be had. @param path from the root. */
  textOf(path: string): { text: string } | { why: string };
  /** Takes what is wrong with such a file. */
  problems: Problem[];
}

/** What of a spec an input becomes. @returns undefined when it asks for nothing. */
type Convert = (input: Scalar, report: (message: string) => void, reader: HoistReader) => [key: string, value: Node] | undefined;

/** The clusters that a step asks for: one, or none. */
export function hoist(step: Node, path: Path, reader: HoistReader): Hoisted[] {
  const { report, notice } = reader;
  const uses = textOf(valueOf(step, "uses"));
  const builtIn = builtInOf(uses);
  if (!builtIn?.isHoisted) return [];
  const condition = valueOf(step, "if");
  if (condition) {
    const message = "the cluster is made before the first step all the same; give the job the condition where it need not be";
    notice(condition.place, [...path, "if"], message);
  }
  const inputs = valueOf(step, "with");
  const entries = inputs?.kind === "map" ? inputs.entries : [];
  const node: Mapping = { kind: "map", place: step.place, entries: [] };
  const add = (key: string, value: Node) => node.entries.push({ key, value, place: value.place });
  const provider = entries.find(({ key }) => key === "provider")?.value;
  add("provider", provider ?? scalarAt(step.place, "kind"));
  for (const { key, value } of entries) {
    if (value.kind !== "scalar" || value.text.trim() === "") continue;
    const convert = converts[builtIn.name]?.[key.toLowerCase()];
    const found = convert?.(value, (message) => report(value.place, [...path, "with", key], message), reader);
    if (found) add(...found);
  }
  const named = entries.find(({ key }) => nameInputs.includes(key.toLowerCase()))?.value;
  const name = hoistedName(holdsExpression(textOf(named)) ? "" : textOf(named));
  const mistake = clusterNameProblem(name);
  if (mistake) report(named?.place ?? step.place, [...path, "with"], mistake);
  return [{ name, node, path: [...path, "with"], place: step.place }];
}

/** Inputs with a name for the cluster. */
const nameInputs = ["cluster_name", "name"];

/** `kindest/node:v1.36.3@sha256:…`: of an image of Kubernetes' own the version is what is meant. */
const nodeImage: Convert = (input, report) => {
  const [, version] = /^(?:docker\.io\/)?kindest\/node:([^@]+)(?:@sha256:[0-9a-f]{64})?$/.exec(input.text.trim()) ?? [];
  if (version !== undefined) return ["kubernetesVersion", changed(input, version)];
  // One that comes whole from a matrix is looked at when it is known.
  if (/^\s*\$\{\{/.test(input.text)) return ["kubernetesVersion", input];
  report(
    `${shown(input.text)} is not supported: kindest/node:VERSION says a version; other images go into \`cluster\` of the job, as kind.config.nodes[].image`,
  );
  return undefined;
};

const kubernetesVersion: Convert = (input) => {
  const version = askedVersion(input.text);
  return version === undefined ? undefined : ["kubernetesVersion", changed(input, version)];
};

const nodes: Convert = (input) => ["nodes", /^\d+$/.test(input.text.trim()) ? { ...input, value: Number(input.text) } : input];

/** `A=true,B=false` */
const featureGates: Convert = (input, report) => {
  const pairs = input.text.split(",").map((pair) => /^\s*(\w+)=(true|false)\s*$/.exec(pair));
  if (pairs.some((pair) => !pair)) {
    report(`${shown(input.text)} is not understood: write NAME=true,OTHER=false`);
    return undefined;
  }
  const entries = pairs.map((pair) => ({
    key: pair![1]!,
    place: input.place,
    value: { ...input, value: pair![2] === "true", text: pair![2]! },
  }));
  return ["featureGates", { kind: "map", place: input.place, entries }];
};

/** kind's own configuration: a file of the commit, read with it. Its problems are told with its own lines. */
const kindConfig: Convert = (input, report, { textOf: textAt, problems }) => {
  const path = input.text.trim().replace(/^(?:\.\/)+/, "");
  if (holdsExpression(path) || path.startsWith("/") || path.split("/").some((part) => ["", ".", ".."].includes(part))) {
    report(
      `${shown(input.text)} is not supported: the file is read before the first step, and must be named by its path in the repository`,
    );
    return undefined;
  }
  const found = textAt(path);
  if ("why" in found) {
    report(`${found.why}; the cluster is made before the first step, which cannot write it`);
    return undefined;
  }
  const { root, problems: wrong } = readTree(found.text, path);
  problems.push(...wrong);
  if (root?.kind !== "map") return undefined;
  // The step's own name for the cluster wins over that of the file.
  const config = { ...root, entries: root.entries.filter(({ key }) => key !== "name") };
  return ["kind", { kind: "map", place: input.place, entries: [{ key: "config", place: input.place, value: config }] }];
};

const clusterDomain: Convert = (input) => ["clusterDomain", input];

const converts: Readonly<Record<string, Readonly<Record<string, Convert>>>> = {
  "helm/kind-action": { node_image: nodeImage, config: kindConfig },
  "medyagh/setup-minikube": { "kubernetes-version": kubernetesVersion, nodes, "feature-gates": featureGates },
  "seatrial/seatrial": { "kubernetes-version": kubernetesVersion, nodes, "cluster-domain": clusterDomain },
};

function changed(input: Scalar, text: string): Scalar {
  return { ...input, value: text, text, offset: input.offset + Math.max(0, input.text.indexOf(text)) };
}

function scalarAt(place: Place, text: string): Scalar {
  return { kind: "scalar", value: text, text, place, offset: 0, isBlock: false };
}

function textOf(node: Node | undefined): string {
  return node?.kind === "scalar" ? node.text.trim() : "";
}
