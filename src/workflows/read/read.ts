/**
 * Reads a workflow file: YAML, then keys, values and expressions, then the graph of jobs. All that is wrong is reported at
 * once, each with its place. What is not in `keys.ts` as working is refused: a workflow that is accepted does what it says.
 */
import { InvalidError, formatProblem, type Place, type Problem, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { clusterNameProblem } from "../../resources/cluster.ts";
import { formatPath, type Path } from "../../resources/finding.ts";
import { type StepSpec, stepSchema } from "../../resources/job-run.ts";
import { shown } from "../../resources/schema.ts";
import { didYouMean } from "../../resources/suggest.ts";
import { type BuiltIn, builtInOf, ignoredInputs, inputMistake, missingInputs, versionMistake } from "../actions/built-in.ts";
import { readClusterSpec } from "../clusters.ts";
import { readContainer, readServices } from "../containers.ts";
import { holdsExpressions, plainValue } from "../expressions/evaluate.ts";
import { holdsExpression } from "../expressions/expressions.ts";
import { hoist, type Hoisted } from "./hoist.ts";
import { keyOf } from "./keys.ts";
import { readConcurrency, readDefaults, readEnvironment, readPermissions } from "./job-keys.ts";
import { expandMatrix } from "../plan/matrix.ts";
import { findCellLabelMistakes } from "../plan/cell-labels.ts";
import { readTriggers } from "./read-triggers.ts";
import {
  besideUses,
  type CalledFiles,
  type FetchCalled,
  CallGraph,
  checkCall,
  permissionProblems,
  readInterface,
  readPassedSecrets,
  readWith,
} from "./read-calls.ts";
import { findLabelMistakes, type RunsOnRule } from "../runs-on.ts";
import { shellMistake } from "./shells.ts";
import { type Entry, type Node, placeAt, readTree, type Scalar, type Source, valueOf } from "./tree.ts";
import type { Triggers } from "../triggers/triggers.ts";
import { isNull, type Read, type ScalarType, textIn, ValueReader } from "./values.ts";
import { usesMistake } from "../actions/uses.ts";
import type { ActionMention, CallInterface, Concurrency, Job, Permissions, RunDefaults, Workflow } from "../workflow.ts";

/**
 * @param file as the user named it: it is the first part of each problem.
 * @param rules what labels of one's own mean.
 * @param called workflow files of the same tree, which its jobs can call. Default: none.
 * @throws InvalidError with all problems of the file, and of those that it calls.
 */
export function readWorkflow(text: string, file: string, rules: readonly RunsOnRule[] = [], called: CalledFiles = new Map()): Workflow {
  const { workflow, problems } = readWithCalls(text, file, rules, called);
  if (!workflow) throw new InvalidError(problems);
  return workflow;
}

/** The same, where it is of use which files it calls although something is wrong. @returns the workflow, or what is wrong with it. */
export function readWithCalls(
  text: string,
  file: string,
  rules: readonly RunsOnRule[],
  called: CalledFiles,
  refused: ReadonlyMap<string, string> = new Map(),
): { workflow?: Workflow; problems: Problem[]; calls: string[]; missing: string[] } {
  const problems: Problem[] = [];
  const notices: Problem[] = [];
  const actions: ActionMention[] = [];
  const graph = new CallGraph(called, refused, (each, path) => {
    const source = readTree(each, path);
    if (!source.root && source.problems.length === 0)
      problems.push({ place: { file: path, line: 1, column: 1 }, path: "", message: "is empty: a workflow has `on` and `jobs`" });
    const reader = new WorkflowReader(source, rules, graph);
    const read = source.root && reader.read(source.root, path);
    problems.push(...reader.problems);
    notices.push(...reader.notices);
    actions.push(...reader.actions);
    return read;
  });
  const workflow = graph.enter(text, file);
  const size = graph.jobsIn(file);
  if (workflow && size > limits.workflowJobs && workflow.jobs.length <= limits.workflowJobs) {
    const message = `has ${size} jobs with those of the workflows that it calls, and can have at most ${limits.workflowJobs}`;
    problems.push({ place: { file, line: 1, column: 1 }, path: "jobs", message });
  }
  if (problems.length === 0 && workflow) problems.push(...permissionProblems(workflow));
  const { files: calls, missing } = graph;
  const files = [file, ...calls];
  if (problems.length > 0 || !workflow) return { problems: inOrder(problems, files), calls, missing };
  return { workflow: { ...workflow, calls, actions, notices: inOrder(notices, files) }, problems: [], calls, missing };
}

/**
 * The same with workflows of other repositories, which are fetched as they are found.
 * @returns beside it the texts of all that can be called, those that were fetched among them.
 */
export async function readFollowing(
  text: string,
  file: string,
  rules: readonly RunsOnRule[],
  called: CalledFiles,
  fetch: FetchCalled | undefined,
): Promise<Omit<ReturnType<typeof readWithCalls>, "missing"> & { files: CalledFiles }> {
  const files = new Map(called);
  const refused = new Map<string, string>();
  for (;;) {
    const { missing, ...read } = readWithCalls(text, file, rules, files, refused);
    if (missing.length === 0 || !fetch) return { ...read, files };
    // Each turn answers for some that none before it did, and there are no more than can be called.
    for (const uses of new Set(missing)) {
      try {
        const isTooMany = files.size - called.size + refused.size >= limits.calledWorkflows;
        if (isTooMany) throw new SeatrialError("invalid", `${limits.calledWorkflows} other files can be called, and no more`);
        files.set(uses, await fetch(uses));
      } catch (error) {
        if (!(error instanceof SeatrialError)) throw error;
        refused.set(uses, `${uses} cannot be had: ${error.message}`);
      }
    }
  }
}

/** Each once, in the order of the files; of very many the first. */
function inOrder(problems: readonly Problem[], files: readonly string[]): Problem[] {
  const each = [...new Map(problems.map((problem) => [formatProblem(problem), problem])).values()];
  const order = ({ place }: Problem) => files.indexOf(place!.file);
  each.sort((a, b) => order(a) - order(b) || a.place!.line - b.place!.line || a.place!.column - b.place!.column);
  const [first, ...others] = each.splice(limits.workflowProblems);
  if (first) each.push({ ...first, path: "", message: `and ${others.length + 1} more problems from here on` });
  return each;
}

/** Checks are known by the names of jobs: one that is called like another gets its id with it. */
function ownName(job: Draft, all: readonly Draft[]): Pick<Job, "name"> {
  const { name, id } = job;
  const isShared = name && all.some((other) => other !== job && (other.name?.text ?? other.id) === name.text);
  return isShared ? { name: { ...name, text: `${name.text} [${id}]` } } : {};
}

/** What is wrong with a `shell`, as the end of a sentence. */
function shellProblem(shell: string): string | undefined {
  const mistake = shell === "" ? undefined : shellMistake(shell);
  return mistake === undefined ? undefined : `${shown(shell)} ${mistake}`;
}

/** A job before its `needs` are looked up. */
interface Draft extends Omit<Job, "needs" | "env"> {
  needs: { name: string; place: Place; path: Path }[];
  env: Record<string, string>;
  /** Length of what its JobRun will hold, without the workflow's `env`. */
  characters: number;
}

class WorkflowReader extends ValueReader {
  readonly #rules: readonly RunsOnRule[];
  readonly #graph: CallGraph;
  /** What steps use, but for actions that are part of Seatrial. */
  readonly actions: ActionMention[] = [];
  #interface: CallInterface | undefined;
  /** `defaults.run` and `permissions` of the workflow. */
  #defaults: RunDefaults = {};
  #permissions: Permissions | undefined;
  /** Of the workflow, above its jobs. */
  #notices: readonly Problem[] = [];

  constructor(source: Source, rules: readonly RunsOnRule[], graph: CallGraph) {
    super(source);
    this.#rules = rules;
    this.#graph = graph;
  }

  read(root: Node, file: string): Workflow {
    let name = file;
    let on: Triggers = {};
    let env: Record<string, string> = {};
    let drafts: Draft[] = [];
    let runName: Scalar | undefined;
    let concurrency: Concurrency | undefined;
    // What jobs have from the workflow is read before them, wherever it stands.
    const first = ["defaults", "permissions"];
    const entries =
      root.kind === "map" ? root.entries.toSorted((a, b) => Number(first.includes(b.key)) - Number(first.includes(a.key))) : [];
    const sorted = root.kind === "map" ? { ...root, entries } : root;
    const seen = this.keys(sorted, "", [], root.place, {
      name: (value, path) => (name = this.text(value, path, "name") || file),
      "run-name": (value, path) => (runName = this.scalar(value, path, "run-name", "text")),
      defaults: (value, path, place) => (this.#defaults = readDefaults(this, value, path, place, "defaults", shellProblem)),
      permissions: (value, path, place) => (this.#permissions = readPermissions(this, value, path, place)),
      concurrency: (value, path, place) => (concurrency = readConcurrency(this, value, path, place, "concurrency")),
      on: (value, path) => {
        const call: Read = (each, at, place) => (this.#interface = readInterface(this, each, at, place));
        on = readTriggers(this, value, path, call);
      },
      env: (value, path) => (env = this.texts(value, path, "env")),
      jobs: (value, path, place) => {
        this.#notices = this.notices.slice();
        drafts = this.#jobs(value, path, place);
      },
    });
    for (const key of ["on", "jobs"]) {
      if (root.kind === "map" && !seen.has(key)) this.report(root.place, [key], "is required");
    }
    const shared = Object.entries(env).join("").length;
    const jobs = drafts.map((draft): Job => {
      const { characters, ...job } = draft;
      if (characters + shared > limits.workflowJobCharacters) {
        const message = `holds ${characters + shared} characters, and can hold at most ${limits.workflowJobCharacters}: put scripts into files`;
        this.report(job.place, ["jobs", job.id], message);
      }
      return { ...job, ...ownName(draft, drafts), env: { ...env, ...job.env }, needs: this.#needs(draft, drafts) };
    });
    this.#refuseCycles(drafts, jobs);
    return {
      path: file,
      name,
      on,
      ...(this.#interface && { interface: this.#interface }),
      ...(runName && { runName }),
      ...(concurrency && { concurrency }),
      jobs,
      calls: [],
      actions: [],
      notices: [],
    };
  }

  // ---- jobs

  #jobs(node: Node, path: Path, place: Place): Draft[] {
    const entries = this.entries(node, path, place);
    if (entries.length > limits.workflowJobs)
      this.report(place, path, `has ${entries.length} jobs, and can have at most ${limits.workflowJobs}`);
    if (node.kind === "map" && entries.length === 0) this.report(place, path, "must have at least one job");
    const ids = new Map<string, string>();
    return entries.map((entry): Draft => {
      const at = [...path, entry.key];
      this.#id(entry.key, entry.place, at, ids);
      return this.#job(entry, at);
    });
  }

  #job({ key: id, place, value: node }: Entry, path: Path): Draft {
    const job: Draft = { id, place, needs: [], clusters: [], env: {}, outputs: {}, steps: [], notices: [], characters: 0 };
    const noticesBefore = this.notices.length;
    const clusters: { name: string; node: Node }[] = [];
    let hoisted: Hoisted[] = [];
    let defaults = this.#defaults;
    const before = this.characters;
    const prefix = "jobs.<job_id>";
    const keep = (field: "name" | "timeoutMinutes" | "continueOnError" | "condition", key: string, type: ScalarType): Read => {
      return (value, at) => {
        const scalar = this.scalar(value, at, `${prefix}.${key}`, type);
        if (scalar) job[field] = scalar;
      };
    };
    const seen = this.keys(node, prefix, path, place, {
      name: keep("name", "name", "text"),
      if: keep("condition", "if", "condition"),
      "timeout-minutes": keep("timeoutMinutes", "timeout-minutes", "minutes"),
      "continue-on-error": keep("continueOnError", "continue-on-error", "boolean"),
      needs: (value, at) => (job.needs = this.list(value, at).map((need) => ({ name: need.text, place: need.place, path: at }))),
      "runs-on": (value, at, where) => {
        job.runsOn = value;
        this.#runsOn(value, at, where);
      },
      concurrency: (value, at, where) => {
        const read = readConcurrency(this, value, at, where, `${prefix}.concurrency`);
        if (read) job.concurrency = read;
      },
      permissions: (value, at, where) => (job.permissions = readPermissions(this, value, at, where)),
      environment: (value, at, where) => {
        const read = readEnvironment(this, value, at, where);
        if (read) job.environment = read;
      },
      defaults: (value, at, where) => {
        defaults = { ...defaults, ...readDefaults(this, value, at, where, `${prefix}.defaults`, shellProblem) };
      },
      uses: (value, at, where) => this.#call(job, node, value, at, where),
      with: () => {}, // Read with `uses`, which it belongs to; so is `secrets`.
      secrets: () => {},
      env: (value, at) => (job.env = this.texts(value, at, `${prefix}.env`)),
      outputs: (value, at) => (job.outputs = this.texts(value, at, `${prefix}.outputs`)),
      strategy: (value, at, where) => this.#strategy(job, value, at, where),
      cluster: (value, at, where) => {
        clusters.push({ name: "cluster", node: value });
        this.#cluster(value, at, where, `${prefix}.cluster`);
      },
      clusters: (value, at, where) => {
        for (const entry of this.entries(value, at, where)) {
          const mistake = clusterNameProblem(entry.key);
          if (mistake) this.report(entry.place, [...at, entry.key], mistake);
          clusters.push({ name: entry.key, node: entry.value });
          this.#cluster(entry.value, [...at, entry.key], entry.place, `${prefix}.clusters.<name>`);
        }
      },
      container: (value, at, where) => {
        const container = readContainer(this, `${prefix}.container`, value, at, where);
        if (container) job.container = container;
      },
      services: (value, at, where) => (job.services = readServices(this, value, at, where)),
      steps: (value, at, where) => {
        job.steps = this.#steps(value, at, where);
        hoisted = this.#hoist(value, at);
      },
    });
    for (const { place: where, message } of job.runsOn && job.matrix ? findCellLabelMistakes(job.runsOn, job.matrix, this.#rules) : [])
      this.report(where, [...path, "runs-on"], message);
    for (const { name, node: spec, place: where } of hoisted) {
      if (clusters.every((other) => other.name !== name)) clusters.push({ name, node: spec });
      else this.report(where, path, `has two clusters of the name ${name}: one of them comes from this step`);
    }
    job.clusters = clusters;
    if (clusters.length > 8) this.report(place, path, `has ${clusters.length} clusters, and can have at most 8`);
    if (clusters.filter(({ name }) => name === "cluster").length > 1) {
      this.report(place, [...path, "clusters"], "one is called cluster, which is the name of the one in `cluster`");
    }
    for (const [key, at] of seen) {
      const isMisplaced = seen.has("uses") ? !besideUses.has(key) : key === "with" || key === "secrets";
      if (!isMisplaced) continue;
      const why = seen.has("uses") ? "cannot stand beside `uses`: the workflow that is called says that" : "belongs to `uses`";
      this.report(at, [...path, key], why);
    }
    const permissions = job.permissions ?? this.#permissions;
    if (permissions) job.permissions = permissions;
    for (const step of job.steps) if (step.run !== undefined) Object.assign(step, { ...defaults, ...step });
    if (node.kind === "map" && !seen.has("steps") && !seen.has("uses")) {
      this.report(place, [...path, "steps"], "is required: what the job does");
    }
    // What is noticed of a step, its own log says.
    const ofWorkflow = this.#notices.filter((notice) => !(seen.has("permissions") && notice.path.startsWith("permissions")));
    const noticed = [...ofWorkflow, ...this.notices.slice(noticesBefore)].filter((notice) => !notice.path.includes(".steps["));
    job.notices = noticed.map(({ path: at, message }) => `${at}: ${message}`).slice(0, 20);
    job.characters = this.characters - before;
    return job;
  }

  #call(job: Draft, node: Node, value: Node, path: Path, place: Place): void {
    const found = this.#graph.follow(this.text(value, path, "jobs.<job_id>.uses"));
    if (typeof found === "string") this.report(value.place, path, found);
    const jobPath = path.slice(0, -1);
    const read = <T>(key: string, how: (reader: ValueReader, given: Node, at: Path, where: Place) => T): T | undefined => {
      const given = valueOf(node, key);
      return given && !isNull(given) ? how(this, given, [...jobPath, key], placeAt(node, [key], "key")) : undefined;
    };
    const inputs = read("with", readWith) ?? [];
    const secrets = read("secrets", readPassedSecrets) ?? {};
    if (typeof found !== "object") return;
    job.call = { place, workflow: found, inputs, secrets };
    checkCall(this, job.call, jobPath, valueOf(node, "secrets"));
  }

  #strategy(job: Draft, node: Node, path: Path, place: Place): void {
    const prefix = "jobs.<job_id>.strategy";
    this.keys(node, prefix, path, place, {
      matrix: (value, at, where) => {
        job.matrix = value;
        if (value.kind === "scalar" && !holdsExpression(value.text)) {
          this.report(value.place, at, `must be a map of lists, or an expression, and is ${shown(value.value)}`);
        } else if (holdsExpressions(value)) {
          this.expressions(value, at, `${prefix}.matrix`);
        } else {
          this.#collect(where, at, () => expandMatrix(plainValue(value)));
        }
      },
      "fail-fast": (value, at) => {
        const scalar = this.scalar(value, at, `${prefix}.fail-fast`, "boolean");
        if (scalar) job.failFast = scalar;
      },
      "max-parallel": (value, at) => {
        const scalar = this.scalar(value, at, `${prefix}.max-parallel`, "count");
        if (scalar) job.maxParallel = scalar;
      },
    });
  }

  #runsOn(node: Node, path: Path, place: Place): void {
    const prefix = "jobs.<job_id>.runs-on";
    const labels: Scalar[] = [];
    if (node.kind === "map") {
      const add: Read = (value, at) => {
        labels.push(...this.list(value, at));
        this.expressions(value, at, prefix);
      };
      this.keys(node, prefix, path, place, { group: add, labels: add });
      if (node.entries.length === 0) this.report(place, path, "must have a group or labels");
    } else {
      labels.push(...this.list(node, path));
      this.expressions(node, path, prefix);
    }
    if (node.kind === "list" && labels.length === 0) this.report(place, path, "has no label; leave it out, or write ubuntu-latest");
    if (holdsExpressions(node)) return;
    const texts = labels.map(({ text }) => text);
    for (const { index, message } of findLabelMistakes(texts, this.#rules)) this.report(labels[index]!.place, path, message);
  }

  #cluster(node: Node, path: Path, place: Place, key: string): void {
    this.expressions(node, path, key);
    if (node.kind === "scalar" && holdsExpression(node.text)) return;
    const entries = node.kind === "map" ? node.entries : [];
    const refused = entries.filter((entry) => keyOf(`${key}.${entry.key}`));
    for (const entry of refused) this.key(key, entry.key, entry.place, path);
    const rest: Node = node.kind === "map" ? { ...node, place, entries: entries.filter((entry) => !refused.includes(entry)) } : node;
    this.problems.push(...readClusterSpec(rest, plainValue(rest), path).problems);
  }

  // ---- steps

  #steps(node: Node, path: Path, place: Place): StepSpec[] {
    if (node.kind !== "list" || node.items.length === 0) {
      this.report(place, path, "must be a list of at least one step");
      return [];
    }
    if (node.items.length > 1_000) this.report(place, path, `has ${node.items.length} steps, and can have at most 1000`);
    const ids = new Map<string, string>();
    return node.items.map((item, i) => this.#step(item, [...path, i], ids));
  }

  #step(node: Node, path: Path, ids: Map<string, string>): StepSpec {
    const step: StepSpec = {};
    const prefix = "jobs.<job_id>.steps[*]";
    const keep = (
      field: "name" | "run" | "workingDirectory" | "if" | "continueOnError" | "timeoutMinutes",
      key: string,
      type: ScalarType,
    ): Read => {
      return (value, at) => {
        const scalar = this.scalar(value, at, `${prefix}.${key}`, type);
        if (scalar) step[field] = scalar.text;
      };
    };
    const seen = this.keys(node, prefix, path, node.place, {
      id: (value, at) => {
        step.id = this.text(value, at, `${prefix}.id`);
        if (step.id) this.#id(step.id, value.place, at, ids);
      },
      name: keep("name", "name", "text"),
      if: keep("if", "if", "condition"),
      run: keep("run", "run", "text"),
      "working-directory": keep("workingDirectory", "working-directory", "text"),
      "continue-on-error": keep("continueOnError", "continue-on-error", "boolean"),
      "timeout-minutes": keep("timeoutMinutes", "timeout-minutes", "minutes"),
      shell: (value, at) => {
        step.shell = this.text(value, at, `${prefix}.shell`);
        const mistake = shellProblem(step.shell);
        if (mistake) this.report(value.place, at, mistake);
      },
      env: (value, at) => (step.env = this.texts(value, at, `${prefix}.env`)),
      uses: (value, at) => {
        step.uses = this.text(value, at, `${prefix}.uses`);
        if (builtInOf(step.uses)) {
          const mistake = versionMistake(step.uses);
          if (mistake !== undefined) this.report(value.place, at, mistake);
          return;
        }
        const mistake = usesMistake(step.uses);
        if (mistake !== undefined) this.report(value.place, at, `${shown(step.uses)} ${mistake}`);
        else this.actions.push({ uses: step.uses, place: value.place, path: formatPath(at) });
      },
      with: (value, at) => {
        step.with = this.texts(value, at, `${prefix}.with`);
      },
    });
    const kinds = ["run", "uses"].filter((key) => seen.has(key));
    if (node.kind === "map" && kinds.length !== 1 && !node.entries.some(({ key }) => keyOf(`${prefix}.${key}`)?.state === "open")) {
      this.report(node.place, path, kinds.length === 0 ? "must have `run` or `uses`" : "has `run` and `uses`: make two steps of it");
    }
    for (const key of seen.has("uses") ? ["shell", "working-directory"] : ["with"]) {
      if (seen.has(key) && kinds.length === 1)
        this.report(seen.get(key)!, [...path, key], `belongs to \`${key === "with" ? "uses" : "run"}\`, and the step has \`${kinds[0]}\``);
    }
    const builtIn = step.uses === undefined ? undefined : builtInOf(step.uses);
    if (builtIn) this.#inputs(builtIn, valueOf(node, "with"), node.place, [...path, "with"]);
    this.bound(stepSchema.safeParse(step).error?.issues, node.place, path);
    return step;
  }

  /** Clusters that steps ask for. */
  #hoist(steps: Node, path: Path): Hoisted[] {
    const items = steps.kind === "list" ? steps.items : [];
    const hoisted = items.flatMap((step, i) => hoist(step, [...path, i], (place, at, message) => this.report(place, at, message)));
    for (const { node, path: at, place } of hoisted) this.#cluster(node, at, place, "jobs.<job_id>.cluster");
    return hoisted;
  }

  /** `with` of an action that is part of Seatrial. */
  #inputs(builtIn: BuiltIn, inputs: Node | undefined, where: Place, path: Path): void {
    const entries = inputs?.kind === "map" ? inputs.entries : [];
    for (const { key, value, place } of entries) {
      const mistake = inputMistake(builtIn, key, textIn(value));
      if (mistake !== undefined) this.report(place, [...path, key], mistake);
      for (const message of ignoredInputs(builtIn, { [key]: textIn(value) })) this.notice(place, [...path, key], message);
    }
    for (const name of missingInputs(
      builtIn,
      entries.map(({ key }) => key),
    ))
      this.report(where, [...path, name], `is required by ${builtIn.name}`);
  }

  // ---- the graph of jobs

  /** Ids as the jobs have them: `needs` has no case. */
  #needs(draft: Draft, drafts: readonly Draft[]): string[] {
    const found = draft.needs.flatMap(({ name, place, path }): string[] => {
      const job = drafts.find(({ id }) => id.toLowerCase() === name.toLowerCase());
      if (!job)
        this.report(
          place,
          path,
          `there is no job ${name}${didYouMean(
            name,
            drafts.map(({ id }) => id),
          )}`,
        );
      else if (job === draft) this.report(place, path, "a job cannot need itself");
      return job && job !== draft ? [job.id] : [];
    });
    if (found.length > 256) this.report(draft.place, ["jobs", draft.id, "needs"], `names ${found.length} jobs, and can name at most 256`);
    return [...new Set(found)];
  }

  /** Reports each cycle once, where it is closed. */
  #refuseCycles(drafts: readonly Draft[], jobs: readonly Job[]): void {
    const done = new Set<string>();
    const visit = (id: string, trail: readonly string[]): void => {
      if (done.has(id)) return;
      for (const need of jobs.find((job) => job.id === id)!.needs) {
        const start = [...trail, id].indexOf(need);
        if (start === -1) {
          visit(need, [...trail, id]);
          continue;
        }
        const cycle = [...trail.slice(start), id, need];
        const where = drafts.find((draft) => draft.id === id)!.needs.find(({ name }) => name.toLowerCase() === need.toLowerCase())!;
        this.report(where.place, where.path, `makes a cycle: ${cycle.join(" needs ")}`);
      }
      done.add(id);
    };
    for (const { id } of jobs) visit(id, []);
  }

  /** What identifies a job or a step: GitHub's rule; two that differ in case alone are the same. */
  #id(id: string, place: Place, path: Path, known: Map<string, string>): void {
    if (!/^[A-Za-z_][\w-]{0,99}$/.test(id)) {
      this.report(
        place,
        path,
        `${shown(id)} must be made of letters, digits, - and _, begin with a letter or _, and have at most 100 characters`,
      );
    }
    const other = known.get(id.toLowerCase());
    if (other === id) this.report(place, path, `there is another ${id} before it`);
    else if (other !== undefined) this.report(place, path, `differs from ${other} in case alone, which does not count`);
    known.set(id.toLowerCase(), id);
  }

  #collect(place: Place, path: Path, work: () => unknown): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof SeatrialError)) throw error;
      this.report(place, path, error.message);
    }
  }
}
