/**
 * Reads the metadata of an action, `action.yml`: what it takes and gives, and how it is run. The server reads it for runners,
 * `check` for the actions of the working tree. All that is wrong is told at once, each with its place.
 *
 * GitHub's "Metadata syntax for GitHub Actions"; which contexts an expression may use is what GitHub's runner allows there.
 */
import { InvalidError, type Place } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { formatPath, type Path } from "../../resources/finding.ts";
import { type StepSpec, stepSchema } from "../../resources/job-run.ts";
import { anyOf, shown } from "../../resources/schema.ts";
import { didYouMean } from "../../resources/suggest.ts";
import type { ActionDefinition, ActionInput, ActionRuns } from "./action-definition.ts";
import {
  contextNames,
  findConditionMistakes,
  findMistakes,
  holdsExpression,
  type Names,
  statusFunctions,
} from "../expressions/expressions.ts";
import { type Entry, type Node, readTree, type Scalar, type Source } from "../read/tree.ts";
import { usesMistake } from "./uses.ts";

/** In this order; the first that is there counts. */
export const actionFiles = ["action.yml", "action.yaml"] as const;

const ofRun = ["github", "strategy", "matrix", "job", "runner"];
const inDefault: Names = { contexts: ofRun, functions: ["hashFiles"] };
const inSteps: Names = { contexts: contextNames.filter((name) => !["secrets", "vars", "needs"].includes(name)), functions: ["hashFiles"] };
const inCondition: Names = { contexts: inSteps.contexts, functions: [...statusFunctions, "hashFiles"] };
const inOutputs: Names = { contexts: inSteps.contexts };
const inDocker: Names = { contexts: ["inputs"] };
/** Conditions of pre and post see whatever there is by then. */
const inPhase: Names = { contexts: inSteps.contexts, functions: statusFunctions };

const javaScriptKeys = ["using", "main", "pre", "pre-if", "post", "post-if"];
const dockerKeys = ["using", "image", "env", "entrypoint", "pre-entrypoint", "pre-if", "post-entrypoint", "post-if", "args"];
const stepKeys = ["id", "name", "if", "run", "shell", "working-directory", "uses", "with", "env", "continue-on-error"];
const oldNodes = ["node12", "node16"];

/**
 * @param file as it is named in problems: its path in the repository.
 * @throws InvalidError with all problems of the file.
 */
export function readAction(text: string, file: string): ActionDefinition {
  const source = readTree(text, file);
  const reader = new ActionReader(source, file);
  const action = source.root && reader.read(source.root);
  if (!source.root && source.problems.length === 0) reader.report({ file, line: 1, column: 1 }, [], "is empty: an action has `runs`");
  const problems = source.problems.toSorted((a, b) => a.place!.line - b.place!.line || a.place!.column - b.place!.column);
  if (problems.length > 0 || !action) throw new InvalidError(problems.slice(0, limits.workflowProblems));
  return action;
}

class ActionReader {
  readonly #source: Source;
  readonly #file: string;

  constructor(source: Source, file: string) {
    this.#source = source;
    this.#file = file;
  }

  report(place: Place, path: Path, message: string): void {
    this.#source.problems.push({ place, path: formatPath(path), message });
  }

  read(root: Node): ActionDefinition | undefined {
    const keys = this.#map(root, [], root.place);
    const definition: ActionDefinition = {
      name: this.#text(keys.get("name"), []) ?? this.#file,
      inputs: this.#inputs(keys.get("inputs")),
      outputs: {},
      runs: { using: "composite", steps: [] },
    };
    const runs = keys.get("runs");
    if (!runs) {
      if (root.kind === "map") this.report(root.place, ["runs"], "is required: how the action is run");
      return undefined;
    }
    const read = this.#runs(runs);
    definition.outputs = this.#outputs(keys.get("outputs"), read?.using === "composite");
    return read && { ...definition, runs: read };
  }

