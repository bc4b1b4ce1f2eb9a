/**
 * Writes the lock document of an attempt when its runner is given its work: the clusters are Ready then, and nothing has run yet.
 * What becomes known only later is added where it becomes known: commits of actions by {@link noteAction}, caches by {@link noteCache},
 * digests of containers from the JobRun's status when somebody reads the document ({@link lockWithImages}).
 */
import type { Environment } from "../../base/environment.ts";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { treesOf } from "../../git/trees.ts";
import type { AttemptRecord } from "../../history/attempts.ts";
import type { Locks } from "../../history/locks.ts";
import { platform } from "../../programs/cache.ts";
import { type ToolVersions, unknownVersion } from "../../programs/tool-versions.ts";
import type { ClusterFacts } from "./cluster-facts.ts";
import type { ClusterSpec } from "../../resources/cluster.ts";
import type { JobRun } from "../../resources/job-run.ts";
import { canonicalJson, type LockDocument, lockedJob } from "../../resources/lock-document.ts";
import type { Stored } from "../../resources/object.ts";
import type { Run } from "../../resources/run.ts";
import { builtInOf } from "../../workflows/actions/built-in.ts";
import { asksFor, downloadsOf, type Mentioned, mentioned } from "../../workflows/plan/mentions.ts";
import { parseUses, pinOf } from "../../workflows/actions/uses.ts";

/** What an attempt was given. */
export interface LockInput {
  run: Stored<Run>;
  jobRun: Stored<JobRun>;
  attempt: AttemptRecord;
  /** The repository on this machine. */
  folder: string | undefined;
  vars: Readonly<Record<string, string>>;
  secrets: readonly string[];
  /** Digests of the named artifacts that it could download, by name. */
  artifacts: Readonly<Record<string, string>>;
  /** Of executor docker. */
  container?: { image?: string | undefined; platform?: string | undefined } | undefined;
  /** Of each of the job's clusters, in their order. */
  clusters: readonly ClusterFacts[];
  version: string;
}

export class LockWriter {
  readonly #environment: Environment;
  readonly #locks: Locks;
  readonly #tools: ToolVersions;
  /** Trees of commits: those of a commit never change. */
  readonly #trees = new Map<string, Promise<string | undefined>>();

  constructor(environment: Environment, locks: Locks, tools: ToolVersions) {
    this.#environment = environment;
    this.#locks = locks;
    this.#tools = tools;
  }

