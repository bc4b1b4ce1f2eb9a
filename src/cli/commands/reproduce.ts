/**
 * `seatrial reproduce LINK`: the job behind a red check, here. The lock document, the event and the git objects come from the
 * server; the job runs in this process's own installation, as `seatrial run` has it, without the jobs that it needed; and at the end
 * it is told whether it was the same.
 */
import { createHash } from "node:crypto";
import { constants } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { Mirrors } from "../../git/mirrors.ts";
import { treesOf } from "../../git/trees.ts";
import { canonicalJson, compareLocks, fingerprintOf, type LockComparison, type LockDocument } from "../../resources/lock-document.ts";
import { workingTree } from "../../resources/run.ts";
import type { Verdict } from "../../resources/verdict.ts";
import { reapKilled } from "./killed-runs.ts";
import type { ApiClient } from "../../server/api/client.ts";
import type { RunView } from "../../server/api/schemas.ts";
import type { OneShot } from "../../server/one-shot.ts";
import { reproducedMirrors } from "../../server/mirror-upkeep.ts";
import { readUserMirrors } from "../../server/runs-on.ts";
import { addApiOptions, type ApiFlags, openApi, type OpenedApi } from "../api.ts";
import type { CommandContext } from "../cli.ts";
import { LineTree, LiveTree } from "../print/run-tree.ts";
import { packageVersion } from "./about.ts";
import { comparisonLines } from "./fingerprint.ts";
import { jobNamed, pageLinkOf } from "./job-references.ts";
import { countOf, durationOf, type ExecutorChoice, executorOption, readValues } from "./options.ts";
import { tellFailures } from "./run.ts";

interface ReproduceFlags extends ApiFlags {
  times?: number;
  keep?: boolean;
  for?: number;
  secretsFile?: string;
  executor?: ExecutorChoice;
}

export function registerReproduce(program: Command, context: CommandContext): void {
  addApiOptions(program.command("reproduce"))
    .description("run a job of a server here: the same trees, matrix cell, cluster and versions")
    .argument("<run>", "the link to its page, the name of a job run, or of a run")
    .argument("[job]", "job of that run. Default: the one that did not pass")
    .option("--times <count>", "run it so often, one after the other, and count the verdicts", countOf)
    .option("--keep", "keep its clusters when it fails, and print their kubeconfigs; with --times, end there")
    .option("--for <time>", "how long they are kept: 90s, 30m, 1h. Default: 1h", durationOf)
    .option("--secrets-file <file>", "values of the secrets that it names: lines NAME=value")
    .addOption(executorOption())
    .addHelpText("after", reproduceHelp)
    .action(async (name: string, job: string | undefined, flags: ReproduceFlags) => {
      context.exitCode = await reproduce(name, job, flags, context);
    });
}

const reproduceHelp = `
What it needs comes from the server: lock document, event, commit, artifacts, caches. At the end it says whether it was the same job,
or the fields in which it was not.
Exit code: 0 passed, 1 failed, 2 usage, 3 the server does not answer, 4 an error of Seatrial or the host.`;

/** One time that it was run. */
interface Reproduction {
  view: RunView;
  /** Undefined when it never got to its first step. */
  lock: LockDocument | undefined;
}

