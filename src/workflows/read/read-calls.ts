/**
 * Reusable workflows, as files are read: what a workflow offers to those that call it (`on.workflow_call`), and what a job that calls
 * one says (`uses`, `with`, `secrets`). Called files are of the same tree; each is read once, however many jobs call it.
 */
import type { Place, Problem } from "../../base/errors.ts";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { Path } from "../../resources/finding.ts";
import { shown } from "../../resources/schema.ts";
import { didYouMean } from "../../resources/suggest.ts";
import { holdsExpression } from "../expressions/expressions.ts";
import { inputValues, readInputs } from "../inputs.ts";
import { findExcess } from "./job-keys.ts";
import type { Entry, Node, Scalar } from "./tree.ts";
import { isNull, type ValueReader } from "./values.ts";
import type { Call, CallInterface, Permissions, Workflow } from "../workflow.ts";

/**
 * Texts of workflow files: what can be called. By their paths in the tree; those of other repositories as `uses` names them,
 * `owner/repo/.github/workflows/x.yml@v1`. Beside them, as `./PATH`, other files of the tree that steps name and the reader needs.
 */
export type CalledFiles = ReadonlyMap<string, string>;

/** Gets the text of a workflow of another repository, or of `./PATH`. @throws SeatrialError that says why it cannot be had. */
export type FetchCalled = (uses: string) => Promise<string>;

/** The path of a file of the tree that is no workflow; undefined for all else that can be fetched. */
export function treePath(uses: string): string | undefined {
  return uses.startsWith("./") ? uses.slice(2) : undefined;
}

/** The texts of some of the files, as the history keeps them. @returns undefined where there are none. */
export function formatCalls(calls: readonly string[], files: CalledFiles): string | undefined {
  return calls.length === 0 ? undefined : JSON.stringify(Object.fromEntries(calls.map((path) => [path, files.get(path)!])));
}

/** The other way round. */
export function parseCalls(text: string): CalledFiles {
  return new Map(Object.entries(JSON.parse(text) as Record<string, string>));
}

/** `on.workflow_call`. */
export function readInterface(reader: ValueReader, node: Node, path: Path, place: Place): CallInterface {
  const key = "on.workflow_call";
  const secrets: Record<string, { isRequired: boolean }> = {};
  const outputs: Record<string, Scalar> = {};
  const found: { -readonly [name in keyof CallInterface]: CallInterface[name] } = { inputs: {}, secrets, outputs };
  if (isNull(node)) return found;
  reader.keys(node, key, path, place, {
    inputs: (value, at, where) => (found.inputs = readInputs(reader, value, at, where, `${key}.inputs`)),
    secrets: (value, at, where) => {
      for (const { key: name, value: secret, place: own } of reader.entries(value, at, where)) {
        secrets[name] = { isRequired: false };
        if (name.toUpperCase() === "GITHUB_TOKEN") reader.report(own, [...at, name], "is there anyway, and cannot be declared");
        if (isNull(secret)) continue;
        const prefix = `${key}.secrets.<secret_id>`;
        reader.keys(secret, prefix, [...at, name], own, {
          description: (text, below) => void reader.text(text, below, `${prefix}.description`),
          required: (text, below) => {
            secrets[name] = { isRequired: reader.scalar(text, below, `${prefix}.required`, "boolean")?.value === true };
          },
        });
      }
    },
    outputs: (value, at, where) => {
      for (const { key: name, value: output, place: own } of reader.entries(value, at, where)) {
        const prefix = `${key}.outputs.<output_id>`;
        const seen = reader.keys(output, prefix, [...at, name], own, {
          description: (text, below) => void reader.text(text, below, `${prefix}.description`),
          value: (text, below) => {
            const scalar = reader.scalar(text, below, `${prefix}.value`, "text");
            if (scalar) outputs[name] = scalar;
          },
        });
        if (output.kind === "map" && !seen.has("value")) reader.report(own, [...at, name, "value"], "is required");
      }
    },
  });
  return found;
}

/** What of a job stands beside `uses`; all else is for the called workflow to say. */
export const besideUses: ReadonlySet<string> = new Set([
  "name",
  "uses",
  "with",
  "secrets",
  "strategy",
  "needs",
  "if",
  "concurrency",
  "permissions",
]);

/** The files of one reading: the one that is read first, and all that it calls. */
export class CallGraph {
  readonly problems: Problem[] = [];
  /** Files that are not among the texts, and can be fetched. */
  readonly missing: string[] = [];
  /** Files of the tree that are no workflows, and were read. */
  readonly #others = new Set<string>();
  readonly #texts: CalledFiles;
  readonly #refused: ReadonlyMap<string, string>;
  readonly #read: (text: string, file: string) => Workflow | undefined;
  /** Undefined: it cannot be read, and why is among the problems. */
  readonly #done = new Map<string, Workflow | undefined>();
  /** The files that are being read: each calls the next. */
  readonly #trail: string[] = [];
  /** Of each file: how many levels it has, and how many jobs with those that it calls; a matrix of calls is counted when it is known. */
  readonly #heights = new Map<string, number>();
  readonly #sizes = new Map<string, number>();