  async write(input: LockInput): Promise<void> {
    const { run, jobRun, attempt, folder, version } = input;
    const { source, workflow } = run.spec;
    const commits = [source.commit, source.base.sha, ...(source.heads ?? []).map(({ sha }) => sha)];
    const isHere = attempt.executor === "host";
    const [trees, tools, programs] = await Promise.all([
      this.#treesOf(folder, commits),
      isHere ? this.#tools.inPath() : {},
      Promise.all(input.clusters.map(async ({ parts }) => await this.#versionsOf(parts.programs))),
    ]);
    const job = lockedJob(jobRun.spec, run.spec.inputs);
    const [tree, base, ...heads] = trees;
    const { os, arch } = platform();
    const lock: LockDocument = {
      version: 1,
      origin: { run: run.metadata.name, jobRun: jobRun.metadata.name, attempt: attempt.number, source },
      source: {
        event: source.event,
        ref: source.ref,
        ...(tree === undefined ? {} : { tree }),
        ...(base === undefined ? {} : { base }),
        heads: heads.filter((each) => each !== undefined),
        ...(asksFor("commit", job) ? { commit: source.commit } : {}),
        ...(asksFor("payload", job) && source.eventDigest !== undefined ? { payload: source.eventDigest } : {}),
      },
      workflow,
      job,
      place: {
        executor: attempt.executor,
        platform: input.container?.platform ?? `${os}/${arch}`,
        ...(jobRun.spec.lane === "untrusted" ? { isIsolated: true } : {}),
        ...(input.container?.image === undefined ? {} : { image: input.container.image }),
        env: isHere ? localeOf(this.#environment.variables) : {},
        tools: { ...tools, seatrial: version },
      },
      clusters: (jobRun.spec.clusters ?? []).map(({ name, spec }, index) => {
        const { kubernetes, parts } = input.clusters[index]!;
        return { name, spec: exactSpec(spec, kubernetes), programs: programs[index]!, images: parts.images };
      }),
      actions: {},
      images: {},
      artifacts: input.artifacts,
      vars: chosen(input.vars, mentioned("vars", job)),
      // A called job names them as its workflow does: which of the run's they are, its outermost caller says.
      secrets: namesOf(input.secrets, mentioned("secrets", jobRun.spec.secrets?.[0]?.values ?? job)),
      unpinned: [],
    };
    await this.#locks.put(attempt.uid, canonicalJson({ ...lock, unpinned: unpinnedOf(lock) }));
  }

  /** The cells of a matrix begin together: git is asked once for all of them. */
  async #treesOf(folder: string | undefined, commits: readonly string[]): Promise<(string | undefined)[]> {
    const unknown = [...new Set(commits)].filter((commit) => !this.#trees.has(commit));
    if (folder !== undefined && unknown.length > 0) {
      // A repository that cannot be asked is one that has no trees to tell: the document says so.
      const asked = treesOf(this.#environment, folder, unknown).catch((): undefined[] => []);
      if (this.#trees.size > keptTrees) this.#trees.clear();
      for (const [index, commit] of unknown.entries()) {
        const tree = asked.then((found) => found[index]);
        this.#trees.set(commit, tree);
        // One that is not there may come.
        void tree.then((found) => found === undefined && this.#trees.get(commit) === tree && this.#trees.delete(commit));
      }
    }
    return await Promise.all(commits.map(async (commit) => await this.#trees.get(commit)));
  }

  async #versionsOf(programs: Readonly<Record<string, string>>): Promise<Record<string, string>> {
    const versions = Object.entries(programs).map(async ([name, path]) => [name, await this.#tools.of(path)] as const);
    return Object.fromEntries(await Promise.all(versions));
  }
}

/** Adds the commit that an action of an attempt was found at. @param pin as {@link pinOf} writes it. */
export async function noteAction(locks: Locks, attempt: string, pin: string, commit: string): Promise<void> {
  await locks.change(attempt, (text) => {
    const lock = JSON.parse(text) as LockDocument;
    if (lock.actions[pin] === undefined && Object.keys(lock.actions).length >= limits.jobActions)
      throw new SeatrialError("invalid", `the job uses more than ${limits.jobActions} repositories of actions`);
    const noted = { ...lock, actions: { ...lock.actions, [pin]: commit } };
    return canonicalJson({ ...noted, unpinned: unpinnedOf(noted) });
  });
}

/** Adds a cache that an attempt has found, and restores. */
export async function noteCache(locks: Locks, attempt: string, { key, version, digest }: LockedCache): Promise<void> {
  await locks.change(attempt, (text) => {
    const lock = JSON.parse(text) as LockDocument;
    const { caches = [] } = lock;
    if (caches.some((each) => each.key === key && each.version === version && each.digest === digest)) return text;
    if (caches.length >= limits.lockedCaches) return text;
    return canonicalJson({ ...lock, caches: [...caches, { key, version, digest }] });
  });
}

type LockedCache = NonNullable<LockDocument["caches"]>[number];

/**
 * The document, as it was kept, with the images that the attempt's containers had. One that was built has the time of it in its id: it is
 * never the same twice, and what its Dockerfile brings is in no document.
 */
export function lockWithImages(text: string, images: readonly { reference: string; digest: string }[]): LockDocument {
  const lock = JSON.parse(text) as LockDocument;
  const named = images.filter(({ reference }) => !reference.startsWith("/"));
  const whole = { ...lock, images: Object.fromEntries(named.map(({ reference, digest }) => [reference, digest])) };
  const built = named.length < images.length ? ["images: what is built from a Dockerfile is not recorded"] : [];
  return { ...whole, unpinned: [...unpinnedOf(whole), ...built] };
}

/** With the version that ran in place of `v1.36`, unless the nodes' images say it. */
function exactSpec(spec: ClusterSpec, kubernetes: string | undefined): ClusterSpec {
  return kubernetes === undefined || namesImages(spec) ? spec : { ...spec, kubernetesVersion: kubernetes.split("+")[0]! };
}

function localeOf(variables: Environment["variables"]): Record<string, string> {
  const kept = Object.entries(variables).filter((entry): entry is [string, string] => /^(TZ|LANG|LC_\w+)$/.test(entry[0]) && !!entry[1]);
  return Object.fromEntries(kept);
}

function namesImages({ kind }: ClusterSpec): boolean {
  return kind?.config?.nodes?.some(({ image }) => image !== undefined) === true;
}

function isExact(spec: ClusterSpec): boolean {
  return namesImages(spec) || /^v\d+\.\d+\.\d+/.test(spec.kubernetesVersion ?? "");
}

function chosen(values: Readonly<Record<string, string>>, names: Mentioned): Record<string, string> {
  return Object.fromEntries(Object.entries(values).filter(([name]) => names === "all" || names.includes(name.toUpperCase())));
}

function namesOf(known: readonly string[], names: Mentioned): string[] {
  // The token of a job is always there, and its own.
  return (names === "all" ? [...known].toSorted() : names).filter((name) => name !== "GITHUB_TOKEN");
}

/** Whether a job downloads named artifacts of other jobs. */
export function downloadsArtifacts({ steps }: Pick<JobRun["spec"], "steps">): boolean {
  return steps.some(({ uses }) => uses !== undefined && builtInOf(uses)?.name === "actions/download-artifact");
}

/** What may differ although all fields are the same. */
function unpinnedOf({ source, job, place, clusters, actions, images, caches = [], secrets }: LockDocument): string[] {
  const found = [
    ...(source.tree === undefined ? ["source.tree: its repository was not there"] : []),
    ...(place.executor === "docker" && !isHeldFast(place.image) ? [`place.image: ${place.image ?? "it"} is known by its name alone`] : []),
    ...unknownIn("place.tools", place.tools),
    ...clusters.flatMap(({ spec }, index) => (isExact(spec) ? [] : [`clusters[${index}].spec.kubernetesVersion: its API did not tell it`])),
    ...clusters.flatMap(({ programs }, index) => unknownIn(`clusters[${index}].programs`, programs)),
    ...job.steps.flatMap(({ uses }, index) =>
      uses === undefined ? [] : actionUnpinned(uses, `job.steps[${index}].uses`, actions, images),
    ),
    ...[job.container, ...(job.services ?? [])].flatMap((container, index) => {
      const path = index === 0 ? "job.container" : `job.services[${index - 1}]`;
      const image = container?.image;
      return image === undefined || isHeldFast(images[image] ?? image) ? [] : [`${path}.image: ${image} is known by its name alone`];
    }),
    ...downloadsOf(job),
    ...(caches.length >= limits.lockedCaches ? [`caches: those after the first ${limits.lockedCaches} are not known`] : []),
    ...secrets.map((name) => `secrets.${name}: its value is in no document`),
  ];
  return found.slice(0, limits.unpinnedParts);
}

/** Ours is named by a hash of what is in it. */
function isHeldFast(image: string | undefined): boolean {
  return image !== undefined && /@sha256:|^sha256:|^seatrial\/runner:[0-9a-f]{24}$/.test(image);
}

function unknownIn(path: string, versions: Readonly<Record<string, string>>): string[] {
  return Object.entries(versions).flatMap(([name, version]) =>
    version === unknownVersion ? [`${path}.${name}: it did not tell its version`] : [],
  );
}

function actionUnpinned(
  text: string,
  path: string,
  actions: Readonly<Record<string, string>>,
  images: Readonly<Record<string, string>>,
): string[] {
  const uses = parseUses(text);
  if (uses.kind === "local") return [];
  if (uses.kind === "image")
    return isHeldFast(images[text] ?? images[uses.image] ?? uses.image) ? [] : [`${path}: ${uses.image} is known by its name alone`];
  if (builtInOf(text) !== undefined || actions[pinOf(uses)] !== undefined) return [];
  return [`${path}: the commit of ${pinOf(uses)} is not known`];
}

/** Commits of changes whose jobs start at the same time are few. */
const keptTrees = 1_000;
