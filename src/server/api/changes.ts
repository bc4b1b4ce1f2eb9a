/**
 * What changes runs: makes one, ends it, runs it again, keeps its clusters. Each call writes the spec of resources, and is answered;
 * controllers do the rest.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { Store } from "../../kube/store.ts";
import { type JobRun, jobRunKind } from "../../resources/job-run.ts";
import type { Stored } from "../../resources/object.ts";
import { repositoryName } from "../../resources/repository.ts";
import { hasEnded, type Run, runKind, runLabels, runNumberKey, workingTree } from "../../resources/run.ts";
import { isCalledBy, rootJobOf } from "../../workflows/plan/job-run-views.ts";
import { formatCalls } from "../../workflows/read/read-calls.ts";
import { readWorkflow } from "../../workflows/read/read.ts";
import { lockRoutes } from "./locks.ts";
import type { Route } from "./route.ts";
import type { ApiOptions } from "./routes.ts";
import { holdSchema, type NewRun, newRunSchema, type RerunBody, rerunSchema } from "./schemas.ts";

export function changeRoutes(options: ApiOptions): Route[] {
  const { history, now } = options;

  const storeOf = (): Store => {
    if (options.store) return options.store;
    throw new SeatrialError("conflict", "no server runs here, and only a server can do that", { hint: "seatrial up starts one" });
  };

  const knownRun = async (name: string): Promise<Stored<Run>> => {
    const known = await history.queries.run(name);
    if (known) return known.run;
    throw new SeatrialError("not-found", `there is no run ${name}`, { hint: "seatrial history lists the runs" });
  };

  /** A run that the server still has; for some time also when it has ended. */
  const liveRun = async (name: string): Promise<Stored<Run>> => {
    const live = await options.store?.get(runKind, name);
    if (live) return live;
    const { spec, status } = await knownRun(name);
    if (status?.phase === "Finished") throw new SeatrialError("conflict", `${name} has ended: ${status.verdict}`);
    if (spec.source.forge === workingTree)
      throw new SeatrialError("conflict", `${name} belongs to the command \`run\` that made it`, { hint: "Ctrl-C ends it there" });
    storeOf(); // That is why.
    throw new SeatrialError("conflict", `${name} is not of this server`);
  };

  /** The JobRuns of a run; of one job, when it is named: by its own name, by that for people, or by the id in the workflow. */
  const jobRunsOf = async (run: string, job: string | undefined): Promise<Stored<JobRun>[]> => {
    const { items } = await storeOf().list(jobRunKind, { selector: { [runLabels.run]: run } });
    return jobsNamed(items, run, job);
  };

  return [
    {
      method: "post",
      path: "/api/v1/runs",
      operation: "createRun",
      summary: "Starts a workflow for a change.",
      isProtected: true,
      body: newRunSchema,
      answer: z.object({ name: z.string() }),
      handle: async ({ body, context }) => context.json({ name: await createRun(storeOf(), options, body as NewRun) }),
    },
    {
      method: "post",
      path: "/api/v1/runs/{run}/abort",
      operation: "abortRun",
      summary: "Ends a run, or one of its jobs; what is held of it is let go.",
      isProtected: true,
      body: z.object({
        reason: z.string().max(1024).describe("Who, or what, wants that; for people."),
        job: z.string().optional().describe("Name of a job, or of a JobRun. Default: the whole run."),
      }),
      answer: z.object({ jobs: z.array(z.string()).describe("JobRuns that this ends, or lets go.") }),
      handle: async ({ params, body, context }) => {
        const { reason, job } = body as { reason: string; job?: string };
        const run = await liveRun(params["run"]!);
        const jobRuns = await jobRunsOf(run.metadata.name, job);
        const open = jobRuns.filter((each) => !hasEnded(each));
        const held = jobRuns.filter((each) => isHeld(each, now()));
        const isWhole = job === undefined && !hasEnded(run);
        if (!isWhole && open.length + held.length === 0) {
          const verdict = job === undefined ? run.status?.verdict : jobRuns[0]!.status?.verdict;
          throw new SeatrialError("conflict", `${job ?? run.metadata.name} has ended: ${verdict}`);
        }
        if (isWhole) await storeOf().patch(runKind, run.metadata.name, { spec: { abort: reason } });
        else for (const { metadata } of open) await storeOf().patch(jobRunKind, metadata.name, { spec: { abort: reason } });
        for (const { metadata } of held) await storeOf().patch(jobRunKind, metadata.name, { spec: { hold: null } });
        return context.json({ jobs: [...open, ...held].map(({ metadata }) => metadata.name) });
      },
    },
    {
      method: "post",
      path: "/api/v1/runs/{run}/rerun",
      operation: "rerunRun",
      summary: "Runs a run that has ended once more: all of it, what did not pass, or one job; always with all jobs that need those.",
      isProtected: true,
      body: rerunSchema,
      answer: z.object({
        name: z.string().describe("The same run; another one when the server has the jobs of that one no more."),
        attempt: z.int().min(1),
      }),
      handle: async ({ params, body, context }) => {
        const store = storeOf();
        const { failed, job } = body as RerunBody;
        const known = await knownRun(params["run"]!);
        const { name } = known.metadata;
        const live = await store.get(runKind, name);
        const run = live ?? known;
        if (run.spec.source.forge === workingTree)
          throw new SeatrialError("conflict", `${name} was a run of a working tree, which only the command \`run\` can make`, {
            hint: `seatrial run ${run.spec.workflow.path}${job === undefined ? "" : ` --job ${job}`}, in the repository`,
          });
        if (!hasEnded(run)) throw new SeatrialError("conflict", `${name} has not ended`, { hint: `seatrial abort ${name} ends it` });
        if (failed && run.status?.verdict === "passed") throw new SeatrialError("conflict", `nothing of ${name} failed`);
        if (!live) return context.json({ name: await copyRun(store, options, known, body as RerunBody), attempt: 1 });
        const jobs = job === undefined ? undefined : (await jobRunsOf(name, job)).map(({ metadata }) => metadata.name);
        const attempt = (live.spec.attempt ?? 1) + 1;
        const rerun = jobs || failed ? { jobs: jobs ?? null, failed: failed ?? null } : null;
        const { resourceVersion } = live.metadata;
        const changed = await store.patch(runKind, name, { metadata: { resourceVersion }, spec: { attempt, rerun, abort: null } });
        await history.projection.projectRuns([changed]); // Whoever asked may look at once.
        return context.json({ name, attempt });
      },
    },
    {
      method: "post",
      path: "/api/v1/runs/{run}/hold",
      operation: "holdRun",
      summary: "Keeps the clusters of jobs that fail for some time from then on; those that are held already, from now on.",
      isProtected: true,
      body: holdSchema,
      answer: z.object({ jobs: z.array(z.string()).describe("JobRuns whose clusters this is about.") }),
      handle: async ({ params, body, context }) => {
        const { forSeconds, job } = body as z.infer<typeof holdSchema>;
        const run = await liveRun(params["run"]!);
        const holds = (await jobRunsOf(run.metadata.name, job))
          .filter(({ spec }) => (spec.clusters ?? []).length > 0)
          .map((jobRun) => ({ jobRun, hold: holdOf(jobRun, forSeconds, now()) }))
          .filter(({ hold }) => hold !== undefined);
        if (holds.length === 0)
          throw new SeatrialError(
            "conflict",
            `${job ?? run.metadata.name} has no clusters that could be held: it needs none, or they are gone`,
          );
        // A job that has yet to be made takes the run's word.
        if (job === undefined && !hasEnded(run)) {
          await storeOf().patch(runKind, run.metadata.name, { spec: { hold: forSeconds === 0 ? null : { forSeconds } } });
        }
        for (const { jobRun, hold } of holds) await storeOf().patch(jobRunKind, jobRun.metadata.name, { spec: { hold } });
        return context.json({ jobs: holds.map(({ jobRun }) => jobRun.metadata.name) });
      },
    },
    ...lockRoutes(options, async (spec) => await makeRun(storeOf(), options, spec)),
  ];
}

