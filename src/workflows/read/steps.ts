/** Reads the steps of a job. What is wrong is reported to the reader. */
import type { Place } from "../../base/errors.ts";
import { formatPath, type Path } from "../../resources/finding.ts";
import { type StepSpec, stepSchema } from "../../resources/job-run.ts";
import { shown } from "../../resources/schema.ts";
import { type BuiltIn, builtInOf, ignoredInputs, inputMistake, missingInputs, versionMistake } from "../actions/built-in.ts";
import { usesMistake } from "../actions/uses.ts";
import type { ActionMention } from "../workflow.ts";
import { keyOf } from "./keys.ts";
import { shellMistake } from "./shells.ts";
import { type Node, valueOf } from "./tree.ts";
import { type Read, type ScalarType, textIn, type ValueReader } from "./values.ts";

/** @param actions gets what they use, but for actions that are part of Seatrial. */
export function readSteps(reader: ValueReader, node: Node, path: Path, place: Place, actions: ActionMention[]): StepSpec[] {
  if (node.kind !== "list" || node.items.length === 0) {
    reader.report(place, path, "must be a list of at least one step");
    return [];
  }
  if (node.items.length > 1_000) reader.report(place, path, `has ${node.items.length} steps, and can have at most 1000`);
  const ids = new Map<string, string>();
  return node.items.map((item, i) => readStep(reader, item, [...path, i], ids, actions));
}

function readStep(reader: ValueReader, node: Node, path: Path, ids: Map<string, string>, actions: ActionMention[]): StepSpec {
  const step: StepSpec = {};
  const prefix = "jobs.<job_id>.steps[*]";
  const keep = (
    field: "name" | "run" | "workingDirectory" | "if" | "continueOnError" | "timeoutMinutes",
    key: string,
    type: ScalarType,
  ): Read => {
    return (value, at) => {
      const scalar = reader.scalar(value, at, `${prefix}.${key}`, type);
      if (scalar) step[field] = scalar.text;
    };
  };
  const seen = reader.keys(node, prefix, path, node.place, {
    id: (value, at) => {
      step.id = reader.text(value, at, `${prefix}.id`);
      if (step.id) checkId(reader, step.id, value.place, at, ids);
    },
    name: keep("name", "name", "text"),
    if: keep("if", "if", "condition"),
    run: keep("run", "run", "text"),
    "working-directory": keep("workingDirectory", "working-directory", "text"),
    "continue-on-error": keep("continueOnError", "continue-on-error", "boolean"),
    "timeout-minutes": keep("timeoutMinutes", "timeout-minutes", "minutes"),
    shell: (value, at) => {
      step.shell = reader.text(value, at, `${prefix}.shell`);
      const mistake = shellProblem(step.shell);
      if (mistake) reader.report(value.place, at, mistake);
    },
    env: (value, at) => (step.env = reader.texts(value, at, `${prefix}.env`)),
    uses: (value, at) => {
      step.uses = reader.text(value, at, `${prefix}.uses`);
      if (builtInOf(step.uses)) {
        const mistake = versionMistake(step.uses);
        if (mistake !== undefined) reader.report(value.place, at, mistake);
        return;
      }
      const mistake = usesMistake(step.uses);
      if (mistake !== undefined) reader.report(value.place, at, `${shown(step.uses)} ${mistake}`);
      else actions.push({ uses: step.uses, place: value.place, path: formatPath(at) });
    },
    with: (value, at) => {
      step.with = reader.texts(value, at, `${prefix}.with`);
    },
  });
  const kinds = ["run", "uses"].filter((key) => seen.has(key));
  if (node.kind === "map" && kinds.length !== 1 && !node.entries.some(({ key }) => keyOf(`${prefix}.${key}`)?.state === "open")) {
    reader.report(node.place, path, kinds.length === 0 ? "must have `run` or `uses`" : "has `run` and `uses`: make two steps of it");
  }
  for (const key of seen.has("uses") ? ["shell", "working-directory"] : ["with"]) {
    if (seen.has(key) && kinds.length === 1)
      reader.report(seen.get(key)!, [...path, key], `belongs to \`${key === "with" ? "uses" : "run"}\`, and the step has \`${kinds[0]}\``);
  }
  const builtIn = step.uses === undefined ? undefined : builtInOf(step.uses);
  if (builtIn) readInputs(reader, builtIn, valueOf(node, "with"), node.place, [...path, "with"]);
  reader.bound(stepSchema.safeParse(step).error?.issues, node.place, path);
  return step;
}

/** `with` of an action that is part of Seatrial. */
function readInputs(reader: ValueReader, builtIn: BuiltIn, inputs: Node | undefined, where: Place, path: Path): void {
  const entries = inputs?.kind === "map" ? inputs.entries : [];
  for (const { key, value, place } of entries) {
    const mistake = inputMistake(builtIn, key, textIn(value));
    if (mistake !== undefined) reader.report(place, [...path, key], mistake);
    for (const message of ignoredInputs(builtIn, { [key]: textIn(value) })) reader.notice(place, [...path, key], message);
  }
  for (const name of missingInputs(
    builtIn,
    entries.map(({ key }) => key),
  ))
    reader.report(where, [...path, name], `is required by ${builtIn.name}`);
}

/** What is wrong with a `shell`, as the end of a sentence. */
export function shellProblem(shell: string): string | undefined {
  const mistake = shell === "" ? undefined : shellMistake(shell);
  return mistake === undefined ? undefined : `${shown(shell)} ${mistake}`;
}

/** What identifies a job or a step: GitHub's rule; two that differ in case alone are the same. */
export function checkId(reader: ValueReader, id: string, place: Place, path: Path, known: Map<string, string>): void {
  if (!/^[A-Za-z_][\w-]{0,99}$/.test(id)) {
    reader.report(
      place,
      path,
      `${shown(id)} must be made of letters, digits, - and _, begin with a letter or _, and have at most 100 characters`,
    );
  }
  const other = known.get(id.toLowerCase());
  if (other === id) reader.report(place, path, `there is another ${id} before it`);
  else if (other !== undefined) reader.report(place, path, `differs from ${other} in case alone, which does not count`);
  known.set(id.toLowerCase(), id);
}