async function reproduce(name: string, job: string | undefined, flags: ReproduceFlags, context: CommandContext): Promise<number> {
  const { environment, output, signals, workspace } = context;
  if (flags.for !== undefined && !flags.keep)
    throw new SeatrialError("usage", "--for says how long --keep keeps clusters: it needs --keep");
  const secrets = await readValues(flags.secretsFile, context);
  const link = pageLinkOf(name);
  await using api = await openApi(context, link ? { ...flags, server: link.origin } : flags);
  const found = await jobNamed(api.client, link?.name ?? name, job);
  const lock = await api.client.lock(found.name, link?.attempt);
  const [event, folder] = await Promise.all([api.client.event(found.name), repositoryFor(lock, found.name, api, context)]);
  const { executor, image } = placeFor(lock, flags.executor);
  const lacking = lock.secrets.filter((secret) => !secrets.has(secret));
  if (lacking.length > 0) output.err(`seatrial: it lacks ${lacking.join(", ")}: --secrets-file gives secrets, and they are empty now`);

  const { openOneShot } = await import("../../server/one-shot.ts");
  await reapKilled(context);
  await using engine = await openOneShot(workspace, {
    folder: Promise.resolve(folder),
    secrets,
    vars: new Map(Object.entries(lock.vars)),
    version: packageVersion(),
    // Whatever its labels mean elsewhere, they mean this here.
    rules: [{ labels: lock.job.labels, executor, ...(image === undefined ? {} : { image }) }],
    actionMirrors: await readUserMirrors(environment),
    actionsLock: new Map(Object.entries(lock.actions)),
    executor,
    kubectl: async (signal) => (await context.programs.find({ name: "kubectl" }, signal)).path,
  });
  await bringArtifacts(lock, found.name, api.client, engine, context);
  await bringCaches(lock, { job: found.name, attempt: link?.attempt }, api.client, engine, context);
  const all: Reproduction[] = [];
  const times = flags.times ?? 1;
  const hold = flags.keep ? { hold: { forSeconds: flags.for ?? 3600 } } : {};
  for (let count = 1; count <= times && signals.received === undefined; count++) {
    const run = await engine.api.createReproduction({ lock, event, ...hold });
    const view = await follow(run, flags, engine.api, context);
    const [ended] = view.jobs;
    all.push({ view, lock: ended && (await engine.api.lock(ended.name).catch(() => undefined)) });
    if (flags.output !== "json") await tellFailures(view, engine.api, output);
    if (ended?.heldUntil !== undefined) break;
  }
  await engine.settled();
  if (signals.received) return 128 + constants.signals[signals.received];
  tell(lock, all, flags, context);
  const verdicts = all.map(({ view }) => view.run.verdict);
  if (verdicts.includes("error")) return 4;
  return verdicts.every((verdict) => verdict === "passed" || verdict === "skipped") ? 0 : 1;
}

/** The named artifacts that other jobs of its run had left, when it downloads some. */
async function bringArtifacts(lock: LockDocument, job: string, api: ApiClient, engine: OneShot, { output }: CommandContext): Promise<void> {
  const names = Object.keys(lock.artifacts);
  if (names.length === 0) return;
  const digest = digestOf(lock);
  const there = new Map((await api.uploads(job)).map((upload) => [upload.name, upload]));
  for (const name of names) {
    const upload = there.get(name);
    if (!upload) {
      output.err(`seatrial: artifact ${name} is gone: the step that downloads it will not find it`);
      continue;
    }
    const files = upload.files.map(({ path, size }) => ({ path, size, content: async () => await api.upload(job, name, path) }));
    await engine.bring(digest, name, files);
  }
}

/** The caches that it restored. */
async function bringCaches(
  lock: LockDocument,
  { job, attempt }: { job: string; attempt: number | undefined },
  api: ApiClient,
  engine: OneShot,
  { output }: CommandContext,
): Promise<void> {
  const { caches: restored = [] } = lock;
  if (restored.length === 0) return;
  const there = await api.caches(job, attempt);
  for (const { key, digest } of restored) {
    if (there.every((each) => each.digest !== digest))
      output.err(`seatrial: cache ${key} is gone: the step that restores it will not find it`);
  }
  const brought = there.map((each) => ({ ...each, content: async () => await api.cache(job, each.digest, attempt) }));
  await engine.bringCaches(digestOf(lock), brought);
}

function digestOf(lock: LockDocument): string {
  return `sha256:${createHash("sha256").update(canonicalJson(lock)).digest("hex")}`;
}