  /** @param refused why files of other repositories cannot be had. @param read a file's text; what is wrong with it goes to the problems. */
  constructor(texts: CalledFiles, refused: ReadonlyMap<string, string>, read: (text: string, file: string) => Workflow | undefined) {
    this.#texts = texts;
    this.#refused = refused;
    this.#read = read;
  }

  /** Files that were called, in the order in which they were found; then those that are no workflows. */
  get files(): string[] {
    return [...this.#done.keys(), ...this.#others];
  }

  /** The text of a file of the tree that is no workflow, or why it cannot be had. @param path from the root. */
  textOf(path: string): { text: string } | { why: string } {
    const file = `./${path}`;
    const text = this.#texts.get(file);
    if (text === undefined) return { why: this.#fetched(file) ?? `there is no file ${path}` };
    this.#others.add(file);
    if (this.#others.size > limits.calledWorkflows)
      return { why: `is one too many: ${limits.calledWorkflows} files can be read, and no more` };
    return { text };
  }

  /** Notes that it is to be fetched. @returns why it cannot be, once that is known. */
  #fetched(file: string): string | undefined {
    if (!this.#refused.has(file) && this.missing.length < limits.calledWorkflows) this.missing.push(file);
    return this.#refused.get(file);
  }

  enter(text: string, file: string): Workflow | undefined {
    this.#trail.push(file);
    const workflow = this.#read(text, file);
    this.#trail.pop();
    const called = (workflow?.jobs ?? []).map(({ call }) => call?.workflow.path);
    this.#heights.set(file, 1 + Math.max(0, ...called.map((path) => (path === undefined ? 0 : this.#heights.get(path)!))));
    this.#sizes.set(
      file,
      called.reduce((sum, path) => sum + (path === undefined ? 1 : this.#sizes.get(path)!), 0),
    );
    return workflow;
  }

  /** How many jobs a file has that was read, with those of the workflows that it calls. */
  jobsIn(file: string): number {
    return this.#sizes.get(file) ?? 0;
  }

  /** The workflow that `uses` names. @returns undefined where it has problems of its own, and what is wrong with the call as text. */
  follow(uses: string): Workflow | string | undefined {
    const file = calledFile(uses, this.#trail.at(-1)!);
    if (file === undefined) return badCall(uses);
    if (this.#trail.includes(file)) return `makes a cycle: ${[...this.#trail.slice(this.#trail.indexOf(file)), file].join(" calls ")}`;
    const tooDeep = `makes more than ${limits.callDepth} levels: ${[...this.#trail, file].join(" calls ")}`;
    if (this.#trail.length >= limits.callDepth) return tooDeep;
    const text = this.#texts.get(file);
    if (text === undefined && isRemote(file)) {
      return this.#fetched(file) ?? `${file} cannot be fetched here: workflows of other repositories are, by a server`;
    }
    if (text === undefined) {
      const folder = file.slice(0, file.lastIndexOf("/") + 1);
      const beside = [...this.#texts.keys()].filter((path) => path.startsWith(folder)).map((path) => path.slice(folder.length));
      return `there is no file ${file}${didYouMean(file.slice(folder.length), beside)}`;
    }
    if (!this.#done.has(file)) {
      if (this.#done.size >= limits.calledWorkflows)
        return `is one too many: ${limits.calledWorkflows} other files can be called, and no more`;
      const characters = [...this.#done.keys(), file].reduce((sum, path) => sum + this.#texts.get(path)!.length, 0);
      if (characters > limits.calledCharacters)
        return `is too much: files that are called have ${characters} characters together, and can have ${limits.calledCharacters}`;
      this.#done.set(file, undefined); // In its place before those that it calls itself.
      this.#done.set(file, this.enter(text, file));
    }
    const workflow = this.#done.get(file);
    if (workflow && this.#trail.length + this.#heights.get(file)! > limits.callDepth) return tooDeep;
    if (workflow && !workflow.interface) return `${file} cannot be called: it has no \`on: workflow_call\``;
    return workflow;
  }
}

const workflowPath = String.raw`(?:\.github/workflows|\.seatrial)/[^/@]+\.ya?ml`;
const localCall = new RegExp(`^\\./(${workflowPath})$`);
const remoteFile = new RegExp(`^([\\w.-]+/[\\w.-]+)/${workflowPath}@(\\S+)$`);

/** The key of what `uses` names among {@link CalledFiles}; undefined when it names no workflow. @param caller the file that says it. */
function calledFile(uses: string, caller: string): string | undefined {
  if (remoteFile.test(uses)) return uses;
  const path = localCall.exec(uses)?.[1];
  // A file beside one of another repository is that repository's, at the same ref.
  const [, repository, ref] = remoteFile.exec(caller) ?? [];
  return path === undefined || repository === undefined ? path : `${repository}/${path}@${ref}`;
}

/** Whether a called file is one of another repository. */
export function isRemote(file: string): boolean {
  return remoteFile.test(file);
}

function badCall(uses: string): string {
  const example = "as in ./.github/workflows/test.yml";
  if (uses.startsWith("./") && uses.includes("@")) return `${shown(uses)}: a file of the same commit has no @ and no ref, ${example}`;
  return `${shown(uses)} must be a file right in .github/workflows or .seatrial, ${example}`;
}

/** `with` of a job that calls a workflow; literal values are judged by their types. */
export function readWith(reader: ValueReader, node: Node, path: Path, place: Place): Entry[] {
  return reader.entries(node, path, place).filter(({ key, value }) => {
    reader.characters += key.length;
    return reader.scalar(value, [...path, key], "jobs.<job_id>.with.<with_id>", "text") !== undefined;
  });
}

/** `secrets` of a job that calls a workflow. */
export function readPassedSecrets(reader: ValueReader, node: Node, path: Path, place: Place): Call["secrets"] {
  if (node.kind === "scalar" && node.text === "inherit") return "inherit";
  if (node.kind === "scalar") {
    reader.report(node.place, path, `must be inherit or a map, and is ${shown(node.value)}`);
    return {};
  }
  return Object.fromEntries(
    reader.entries(node, path, place).map(({ key, value }) => {
      reader.characters += key.length;
      return [key, reader.text(value, [...path, key], "jobs.<job_id>.secrets.<secret_id>")];
    }),
  );
}

/** What of a call does not fit the workflow that it calls. @param secretsNode for the places of its names. */
export function checkCall(reader: ValueReader, call: Call, path: Path, secretsNode: Node | undefined): void {
  const { workflow, inputs, secrets, place } = call;
  const { inputs: known, secrets: taken } = workflow.interface!;
  const names = Object.keys(known);
  const given = new Set(inputs.map(({ key }) => key.toLowerCase()));
  for (const { key, value, place: at } of inputs) {
    const name = names.find((each) => each.toLowerCase() === key.toLowerCase());
    if (name === undefined) {
      const there = names.length === 0 ? ": it takes none" : didYouMean(key, names);
      reader.report(at, [...path, "with", key], `is not an input of ${workflow.path}${there}`);
    } else if (value.kind === "scalar" && !holdsExpression(value.text)) {
      try {
        inputValues({ [name]: { ...known[name]!, required: false } }, { [name]: value.value }, workflow.path);
      } catch (error) {
        if (!(error instanceof SeatrialError)) throw error;
        reader.report(value.place, [...path, "with", key], error.message);
      }
    }
  }
  for (const [name, { required, default: fallback }] of Object.entries(known)) {
    if (required && fallback === undefined && !given.has(name.toLowerCase()))
      reader.report(place, [...path, "with", name], `is required by ${workflow.path}`);
  }
  if (secrets === "inherit") return;
  const passed = new Set(Object.keys(secrets).map((name) => name.toLowerCase()));
  const lower = new Set(Object.keys(taken).map((name) => name.toLowerCase()));
  for (const { key, place: at } of secretsNode?.kind === "map" ? secretsNode.entries : []) {
    if (!lower.has(key.toLowerCase()))
      reader.report(at, [...path, "secrets", key], `is not a secret of ${workflow.path}${didYouMean(key, Object.keys(taken))}`);
  }
  for (const [name, { isRequired }] of Object.entries(taken)) {
    if (isRequired && !passed.has(name.toLowerCase())) reader.report(place, [...path, "secrets", name], `is required by ${workflow.path}`);
  }
}

/**
 * Called workflows that ask for more than those that call them are allowed: permissions can only shrink. @param allowed what the caller
 * has, where that says it, and who that is.
 */
export function permissionProblems({ path: file, jobs }: Workflow, allowed?: { by: string; permissions: Permissions }): Problem[] {
  return jobs.flatMap(({ id, permissions, call }) => {
    const excess = permissions && allowed ? findExcess(permissions, allowed.permissions) : [];
    const problems = excess.map(({ scope, asked, allowed: may }) => ({
      place: permissions!.place,
      path: `${permissions!.path}.${scope}`,
      message: `asks for ${asked}, and ${allowed!.by}, which calls it, is allowed ${may}`,
    }));
    const own = permissions ? { by: `job ${id} of ${file}`, permissions } : allowed;
    return call ? [...problems, ...permissionProblems(call.workflow, own)] : problems;
  });
}