/** Most that a cluster is held after its job has failed, as the resource has it. Unit: seconds. */
const holdMostSeconds = 86_400;

function isHeld({ spec, status }: Stored<JobRun>, now: Date): boolean {
  return hasEnded({ spec, status }) && Date.parse(status?.heldUntil ?? "") > now.getTime();
}

/** What `spec.hold` is to be; undefined when there is nothing to hold any more. It counts from the end of the job. */
function holdOf(jobRun: Stored<JobRun>, forSeconds: number, now: Date): { forSeconds: number } | null | undefined {
  const isOver = hasEnded(jobRun);
  if (isOver && !isHeld(jobRun, now)) return undefined;
  if (forSeconds === 0) return null;
  const sinceEndSeconds = isOver ? Math.ceil((now.getTime() - Date.parse(jobRun.status!.finishedAt!)) / 1000) : 0;
  return { forSeconds: Math.min(sinceEndSeconds + forSeconds, holdMostSeconds) };
}

function jobsNamed(all: readonly Stored<JobRun>[], run: string, job: string | undefined): Stored<JobRun>[] {
  if (job === undefined) return [...all];
  const found = all.filter(({ metadata, spec }) => {
    return [metadata.name, spec.name, spec.job].includes(job) || spec.name.startsWith(`${job} / `) || isCalledBy(spec.job, job);
  });
  if (found.length > 0) return found;
  throw new SeatrialError("not-found", `${run} has no job ${job}`, {
    hint: `its jobs are ${all.map(({ spec }) => spec.name).join(", ") || "not made yet"}`,
  });
}

