/** Reads what one workflow file says: its own keys, then its jobs. */
import { type Place, type Problem, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { clusterNameProblem } from "../../resources/cluster.ts";
import type { Path } from "../../resources/finding.ts";
import { shown } from "../../resources/schema.ts";
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
import { besideUses, type CallGraph, checkCall, readInterface, readPassedSecrets, readWith } from "./read-calls.ts";
import { findLabelMistakes, type RunsOnRule } from "../runs-on.ts";
import { findNeeds, refuseCycles } from "./job-graph.ts";
import { checkId, readSteps, shellProblem } from "./steps.ts";
import { type Entry, type Node, placeAt, type Scalar, type Source, valueOf } from "./tree.ts";
import type { Triggers } from "../triggers/triggers.ts";
import { isNull, type Read, type ScalarType, ValueReader } from "./values.ts";
import type { ActionMention, CallInterface, Concurrency, Job, Permissions, RunDefaults, Workflow } from "../workflow.ts";

/** A job before its `needs` are looked up. */
interface Draft extends Omit<Job, "needs" | "env"> {
  needs: { name: string; place: Place; path: Path }[];
  env: Record<string, string>;
  /** Length of what its JobRun will hold, without the workflow's `env`. */
  characters: number;
}

/** Reads a workflow file, but for those that it calls: the graph reads these. */
export class WorkflowReader extends ValueReader {
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
      description: (value, path) => void this.text(value, path, "description"),
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
      return { ...job, ...ownName(draft, drafts), env: { ...env, ...job.env }, needs: findNeeds(this, draft, drafts) };
    });
    refuseCycles(this, drafts, jobs);
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
      checkId(this, entry.key, entry.place, at, ids);
      return this.#job(entry, at);
    });
  }

  #job({ key: id, place, value: node }: Entry, path: Path): Draft {
    const job: Draft = { id, place, needs: [], clusters: [], env: {}, outputs: {}, steps: [], notices: [], characters: 0 };
    const noticesBefore = this.notices.length;
    const clusters: Job["clusters"][number][] = [];
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
        job.steps = readSteps(this, value, at, where, this.actions);
        hoisted = this.#hoist(value, at);
      },
    });
    for (const { place: where, message } of job.runsOn && job.matrix ? findCellLabelMistakes(job.runsOn, job.matrix, this.#rules) : [])
      this.report(where, [...path, "runs-on"], message);
    for (const { name, node: spec, place: where } of hoisted) {
      if (clusters.every((other) => other.name !== name)) clusters.push({ name, node: spec, isOfStep: true });
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
    const uses = this.scalar(value, path, "jobs.<job_id>.uses", "text");
    const found = uses && this.#graph.follow(uses.text);
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

  /** Clusters that steps ask for. */
  #hoist(steps: Node, path: Path): Hoisted[] {
    const items = steps.kind === "list" ? steps.items : [];
    const reader = {
      report: (where: Place, at: Path, message: string) => this.report(where, at, message),
      notice: (where: Place, at: Path, message: string) => this.notice(where, at, message),
      textOf: (file: string) => this.#graph.textOf(file),
      problems: this.problems,
    };
    const hoisted = items.flatMap((step, i) => hoist(step, [...path, i], reader));
    for (const { node, path: at, place } of hoisted) this.#cluster(node, at, place, "jobs.<job_id>.cluster");
    return hoisted;
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

/** Checks are known by the names of jobs: one that is called like another gets its id with it. */
function ownName(job: Draft, all: readonly Draft[]): Pick<Job, "name"> {
  const { name, id } = job;
  const isShared = name && all.some((other) => other !== job && (other.name?.text ?? other.id) === name.text);
  return isShared ? { name: { ...name, text: `${name.text} [${id}]` } } : {};
}