/** A repository on this machine that has the commit; undefined for a job that had none. */
async function repositoryFor(
  { origin: { source }, source: { tree } }: LockDocument,
  job: string,
  { server }: OpenedApi,
  { environment, signals: { signal } }: CommandContext,
): Promise<string | undefined> {
  if (tree === undefined) return undefined;
  const { forge, repository, commit } = source;
  await using mirrors = new Mirrors({ environment, folder: join(environment.dataDir, "mirrors"), now: () => new Date() });
  if (server) {
    const key = createHash("sha256").update([server.origin, forge, repository.id].join("\n")).digest("hex").slice(0, 32);
    const mirror = mirrors.of(reproducedMirrors, key);
    const credentials = server.token === undefined ? {} : { credentials: { username: "token", password: server.token } };
    const url = `${server.origin}/api/v1/jobs/${encodeURIComponent(job)}/git`;
    await mirror.fetch({ url, ...credentials }, { commits: [commit] }, signal);
    await mirror.maintain(limits.reproducedDays);
    return mirror.folder;
  }
  if (forge !== workingTree) {
    const mirror = mirrors.of(forge, repository.id);
    if ((await mirror.keep([commit])).length === 0) return mirror.folder;
  }
  const [here] = await treesOf(environment, environment.cwd, [commit]).catch(() => []);
  if (here !== undefined) return environment.cwd;
  throw new SeatrialError("not-found", `commit ${commit} of ${repository.name} is not on this machine any more`, {
    hint: "run the command in the repository that it was a run of",
  });
}

/** Where it ran, as far as that can be had here. */
function placeFor({ place, job }: LockDocument, asked: ExecutorChoice | undefined) {
  const executor = asked === undefined || asked === "auto" ? place.executor : asked;
  if (place.isIsolated && executor === "host" && asked !== "host") {
    throw new SeatrialError("refused", `${job.name} is of a change that was not trusted, and would run as you`, {
      hint: "--executor docker runs it in a container; --executor host if you have read it",
    });
  }
  // Ours is made here, of the same parts.
  const image = executor === "docker" && place.image?.includes("@") ? place.image : undefined;
  return { executor, image };
}

/** Shows it while it runs. */
async function follow(run: string, flags: ReproduceFlags, api: ApiClient, { signals, terminal, output }: CommandContext): Promise<RunView> {
  using _abort = signals.onSignal((signal) => void api.abort(run, `ended by ${signal}`).catch(() => {}));
  const tree = terminal !== undefined && flags.output !== "json" ? new LiveTree(output, terminal.columns) : new LineTree(output);
  let last: RunView | undefined;
  for await (const view of api.stream(run)) {
    last = view;
    tree.draw([view], new Date());
  }
  if (!last) throw new SeatrialError("internal", `${run} has ended without a word`);
  return last;
}

/** How often it ended how, and whether it was the same job each time. */
function tell(lock: LockDocument, all: readonly Reproduction[], flags: ReproduceFlags, { output }: CommandContext): void {
  const counts = new Map<Verdict, number>();
  for (const { view } of all) if (view.run.verdict) counts.set(view.run.verdict, (counts.get(view.run.verdict) ?? 0) + 1);
  const comparisons = all.flatMap((each) => (each.lock ? [compareLocks(lock, each.lock)] : []));
  const compared = worst(comparisons);
  const fingerprint = fingerprintOf(lock);
  if (flags.output === "json") {
    const verdicts = Object.fromEntries(counts);
    output.out(JSON.stringify({ verdicts, runs: all.map(({ view }) => view), fingerprint, comparison: compared ?? null }, null, 2));
    return;
  }
  if (all.length > 1) output.out([...counts].map(([verdict, count]) => `${count} of ${all.length} ${verdict}`).join(", "));
  const lines = compared ? comparisonLines(compared, fingerprint) : ["it never got to its first step: there is nothing to compare"];
  for (const line of lines) output.out(line);
}

/** Each time has the same to tell, unless the machine changed meanwhile: then the one that differs. */
function worst(comparisons: readonly LockComparison[]): LockComparison | undefined {
  return comparisons.toSorted((a, b) => b.differences.length - a.differences.length)[0];
}