/** Makes a Run; the same change, workflow and time give another one. @returns its name. */
async function createRun(
  store: Store,
  options: ApiOptions,
  { source, workflow, event, inputs, jobs, matrix, hold, priority }: NewRun,
): Promise<string> {
  const { history } = options;
  const now = options.now();
  const files = new Map(Object.entries(workflow.calls ?? {}));
  const { name, calls } = readWorkflow(workflow.text, workflow.path, options.rules, files);
  const called = formatCalls(calls, files);
  const [digest, eventDigest, callsDigest] = await Promise.all([
    history.documents.put(workflow.text, now),
    history.documents.put(JSON.stringify(event), now),
    called === undefined ? undefined : history.documents.put(called, now),
  ]);
  return await makeRun(store, options, {
    source: { ...source, eventDigest },
    workflow: { path: workflow.path, name, digest, ...(callsDigest === undefined ? {} : { calls: callsDigest }) },
    ...(inputs === undefined ? {} : { inputs }),
    ...(jobs ? { jobs } : {}),
    ...(matrix ? { matrix } : {}),
    ...(hold ? { hold } : {}),
    ...(priority ? { priority } : {}),
  });
}

/**
 * The same change and workflow as another Run, of which the history alone knows: the jobs that are named with all that need them,
 * and, as nothing is there any more that they could need, what they need.
 */
async function copyRun(store: Store, options: ApiOptions, { metadata, spec }: Stored<Run>, { failed, job }: RerunBody): Promise<string> {
  const { source, workflow, number, inputs, notices, jobs, matrix, hold, priority } = spec;
  const all = await knownJobRuns(options, metadata.name);
  const isAll = job === undefined && !failed;
  const named = failed ? all.filter(({ status }) => status?.verdict !== "passed") : jobsNamed(all, metadata.name, job);
  const wanted = new Set(named.map((jobRun) => rootJobOf(jobRun.spec.job)));
  // A set that grows while it is walked. What is called is run as a whole, as nothing is there that it could be a part of.
  for (const id of wanted) {
    for (const { spec: other } of all) {
      if (other.needs?.some((need) => rootJobOf(need) === id)) wanted.add(rootJobOf(other.job));
    }
  }
  return await makeRun(store, options, {
    source,
    workflow,
    ...(number === undefined ? {} : { number }),
    ...(inputs === undefined ? {} : { inputs }),
    ...(notices ? { notices } : {}),
    ...(isAll ? (jobs ? { jobs } : {}) : { jobs: [...wanted] }),
    ...(matrix ? { matrix } : {}),
    ...(hold ? { hold } : {}),
    ...(priority ? { priority } : {}),
  });
}

/** As the history knows them. */
async function knownJobRuns({ history: { queries } }: ApiOptions, run: string): Promise<Stored<JobRun>[]> {
  const jobRuns: Stored<JobRun>[] = [];
  let cursor: string | undefined;
  do {
    const page = await queries.jobsOf(run, { limit: limits.pageItemsMost, cursor });
    const found = await Promise.all(page.items.map(async ({ name }) => (await queries.jobRun(name))?.jobRun));
    jobRuns.push(...found.filter((each) => each !== undefined));
    cursor = page.next;
  } while (cursor !== undefined);
  return jobRuns;
}

async function makeRun(store: Store, options: ApiOptions, spec: Run["spec"]): Promise<string> {
  const { source, workflow } = spec;
  const key = [source.forge, source.repository.id, source.event, source.ref, source.commit, workflow.path, options.now().toISOString()];
  const name = `run-${createHash("sha256").update(key.join("\n")).digest("hex").slice(0, 12)}`;
  const labels = { [runLabels.repository]: repositoryName({ forge: source.forge, id: source.repository.id }) };
  await options.noteRun?.(name);
  const number = spec.number ?? (await options.history.state.next(runNumberKey(source, workflow.path), options.now()));
  const made = await store.create(runKind, { metadata: { name, labels }, spec: { ...spec, number } });
  await options.history.projection.projectRuns([made]); // Whoever asked may look at once.
  return name;
}
