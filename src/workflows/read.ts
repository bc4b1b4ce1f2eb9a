/**
 * Reads a workflow file: YAML, then keys, values and expressions, then the graph of jobs. All that is wrong is reported at
 * once, each with its place. What is not in `keys.ts` as working is refused: a workflow that is accepted does what it says.
 */
import { InvalidError, formatProblem, type Place, type Problem, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { clusterNameProblem } from "../resources/cluster.ts";
import type { Path } from "../resources/finding.ts";
import { type StepSpec, stepSchema } from "../resources/job-run.ts";
import { anyOf, shown } from "../resources/schema.ts";
import { didYouMean } from "../resources/suggest.ts";
import { readClusterSpec } from "./clusters.ts";
import { holdsExpressions, plainValue } from "./evaluate.ts";
import { holdsExpression } from "./expressions.ts";
import { checkoutInputs, keyOf } from "./keys.ts";
import { expandMatrix } from "./matrix.ts";
import { patternMistake } from "./pattern.ts";
import { findLabelMistakes, type RunsOnRule } from "./runs-on.ts";
import { type Entry, type Node, readTree, type Source, valueOf } from "./tree.ts";
import { pullRequestTypes, type PullRequestTrigger, type PushTrigger, type Triggers } from "./triggers.ts";
import { isNull, type Read, type ScalarType, textIn, ValueReader } from "./values.ts";
import type { Job, Workflow } from "./workflow.ts";

/**
 * @param file as the user named it: it is the first part of each problem.
 * @param rules what labels of one's own mean.
 * @throws InvalidError with all problems of the file.
 */
export function readWorkflow(text: string, file: string, rules: readonly RunsOnRule[] = []): Workflow {
  const source = readTree(text, file);
  if (!source.root && source.problems.length === 0) {
    throw new InvalidError([{ place: { file, line: 1, column: 1 }, path: "", message: "is empty: a workflow has `on` and `jobs`" }]);
  }
  const reader = new WorkflowReader(source, rules);
  const workflow = source.root && reader.read(source.root, file);
  const problems = inOrder(reader.problems);
  if (problems.length > 0 || !workflow) throw new InvalidError(problems);
  return workflow;
}

/** Each once, in the order of the file; of very many the first. */
function inOrder(problems: readonly Problem[]): Problem[] {
  const each = [...new Map(problems.map((problem) => [formatProblem(problem), problem])).values()];
  each.sort((a, b) => a.place!.line - b.place!.line || a.place!.column - b.place!.column);
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

/** A job before its `needs` are looked up. */
interface Draft extends Omit<Job, "needs" | "env"> {
  needs: { name: string; place: Place; path: Path }[];
  env: Record<string, string>;
  /** Length of what its JobRun will hold, without the workflow's `env`. */
  characters: number;
}

class WorkflowReader extends ValueReader {
  readonly #rules: readonly RunsOnRule[];

  constructor(source: Source, rules: readonly RunsOnRule[]) {
    super(source);
    this.#rules = rules;
  }

  read(root: Node, file: string): Workflow {
    let name = file;
    let on: Triggers = {};
    let env: Record<string, string> = {};
    let drafts: Draft[] = [];
    const seen = this.keys(root, "", [], root.place, {
      name: (value, path) => (name = this.text(value, path, "name") || file),
      on: (value, path) => (on = this.#on(value, path)),
      env: (value, path) => (env = this.texts(value, path, "env")),
      jobs: (value, path, place) => (drafts = this.#jobs(value, path, place)),
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
    return { path: file, name, on, jobs };
  }

  // ---- on

  #on(node: Node, path: Path): Triggers {
    const on: { push?: PushTrigger; pull_request?: PullRequestTrigger } = {};
    const push: Read = (value, at, place) => (on.push = this.#push(value, at, place));
    const pullRequest: Read = (value, at, place) => (on.pull_request = this.#pullRequest(value, at, place));
    const events: Record<string, Read> = { push, pull_request: pullRequest };
    if (node.kind === "map") {
      this.keys(node, "on", path, node.place, events);
    } else {
      for (const name of this.list(node, path)) {
        const event = this.key("on", name.text, name.place, path);
        if (event) events[name.text]!({ ...name, value: null, text: "" }, path, name.place);
      }
    }
    if ((node.kind === "map" && node.entries.length === 0) || (node.kind === "list" && node.items.length === 0)) {
      this.report(node.place, path, "must name an event: push, pull_request");
    }
    return on;
  }

  #push(node: Node, path: Path, place: Place): PushTrigger {
    const push: { -readonly [key in keyof PushTrigger]: PushTrigger[key] } = {};
    if (isNull(node)) return push;
    this.keys(node, "on.push", path, place, {
      branches: (value, at) => (push.branches = this.#patterns(value, at)),
      "branches-ignore": (value, at) => (push.branchesIgnore = this.#patterns(value, at, "branches")),
      tags: (value, at) => (push.tags = this.#patterns(value, at)),
      "tags-ignore": (value, at) => (push.tagsIgnore = this.#patterns(value, at, "tags")),
    });
    this.#refuseBoth(node, path, "branches");
    this.#refuseBoth(node, path, "tags");
    return push;
  }

  #pullRequest(node: Node, path: Path, place: Place): PullRequestTrigger {
    const on: { -readonly [key in keyof PullRequestTrigger]: PullRequestTrigger[key] } = { types: pullRequestTypes };
    if (isNull(node)) return on;
    this.keys(node, "on.pull_request", path, place, {
      types: (value, at) => {
        const types = this.list(value, at);
        for (const type of types) {
          if (pullRequestTypes.some((known) => known === type.text)) continue;
          this.report(
            type.place,
            at,
            `${shown(type.text)} is not supported: ${anyOf(pullRequestTypes)}${didYouMean(type.text, pullRequestTypes)}`,
          );
        }
        on.types = pullRequestTypes.filter((known) => types.some((type) => type.text === known));
      },
      branches: (value, at) => (on.branches = this.#patterns(value, at)),
      "branches-ignore": (value, at) => (on.branchesIgnore = this.#patterns(value, at, "branches")),
    });
    this.#refuseBoth(node, path, "branches");
    return on;
  }

  /** @param ignored set for a `-ignore`: the key that should be used when some of the patterns begin with `!`. */
  #patterns(node: Node, path: Path, ignored?: string): string[] {
    const patterns = this.list(node, path);
    for (const { text, place } of patterns) {
      const mistake = patternMistake(text);
      if (mistake) this.report(place, path, `pattern ${shown(text)} ${mistake}`);
      else if (ignored && text.startsWith("!")) this.report(place, path, `pattern ${shown(text)}: patterns with ! belong in ${ignored}`);
    }
    if (!ignored && patterns.length > 0 && patterns.every(({ text }) => text.startsWith("!"))) {
      this.report(patterns[0]!.place, path, "patterns with ! alone match nothing: begin with one of what is wanted");
    }
    return patterns.map(({ text }) => text);
  }

  #refuseBoth(node: Node, path: Path, name: string): void {
    const both = node.kind === "map" ? node.entries.filter(({ key }) => key === name || key === `${name}-ignore`) : [];
    if (both.length > 1)
      this.report(both[1]!.place, [...path, both[1]!.key], `cannot stand beside ${both[0]!.key}; use ${name} with ! in front of a pattern`);
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
    const job: Draft = { id, place, needs: [], clusters: [], env: {}, outputs: {}, steps: [], characters: 0 };
    const clusters: { name: string; node: Node }[] = [];
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
      steps: (value, at, where) => (job.steps = this.#steps(value, at, where)),
    });
    job.clusters = clusters;
    if (clusters.length > 8) this.report(place, path, `has ${clusters.length} clusters, and can have at most 8`);
    if (clusters.filter(({ name }) => name === "cluster").length > 1) {
      this.report(place, [...path, "clusters"], "one is called cluster, which is the name of the one in `cluster`");
    }
    if (node.kind === "map" && !seen.has("steps") && !node.entries.some(({ key }) => key === "uses")) {
      this.report(place, [...path, "steps"], "is required: what the job does");
    }
    job.characters = this.characters - before;
    return job;
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
    if (node.kind === "map") {
      this.keys(node, "jobs.<job_id>.runs-on", path, place, {});
      return;
    }
    const labels = this.list(node, path);
    this.expressions(node, path, "jobs.<job_id>.runs-on");
    if (node.kind === "list" && labels.length === 0) this.report(place, path, "has no label; leave it out, or write ubuntu-latest");
    if (holdsExpressions(node)) return;
    const mistakes = findLabelMistakes(
      labels.map(({ text }) => text),
      this.#rules,
    );
    for (const { index, message } of mistakes) this.report(labels[index]!.place, path, message);
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
        if (["", "bash", "sh"].includes(step.shell) || step.shell.includes("{0}")) return;
        this.report(
          value.place,
          at,
          `must be bash, sh or a command with {0} for the script's file, as in \`python3 {0}\`, and is ${shown(step.shell)}`,
        );
      },
      env: (value, at) => (step.env = this.texts(value, at, `${prefix}.env`)),
      uses: (value, at) => {
        step.uses = this.text(value, at, `${prefix}.uses`);
        if (/^actions\/checkout@\S+$/.test(step.uses)) return;
        const message =
          step.uses === "actions/checkout"
            ? "lacks its version, as in actions/checkout@v5"
            : `${shown(step.uses)}: only actions/checkout works; other actions come later`;
        this.report(value.place, at, message);
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
    if (step.uses?.startsWith("actions/checkout@")) this.#checkout(valueOf(node, "with"), [...path, "with"]);
    this.bound(stepSchema.safeParse(step).error?.issues, node.place, path);
    return step;
  }

  #checkout(inputs: Node | undefined, path: Path): void {
    for (const { key, value, place } of inputs?.kind === "map" ? inputs.entries : []) {
      const isKnown = Object.hasOwn(checkoutInputs, key);
      const taken = isKnown ? checkoutInputs[key] : [];
      if (!taken || (isKnown && ["", ...taken].includes(textIn(value)))) continue;
      const message = isKnown ? "comes later" : `is not an input of actions/checkout${didYouMean(key, Object.keys(checkoutInputs))}`;
      this.report(place, [...path, key], message);
    }
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
