/**
 * Runs the steps of a job, those of its composite actions among them, with GitHub's rules for conditions, phases and failures.
 *
 * ```
 * pre of all actions, in order ──▶ main of each step, in order ──▶ post of those that began, last one first
 * ```
 * A composite action is a list of steps in the place of the one that uses it: it has a frame of its own, and its steps are shown
 * within that step. Its pre and post are those of its steps.
 */
import { join, resolve } from "node:path";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import type { StepSpec } from "../../resources/job-run.ts";
import type { Verdict } from "../../resources/verdict.ts";
import { builtIns } from "../../workflows/actions/built-in.ts";
import { parseUses } from "../../workflows/actions/uses.ts";
import { evaluateBoolean, evaluateCondition, evaluateNumber, interpolate, type Scope } from "../../workflows/expressions/expressions.ts";
import { ActionError, type DockerAction } from "../actions/action.ts";
import { type Actions, conditionOf, type FolderAction, hasPhase, insideOf, type PhaseName } from "../actions/actions.ts";
import { type Frame, jobFrame, type Made, type StepItem } from "./frame.ts";
import { type JobContext, mapped, type StepEnd } from "./job-context.ts";
import type { StepReport } from "../protocol.ts";
import { StepRun } from "./step-run.ts";

/** The words of contexts for ours. */
const outcomes: Record<Verdict, string> = {
  passed: "success",
  failed: "failure",
  error: "failure",
  "timed-out": "failure",
  aborted: "cancelled",
  skipped: "skipped",
};

/** What of a step's name is shown. */
const nameChars = 200;

/** A phase of a step that is being run. */
interface Phase {
  name: PhaseName;
  item: StepItem;
  frame: Frame;
  scope: Scope;
  run: StepRun;
}

export class Steps {
  readonly #job: JobContext;
  readonly #actions: Actions;
  readonly frame = jobFrame();
  /** Of the next report. */
  #index = 0;

  constructor(job: JobContext, actions: Actions) {
    this.#job = job;
    this.#actions = actions;
  }

  /** Runs all of them; what they have to run behind the last step is run, too. */
  async run(items: readonly StepItem[]): Promise<void> {
    for (const item of items) if (hasPhase(item, "pre")) await this.#around("pre", item);
    for (const item of items) await this.#main(item, this.frame, this.#index++);
    for (const item of this.frame.due.toReversed()) await this.#around("post", item);
  }

  // -- pre and post ---------------------------------------------------------------------------------------------------