  #inputs(entry: Entry | undefined): Record<string, ActionInput> {
    const inputs: Record<string, ActionInput> = {};
    if (!entry) return inputs;
    for (const input of this.#entries(entry.value, ["inputs"], entry.place)) {
      const path = ["inputs", input.key];
      // An input without anything said of it is one, too.
      const keys = isEmpty(input.value) ? new Map<string, Entry>() : this.#map(input.value, path, input.place);
      const standard = this.#text(keys.get("default"), path, inDefault);
      const deprecation = this.#text(keys.get("deprecationMessage"), path);
      inputs[input.key.toLowerCase()] = {
        name: input.key,
        isRequired: this.#text(keys.get("required"), path)?.toLowerCase() === "true",
        ...(standard === undefined ? {} : { default: standard }),
        ...(deprecation === undefined ? {} : { deprecation }),
      };
    }
    return inputs;
  }

  /** Values of a composite action; of others only their names are said, and nothing follows from those. */
  #outputs(entry: Entry | undefined, isComposite: boolean): Record<string, string> {
    const outputs: Record<string, string> = {};
    if (!entry) return outputs;
    for (const output of this.#entries(entry.value, ["outputs"], entry.place)) {
      const path = ["outputs", output.key];
      if (isEmpty(output.value) && !isComposite) continue;
      const keys = this.#map(output.value, path, output.place);
      if (!isComposite) continue;
      const value = this.#text(keys.get("value"), path, inOutputs);
      if (value !== undefined) outputs[output.key] = value;
      else if (!keys.has("value")) this.report(output.place, [...path, "value"], "is required in a composite action");
    }
    return outputs;
  }

  #runs({ value: node, place }: Entry): ActionRuns | undefined {
    const using = node.kind === "map" ? node.entries.find(({ key }) => key === "using") : undefined;
    const name = using?.value.kind === "scalar" ? using.value.text : "";
    switch (name) {
      case "node20":
      case "node24":
        return this.#javaScript(name, this.#map(node, ["runs"], place, javaScriptKeys), place);
      case "docker":
        return this.#docker(this.#map(node, ["runs"], place, dockerKeys), place);
      case "composite":
        return this.#composite(this.#map(node, ["runs"], place, ["using", "steps"]), place);
      default: {
        if (node.kind !== "map") this.report(node.place, ["runs"], "must be a map");
        else if (!using) this.report(place, ["runs", "using"], "is required: composite, node24, node20 or docker");
        else if (oldNodes.includes(name)) {
          this.report(
            using.value.place,
            ["runs", "using"],
            `${name} is not supported, as on GitHub: take a newer version of the action, for node20 or node24`,
          );
        } else {
          const known = ["composite", "node24", "node20", "docker"];
          this.report(using.value.place, ["runs", "using"], `must be ${anyOf(known)}, and is ${shown(name)}${didYouMean(name, known)}`);
        }
        return undefined;
      }
    }
  }

  #javaScript(using: "node20" | "node24", keys: ReadonlyMap<string, Entry>, place: Place): ActionRuns {
    const main = this.#inside(keys.get("main"), "main");
    if (!keys.has("main")) this.report(place, ["runs", "main"], "is required: the file that is run");
    const pre = this.#inside(keys.get("pre"), "pre");
    const post = this.#inside(keys.get("post"), "post");
    return {
      using,
      main: main ?? "",
      ...(pre === undefined ? {} : { pre }),
      ...(post === undefined ? {} : { post }),
      ...this.#conditions(keys),
    };
  }

  #docker(keys: ReadonlyMap<string, Entry>, place: Place): ActionRuns {
    const path = ["runs"];
    const image = this.#text(keys.get("image"), path);
    if (image === undefined || image === "") this.report(place, ["runs", "image"], "is required: Dockerfile, or docker://image");
    else if (!image.startsWith("docker://")) this.#inside(keys.get("image"), "image");
    const texts = {
      entrypoint: this.#text(keys.get("entrypoint"), path),
      preEntrypoint: this.#text(keys.get("pre-entrypoint"), path),
      postEntrypoint: this.#text(keys.get("post-entrypoint"), path),
    };
    const args = keys.get("args");
    const items = args?.value.kind === "list" ? args.value.items : [];
    if (args && args.value.kind !== "list") this.report(args.value.place, ["runs", "args"], "must be a list");
    return {
      using: "docker",
      image: image ?? "",
      ...Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== undefined)),
      args: items.map((item, i) => this.#scalar(item, ["runs", "args", i], inDocker)?.text ?? ""),
      env: this.#texts(keys.get("env"), ["runs", "env"], inDocker),
      ...this.#conditions(keys),
    };
  }

  #conditions(keys: ReadonlyMap<string, Entry>): { preIf?: string; postIf?: string } {
    const preIf = this.#condition(keys.get("pre-if"), ["runs"], inPhase);
    const postIf = this.#condition(keys.get("post-if"), ["runs"], inPhase);
    return { ...(preIf === undefined ? {} : { preIf }), ...(postIf === undefined ? {} : { postIf }) };
  }

  #composite(keys: ReadonlyMap<string, Entry>, place: Place): ActionRuns {
    const steps = keys.get("steps");
    if (!steps) {
      this.report(place, ["runs", "steps"], "is required: what the action does");
      return { using: "composite", steps: [] };
    }
    if (steps.value.kind !== "list") {
      this.report(steps.place, ["runs", "steps"], "must be a list of steps");
      return { using: "composite", steps: [] };
    }
    if (steps.value.items.length > 1000) this.report(steps.place, ["runs", "steps"], "has more than 1000 steps");
    const ids = new Set<string>();
    return { using: "composite", steps: steps.value.items.map((item, i) => this.#step(item, ["runs", "steps", i], ids)) };
  }

  #step(node: Node, path: Path, ids: Set<string>): StepSpec {
    const keys = this.#map(node, path, node.place, stepKeys);
    const step: StepSpec = {};
    const keep = (field: "name" | "run" | "workingDirectory" | "continueOnError" | "uses" | "id" | "shell", key: string, names?: Names) => {
      const text = this.#text(keys.get(key), path, names);
      if (text !== undefined) step[field] = text;
    };
    keep("id", "id");
    keep("uses", "uses");
    for (const key of ["name", "run", "shell"] as const) keep(key, key, inSteps);
    keep("workingDirectory", "working-directory", inSteps);
    keep("continueOnError", "continue-on-error", inSteps);
    const condition = this.#condition(keys.get("if"), path, inCondition);
    if (condition !== undefined) step.if = condition;
    if (keys.has("env")) step.env = this.#texts(keys.get("env"), [...path, "env"], inSteps);
    if (keys.has("with")) step.with = this.#texts(keys.get("with"), [...path, "with"], inSteps);
    this.#checkStep(step, keys, node, path, ids);
    return step;
  }

  #checkStep(step: StepSpec, keys: ReadonlyMap<string, Entry>, node: Node, path: Path, ids: Set<string>): void {
    if (node.kind !== "map") return;
    const id = step.id?.toLowerCase();
    if (id !== undefined && ids.has(id)) this.report(keys.get("id")!.value.place, [...path, "id"], `there is another ${step.id} before it`);
    if (id !== undefined) ids.add(id);
    const kinds = ["run", "uses"].filter((key) => keys.has(key));
    if (kinds.length !== 1) {
      this.report(node.place, path, kinds.length === 0 ? "must have `run` or `uses`" : "has `run` and `uses`: make two steps of it");
    } else if (kinds[0] === "run" && !keys.has("shell")) {
      this.report(node.place, [...path, "shell"], "is required beside `run` in an action: bash, sh …");
    }
    for (const key of kinds[0] === "uses" ? ["shell", "working-directory"] : ["with"]) {
      if (kinds.length === 1 && keys.has(key)) this.report(keys.get(key)!.place, [...path, key], `does not go with \`${kinds[0]}\``);
    }
    const mistake = step.uses === undefined ? undefined : usesMistake(step.uses);
    if (mistake !== undefined) this.report(keys.get("uses")!.value.place, [...path, "uses"], `${shown(step.uses)} ${mistake}`);
    for (const issue of stepSchema.safeParse(step).error?.issues ?? []) {
      this.report(node.place, [...path, ...(issue.path as Path)], issue.message);
    }
  }

  /** A file that is run; that it stays inside its repository is seen when it is there. */
  #inside(entry: Entry | undefined, key: string): string | undefined {
    const text = this.#text(entry, ["runs"]);
    if (entry && (text === "" || text?.startsWith("/") || text?.includes("\0"))) {
      this.report(entry.value.place, ["runs", key], "must be a path from the action's folder");
    }
    return text;
  }

  #condition(entry: Entry | undefined, path: Path, names: Names): string | undefined {
    if (!entry || isEmpty(entry.value)) return undefined;
    const scalar = this.#scalar(entry.value, [...path, entry.key]);
    if (!scalar) return undefined;
    for (const { offset, message } of findConditionMistakes(scalar.text, names)) {
      this.report(this.#source.placeIn(scalar, offset), [...path, entry.key], message);
    }
    return scalar.text;
  }

  #texts(entry: Entry | undefined, path: Path, names: Names): Record<string, string> {
    if (!entry || isEmpty(entry.value)) return {};
    return Object.fromEntries(
      this.#entries(entry.value, path, entry.place).map(({ key, value }) => [key, this.#scalar(value, [...path, key], names)?.text ?? ""]),
    );
  }

  /** @param names what its expressions may use. Default: it holds none. */
  #text(entry: Entry | undefined, path: Path, names?: Names): string | undefined {
    if (!entry || isEmpty(entry.value)) return undefined;
    return this.#scalar(entry.value, [...path, entry.key], names)?.text;
  }

  #scalar(node: Node, path: Path, names?: Names): Scalar | undefined {
    if (node.kind !== "scalar") {
      this.report(node.place, path, `must be text, and is a ${node.kind}`);
      return undefined;
    }
    if (!names) return node;
    if (holdsExpression(node.text)) {
      for (const { offset, message } of findMistakes(node.text, names)) this.report(this.#source.placeIn(node, offset), path, message);
    }
    return node;
  }

  /** @param known others are reported. Default: any may be there, for people and other tools; GitHub takes them, too. */
  #map(node: Node, path: Path, place: Place, known?: readonly string[]): Map<string, Entry> {
    const found = new Map<string, Entry>();
    for (const entry of this.#entries(node, path, place)) {
      if (!known || known.includes(entry.key)) found.set(entry.key, entry);
      else this.report(entry.place, [...path, entry.key], `is not a known key${didYouMean(entry.key, known)}`);
    }
    return found;
  }

  #entries(node: Node, path: Path, place: Place): readonly Entry[] {
    if (node.kind === "map") return node.entries;
    this.report(place, path, "must be a map");
    return [];
  }
}

function isEmpty(node: Node): boolean {
  return node.kind === "scalar" && node.value === null;
}