  /** Pre or post of a step of the job, as a step of its own. */
  async #around(name: "pre" | "post", item: StepItem): Promise<void> {
    const { frame } = this;
    const { log, mask, now, onStep } = this.#job.options;
    if (!this.#isWanted(name, item, frame)) return;
    const files = this.#job.nextFiles();
    const scope = this.#job.scope(frame, item.made?.env ?? frame.env, { action: item.action, files });
    const report: StepReport = {
      index: this.#index++,
      name: mask.text(`${name === "pre" ? "Pre" : "Post"} ${this.#shown(item.spec, scope)}`).slice(0, nameChars),
      state: "running",
      startedAt: now().toISOString(),
      firstLine: log.nextLine,
    };
    log.say(report.name);
    onStep(report);
    const mayGoOn = () => name === "post";
    let end: StepEnd;
    try {
      const timeoutMs = timeoutOf(item.spec, scope);
      const run = new StepRun({ job: this.#job, index: report.index, timeoutMs, mayGoOn, parent: undefined, files });
      end = await this.#inPhase(name, item, frame, run);
      run.end();
    } catch (error) {
      end = endOfError(error);
    }
    end = this.#told(end);
    const conclusion = this.#isForgiven(end, item.spec, scope) ? "passed" : end.verdict;
    if (conclusion !== "passed" && !this.#job.ending) this.#job.failure ??= { ...end, step: report.name };
    onStep(finished(report, end, conclusion, now()));
  }

  /** Pre or post of a step, whatever it is within; nothing where it has none, or its condition does not hold. */
  async #inPhase(name: "pre" | "post", item: StepItem, frame: Frame, run: StepRun): Promise<StepEnd> {
    try {
      const step = { action: item.action, files: run.files };
      const around = this.#job.scope(frame, frame.env, step);
      const env = item.made?.env ?? { ...frame.env, ...mapped(item.spec.env ?? {}, (text) => interpolate(text, around)) };
      const scope = this.#job.scope(frame, env, step);
      return await this.#perform({ name, item, frame, scope, run }, env);
    } catch (error) {
      return run.cutEnd() ?? endOfError(error);
    }
  }

  #isWanted(name: "pre" | "post", item: StepItem, frame: Frame): boolean {
    if (this.#job.isOver || this.#job.options.loop.isGone || !hasPhase(item, name)) return false;
    if (item.found?.kind === "folder" && item.found.definition.runs.using === "composite") {
      const children = name === "pre" ? item.children : item.due;
      return children.some((child) => this.#isWanted(name, child, item.made?.frame ?? frame));
    }
    const scope = this.#job.scope(frame, item.made?.env ?? frame.env, { action: item.action });
    try {
      // The job counts here, also where the step is one of a composite action.
      return evaluateCondition(conditionOf(item, name), scope, this.#job.status(this.frame));
    } catch (error) {
      this.#job.options.log.say(`${name}-if of ${nameOf(item.spec)}: ${messageOf(error)}`);
      return false;
    }
  }

  /** From here on its post phase is due. Of a composite action it is when it is for one of its steps. */
  #owe(item: StepItem, frame: Frame): void {
    const isComposite = item.found?.kind === "folder" && item.found.definition.runs.using === "composite";
    const isDue = isComposite ? item.due.length > 0 : hasPhase(item, "post");
    if (isDue && !frame.due.includes(item)) frame.due.push(item);
  }

  // -- one step -------------------------------------------------------------------------------------------------------

  /** @param parent set for a step of a composite action: it is shown within that. */
  async #main(item: StepItem, frame: Frame, index: number, parent?: StepRun): Promise<{ end: StepEnd; name: string; isForgiven: boolean }> {
    const { spec } = item;
    const { log, mask, now, onStep } = this.#job.options;
    const startedAt = now().toISOString();
    const report: StepReport = {
      index,
      name: mask.text(nameOf(spec).slice(0, nameChars)),
      state: "running",
      startedAt,
      firstLine: log.nextLine,
    };
    let end: StepEnd;
    let run: StepRun | undefined;
    const step = { action: item.action, files: this.#job.nextFiles() };
    let scope = this.#job.scope(frame, frame.env, step);
    try {
      // The step's own variables are seen by its other keys, not by each other.
      const env = { ...frame.env, ...mapped(spec.env ?? {}, (text) => interpolate(text, scope)) };
      scope = this.#job.scope(frame, env, step);
      if (!this.#mayRun(spec, frame, scope)) {
        this.#note(item, frame, "skipped", "skipped", {});
        if (!parent) onStep({ ...report, state: "finished", verdict: "skipped", conclusion: "skipped", finishedAt: startedAt });
        return { end: { verdict: "skipped" }, name: report.name, isForgiven: false };
      }
      report.name = mask.text(interpolate(nameOf(spec), scope)).slice(0, nameChars);
      const timeoutMs = timeoutOf(spec, scope);
      const mayGoOn = () => spec.if !== undefined && this.#job.holds(spec.if, scope, frame);
      if (parent) log.group(report.name, spec.run === undefined ? [] : interpolate(spec.run, scope).trimEnd().split("\n"));
      else {
        log.say(report.name);
        onStep(report);
      }
      run = new StepRun({ job: this.#job, index, timeoutMs, mayGoOn, parent, files: step.files });
      end = await this.#perform({ name: "main", item, frame, scope, run }, env);
    } catch (error) {
      end = run?.cutEnd() ?? endOfError(error);
    } finally {
      run?.end();
    }
    end = this.#told(end);
    const isForgiven = this.#isForgiven(end, spec, scope);
    const conclusion = isForgiven ? "passed" : end.verdict;
    if (conclusion !== "passed" && !parent && !this.#job.ending) this.#job.failure ??= { ...end, step: report.name };
    this.#note(item, frame, end.verdict, conclusion, run?.outputs ?? {});
    if (!parent) onStep(finished(report, end, conclusion, now()));
    return { end, name: report.name, isForgiven };
  }

  /** What is thrown ends the step as an error. */
  async #perform(phase: Phase, env: Record<string, string>): Promise<StepEnd> {
    const { item, frame, scope, run } = phase;
    const { spec } = item;
    if (spec.uses === undefined) {
      const script = interpolate(spec.run ?? "", scope);
      const shell = spec.shell === undefined ? undefined : interpolate(spec.shell, scope);
      const workingDirectory = resolve(this.#job.options.folders.workspace, interpolate(spec.workingDirectory ?? "", scope));
      return run.endOf(await run.script({ script, shell, workingDirectory, variables: this.#variables(phase, env) }));
    }
    const found = await this.#actions.resolve(item, frame.trail);
    if (phase.name !== "post") this.#owe(item, frame);
    if (phase.name !== "post") item.made = { env, inputs: this.#inputs(phase), frame: undefined };
    const made = item.made ?? { env, inputs: this.#inputs(phase), frame: undefined };
    try {
      if (found.kind === "built-in") return await this.#builtIn(phase, made);
      if (found.kind === "folder") return await this.#folder(phase, made, found);
      return await this.#docker(phase, made, { image: found.image, build: undefined, entrypoint: undefined, args: [], env: {} });
    } finally {
      Object.assign(item.state, run.saved);
      if (phase.name !== "post") this.#owe(item, frame);
    }
  }

  // -- actions --------------------------------------------------------------------------------------------------------

  async #builtIn(phase: Phase, made: Made): Promise<StepEnd> {
    const { item, run } = phase;
    if (item.found?.kind !== "built-in") return { verdict: "skipped" };
    const { builtIn } = item.found;
    const context = run.context({
      inputs: made.inputs,
      variables: this.#variables(phase, made.env),
      github: this.#job.github(phase.frame, item.action),
      state: { ...item.state },
    });
    await (phase.name === "post" ? builtIn.post?.(context) : builtIn.main(context));
    return run.endOf(0);
  }

  async #folder(phase: Phase, made: Made, found: FolderAction): Promise<StepEnd> {
    const { runs } = found.definition;
    const { item, run } = phase;
    const { log } = this.#job.options;
    if (runs.using === "composite") return await this.#composite(phase, made, found);
    const pre = runs.using === "docker" ? runs.preEntrypoint : runs.pre;
    if (phase.name === "main" && pre !== undefined && !found.from) log.say("pre of an action of the workspace is not run, as on GitHub");
    if (runs.using === "docker") {
      const own: Scope = { ...phase.scope, contexts: { ...phase.scope.contexts, inputs: made.inputs } };
      const isImage = runs.image.startsWith("docker://");
      const dockerfile = isImage ? "" : insideOf(found.root, join(found.folder, runs.image), `${runs.image} of action ${item.spec.uses}`);
      const entrypoint = { pre: runs.preEntrypoint, main: runs.entrypoint, post: runs.postEntrypoint }[phase.name];
      return await this.#docker(phase, made, {
        image: isImage ? runs.image.slice("docker://".length) : undefined,
        build: isImage ? undefined : { dockerfile, folder: found.folder },
        entrypoint,
        args: runs.args.map((arg) => interpolate(arg, own)),
        env: mapped(runs.env, (text) => interpolate(text, own)),
      });
    }
    const file = runs[phase.name];
    if (file === undefined) return { verdict: "passed" };
    const real = insideOf(found.root, join(found.folder, file), `${phase.name} of action ${item.spec.uses}, ${file},`);
    if (runs.using === "node20" && phase.name === "main") log.say("the action asks for node20, and runs on Node 24");
    const variables = { ...this.#variables(phase, made.env, found), ...inputVariables(made.inputs), ...stateVariables(item.state) };
    return run.endOf(await run.node(real, this.#job.options.folders.workspace, variables));
  }

  async #docker(phase: Phase, made: Made, action: DockerAction): Promise<StepEnd> {
    const { item, run, frame } = phase;
    const { docker } = this.#job.options;
    if (!docker) throw new SeatrialError("invalid", `uses: ${item.spec.uses} needs a container, and there is no Docker for this job`);
    const files = run.commandFiles();
    const variables = this.#variables(phase, made.env, item.found?.kind === "folder" ? item.found : undefined);
    const { args, entrypoint, ...inputs } = made.inputs;
    const context = run.context({
      inputs: made.inputs,
      variables,
      github: this.#job.github(frame, item.action),
      state: { ...item.state },
    });
    try {
      const exitCode = await docker.run(
        {
          ...action,
          // `with` wins over the action's own.
          entrypoint: phase.name === "main" ? (entrypoint ?? action.entrypoint) : action.entrypoint,
          args: args === undefined ? action.args : wordsOf(args),
          env: { ...action.env, ...inputVariables(inputs), ...stateVariables(item.state), ...files.variables },
        },
        context,
      );
      this.#job.options.log.endOutput();
      run.readFiles(files);
      return run.endOf(exitCode);
    } finally {
      files.remove();
    }
  }

  async #composite(phase: Phase, made: Made, found: FolderAction): Promise<StepEnd> {
    const { item, run, name } = phase;
    const frame: Frame = (name === "post" && made.frame) || {
      steps: {},
      action: { inputs: made.inputs, github: githubOf(found) },
      env: made.env,
      hasFailed: false,
      due: item.due,
      trail: [...phase.frame.trail, item.spec.uses!],
    };
    made.frame = frame;
    if (name !== "main") {
      const children = name === "pre" ? item.children : item.due.toReversed();
      let worst: StepEnd = { verdict: "passed" };
      for (const child of children) {
        if (!this.#isWanted(name, child, frame)) continue;
        this.#job.options.log.group(`${name === "pre" ? "Pre" : "Post"} ${nameOf(child.spec)}`, []);
        const inner = new StepRun({
          job: this.#job,
          index: run.index,
          timeoutMs: undefined,
          mayGoOn: () => name === "post",
          parent: run,
          files: this.#job.nextFiles(),
        });
        const end = this.#told(await this.#inPhase(name, child, frame, inner));
        inner.end();
        const isForgiven = this.#isForgiven(end, child.spec, this.#job.scope(frame));
        if (end.verdict !== "passed" && !isForgiven && worst.verdict === "passed") worst = end;
      }
      return run.cutEnd() ?? worst;
    }
    const wasEnding = this.#job.ending !== undefined;
    let failure: StepEnd | undefined;
    let isCutShort = false;
    for (const child of item.children) {
      if (run.cut) break;
      const { end, name: title, isForgiven } = await this.#main(child, frame, run.index, run);
      if (end.verdict === "skipped" || end.verdict === "aborted") isCutShort ||= this.#job.ending !== undefined;
      if (["passed", "skipped", "aborted"].includes(end.verdict) || isForgiven) continue;
      frame.hasFailed = true;
      failure ??= { ...end, message: `${title}: ${end.message ?? end.verdict}` };
    }
    this.#outputs(frame, found, made, run);
    const cut = run.cutEnd();
    if (cut) return cut;
    if (!wasEnding && isCutShort && this.#job.ending) return { verdict: this.#job.ending.verdict };
    return failure ?? run.endOf(0);
  }

  #outputs(frame: Frame, found: FolderAction, made: Made, run: StepRun): void {
    for (const [name, text] of Object.entries(found.definition.outputs)) {
      try {
        run.outputs[name] = interpolate(text, this.#job.scope(frame, made.env));
      } catch (error) {
        run.problems.push(`output ${name}: ${messageOf(error)}`);
      }
    }
  }

  /** `with`, and the defaults of what is not given, by lower-case name. */
  #inputs({ name: phase, item, scope: around }: Phase): Record<string, string> {
    const { spec, found } = item;
    const scope = withGithub(around, usedOf(spec.uses));
    const note = (text: string) => (phase === "main" ? this.#job.options.log.say(text) : undefined);
    const given = Object.fromEntries(
      Object.entries(spec.with ?? {}).map(([name, text]) => [name.toLowerCase(), interpolate(text, scope).trim()]),
    );
    if (found?.kind === "built-in") {
      const known = builtIns.find(({ name }) => name === found.builtIn.name)?.inputs ?? {};
      const defaults = Object.entries(known).flatMap(([name, { default: value }]) =>
        value === undefined ? [] : [[name.toLowerCase(), value]],
      );
      return { ...Object.fromEntries(defaults), ...given } as Record<string, string>;
    }
    if (found?.kind !== "folder") return given;
    const { inputs, runs } = found.definition;
    const extra = runs.using === "docker" ? ["args", "entrypoint"] : [];
    for (const name of Object.keys(given)) {
      if (!inputs[name] && !extra.includes(name))
        note(`${spec.uses} has no input ${name}; it has: ${Object.keys(inputs).join(", ") || "none"}`);
      if (inputs[name]?.deprecation !== undefined) note(`input ${name}: ${inputs[name].deprecation}`);
    }
    const all: Record<string, string> = { ...given };
    for (const [name, input] of Object.entries(inputs)) {
      if (given[name] !== undefined) continue;
      if (input.isRequired && input.default === undefined) note(`${spec.uses}: input ${input.name} is required, and was not given`);
      all[name] = input.default === undefined ? "" : interpolate(input.default, scope);
    }
    return all;
  }

  // -- what is common -------------------------------------------------------------------------------------------------

  /** All that is set for a script of the step. */
  #variables({ item, frame }: Phase, env: Readonly<Record<string, string>>, found?: FolderAction): Record<string, string> {
    const github = found ? githubOf(found) : (frame.action?.github ?? {});
    const own = Object.entries(github).map(([name, value]) => [`GITHUB_${name.toUpperCase()}`, value]);
    return this.#job.environment.variables(env, { ...Object.fromEntries(own), GITHUB_ACTION: item.action });
  }

  #mayRun(step: StepSpec, frame: Frame, scope: Scope): boolean {
    if (this.#job.isOver || this.#job.options.loop.isGone) return false;
    return evaluateCondition(step.if ?? "", scope, this.#job.status(frame));
  }

  /** Whether a failure does not count. */
  #isForgiven({ verdict, cause }: StepEnd, { continueOnError }: StepSpec, scope: Scope): boolean {
    if (continueOnError === undefined || ["passed", "aborted", "skipped"].includes(verdict) || cause === "lost-runner") return false;
    try {
      return evaluateBoolean(continueOnError, scope);
    } catch (error) {
      this.#job.options.log.say(`continue-on-error: ${messageOf(error)}`);
      return false;
    }
  }

  /** Its message, masked, is in the log. */
  #told(end: StepEnd): StepEnd {
    if (end.message === undefined) return end;
    const message = this.#job.options.mask.text(end.message).slice(0, 4096);
    this.#job.options.log.say(message);
    return { ...end, message };
  }

  #note({ spec }: StepItem, frame: Frame, verdict: Verdict, conclusion: Verdict, outputs: Record<string, string>): void {
    if (spec.id !== undefined) frame.steps[spec.id] = { outputs, outcome: outcomes[verdict], conclusion: outcomes[conclusion] };
  }

  /** The name of a phase beside main, when what it is made of may not be known. */
  #shown(step: StepSpec, scope: Scope): string {
    try {
      return interpolate(nameOf(step), scope);
    } catch {
      return nameOf(step);
    }
  }
}

function finished(report: StepReport, end: StepEnd, conclusion: Verdict, now: Date): StepReport {
  const { verdict, exitCode, message } = end;
  return {
    ...report,
    state: "finished",
    verdict,
    conclusion,
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(message === undefined ? {} : { message }),
    finishedAt: now.toISOString(),
  };
}

function endOfError(error: unknown): StepEnd {
  if (!(error instanceof SeatrialError)) throw error;
  const message = [error.message, error.hint].filter(Boolean).join("; ");
  if (error instanceof ActionError) return { verdict: "error", cause: error.why, message };
  switch (error.code) {
    case "invalid":
      return { verdict: "error", cause: "invalid-workflow", message };
    case "aborted":
      return { verdict: "aborted", message };
    case "internal":
      return { verdict: "error", cause: "internal", message };
    case "unreachable":
    case "timeout":
      return { verdict: "error", cause: "host", message };
    default:
      return { verdict: "failed", message };
  }
}

/** What an action adds to `github`. */
function githubOf({ folder, from }: FolderAction): Record<string, string> {
  return { action_path: folder, ...(from ? { action_repository: from.repository, action_ref: from.ref } : {}) };
}

/** Of which repository the action of a step is, and at what ref: its `with`, and the defaults of its inputs, know that. */
function usedOf(text = ""): Record<string, string> {
  try {
    const uses = parseUses(text);
    return uses.kind === "repository" ? { action_repository: uses.repository, action_ref: uses.ref } : {};
  } catch {
    return {};
  }
}

function withGithub(scope: Scope, github: Record<string, string>): Scope {
  const { contexts } = scope;
  return { ...scope, contexts: { ...contexts, github: { ...(contexts["github"] as object), ...github } } };
}

/** INPUT_ and the name in capitals, blanks as `_`: "Metadata syntax", `inputs.<input_id>`. */
function inputVariables(inputs: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(inputs).map(([name, value]) => [`INPUT_${name.replaceAll(" ", "_").toUpperCase()}`, value]));
}

function stateVariables(state: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(state).map(([name, value]) => [`STATE_${name}`, value]));
}

/** `with.args` of a container: words, which quotes hold together. */
function wordsOf(text: string): string[] {
  return [...text.matchAll(/(?:[^\s"']+|"[^"]*"|'[^']*')+/g)].map(([word]) => word.replaceAll(/"([^"]*)"|'([^']*)'/g, "$1$2"));
}

/** Unit: milliseconds. 0 minutes are none, as on GitHub. */
function timeoutOf({ timeoutMinutes }: StepSpec, scope: Scope): number | undefined {
  const minutes = timeoutMinutes === undefined ? 0 : evaluateNumber(timeoutMinutes, scope);
  return minutes ? minutes * 60_000 : undefined;
}

/** For people, before its expressions are expanded. */
function nameOf({ name, run, uses }: StepSpec): string {
  const [line = ""] = (uses ?? run ?? "").trim().split("\n");
  // An expression that goes on in the next line is no name.
  return name ?? `Run ${line.lastIndexOf("${{") > line.lastIndexOf("}}") ? "a script" : line}`;
}
