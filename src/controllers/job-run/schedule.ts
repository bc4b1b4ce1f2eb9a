/**
 * Which of the jobs that wait may go on now: pure, over all that wait and all that run. Each wait is a sentence.
 *
 * Order: priority (merge queue, pull request, branch, periodic), then fair shares (the repository with the fewest running jobs first),
 * then age. A job that finds no room does not stop smaller ones behind it; it is the first to be asked again.
 */
import { formatHostChoice, type HostChoice, isChosen } from "../../resources/host.ts";
import type { JobRunSpec } from "../../resources/job-run.ts";
import { priorities, type Priority } from "../../resources/run.ts";

/** The host that is always there: executor host and clusters without nodes are on its machine, wherever else their job is. */
export const localHost = "local";

export interface Contender {
  /** Name of the JobRun. */
  name: string;
  /** Name of its Repository: whose fair share, and whose policy. */
  repository: string;
  run: string;
  job: string;
  executor: JobRunSpec["runsOn"]["executor"];
  lane: JobRunSpec["lane"];
  priority: Priority;
  createdAt: number;
  /** Clusters that it needs, by provider. */
  clusters: readonly ("kind" | "bare")[];
  /** How many of the same job and run may run at once. */
  maxParallel: number | undefined;
  /** Hosts that it may run on. Default: all. */
  hosts?: HostChoice | undefined;
  /** What its labels ask for. Default: any. */
  architecture?: "amd64" | "arm64" | undefined;
}

/** What a Repository says of its jobs. */
export interface RepositoryPolicy {
  /** For people. */
  name: string;
  maxJobs?: number | undefined;
  hosts?: HostChoice | undefined;
}

export interface HostView {
  name: string;
  /** Of the Host resource. Default: none. */
  labels?: Readonly<Record<string, string>> | undefined;
  /** How its Docker is reached; undefined while it never answered. */
  endpoint?: string | undefined;
  lanes: readonly string[];
  /** Undefined: no bound but the machine. */
  maxJobs: number | undefined;
  maxClusters: number | undefined;
  isReachable: boolean;
  /** Why it is not. */
  message?: string | undefined;
  /** Executors that it has. */
  executors: readonly string[];
  /** Of the machine, by executor, as Go names them; what is not known yet is absent. */
  architectures?: Readonly<Partial<Record<Contender["executor"], string>>>;
}

/** Where a job is: on which host, and how that was reached then. A Host that is changed does not move what runs. */
export interface Place {
  host: string;
  endpoint?: string | undefined;
}

export function isAt(host: Pick<HostView, "name" | "endpoint">, place: Place): boolean {
  return host.name === place.host && (place.endpoint === undefined || host.endpoint === undefined || host.endpoint === place.endpoint);
}

/** Whether its Docker takes jobs of the trusted lane, too, be it as a Host of another name: then what is there may be theirs. */
export function takesTrusted(host: Pick<HostView, "endpoint" | "lanes">, hosts: readonly Pick<HostView, "endpoint" | "lanes">[]): boolean {
  const same = hosts.filter(({ endpoint }) => endpoint !== undefined && endpoint === host.endpoint);
  return [host, ...same].some(({ lanes }) => lanes.some((lane) => lane !== "untrusted"));
}

/** A job that has its place. */
export interface Placed extends Contender, Place {
  /** Only its clusters are still there. */
  hasEnded?: boolean;
}

export interface Decision {
  /** Jobs that have a place from now on, and where. */
  granted: Map<string, string>;
  /** Why each of the others waits; for people. */
  waiting: Map<string, string>;
  /** Those of them that no host can ever hold, as hosts are declared now. */
  fitsNowhere: Set<string>;
}

/** @param whyNone why no job at all may start now. @param policies by the name of their Repository. */
export function schedule(
  waiting: readonly Contender[],
  running: readonly Placed[],
  hosts: readonly HostView[],
  whyNone?: string,
  policies: ReadonlyMap<string, RepositoryPolicy> = new Map(),
): Decision {
  const granted = new Map<string, string>();
  const reasons = new Map<string, string>();
  const fitsNowhere = new Set<string>();
  for (const job of waiting) {
    const why = whyNone ?? whyNever(job, hosts, policies.get(job.repository));
    if (why !== undefined) reasons.set(job.name, why);
    if (why !== whyNone) fitsNowhere.add(job.name);
  }
  const queue = waiting.filter(({ name }) => !reasons.has(name));
  const perRepository = new Map<string, number>();
  for (const { repository, hasEnded } of running) if (!hasEnded) perRepository.set(repository, (perRepository.get(repository) ?? 0) + 1);
  const use = new Usage(running, hosts);
  // There a change that is not trusted may have more: what the host has of images, and what it builds.
  const aloneFirst = hosts.toSorted((a, b) => Number(takesTrusted(a, hosts)) - Number(takesTrusted(b, hosts)));
  const whyNotYet = (job: Contender) =>
    use.whyNotParallel(job) ?? whyNoMore(policies.get(job.repository), perRepository.get(job.repository) ?? 0);
  while (queue.length > 0) {
    if (!hosts.some((host) => use.hasRoom(host))) {
      // Most of the time all are full: then nobody is before anybody.
      for (const job of queue) reasons.set(job.name, whyNotYet(job) ?? whyNotAnywhere(job, hosts, use, policies.get(job.repository)));
      break;
    }
    const index = nextIndex(queue, perRepository);
    const [job] = queue.splice(index, 1) as [Contender];
    const policy = policies.get(job.repository);
    const why = whyNotYet(job);
    const inOrder = job.lane === "untrusted" ? aloneFirst : hosts;
    const found = why === undefined ? hostsFor(job, inOrder, policy).map((host) => ({ host, why: whyNot(job, host, use) })) : [];
    const host = found.find((each) => each.why === undefined)?.host;
    if (!host) {
      reasons.set(job.name, why ?? whyNotAnywhere(job, hosts, use, policy));
      continue;
    }
    granted.set(job.name, host.name);
    use.add({ ...job, host: host.name });
    perRepository.set(job.repository, (perRepository.get(job.repository) ?? 0) + 1);
  }
  return { granted, waiting: reasons, fitsNowhere };
}

function nextIndex(queue: readonly Contender[], perRepository: ReadonlyMap<string, number>): number {
  let best = 0;
  for (let i = 1; i < queue.length; i++) if (isBefore(queue[i]!, queue[best]!, perRepository)) best = i;
  return best;
}

function isBefore(a: Contender, b: Contender, perRepository: ReadonlyMap<string, number>): boolean {
  if (a.priority !== b.priority) return priorities.indexOf(a.priority) < priorities.indexOf(b.priority);
  const shares = (perRepository.get(a.repository) ?? 0) - (perRepository.get(b.repository) ?? 0);
  if (shares !== 0) return shares < 0;
  return a.createdAt < b.createdAt;
}

/** Counts of what is in use, kept while places are given. */
class Usage {
  readonly #jobs = new Map<string, number>();
  readonly #clusters = new Map<string, number>();
  readonly #parallel = new Map<string, number>();
  readonly hosts: readonly HostView[];

  constructor(placed: readonly Placed[], hosts: readonly HostView[]) {
    this.hosts = hosts;
    for (const each of placed) this.add(each);
  }

  add(placed: Placed): void {
    const { clusters, run, job, executor, hasEnded } = placed;
    // One that is on a host that was taken away takes nothing from what is there in its place.
    const host = this.hosts.find((each) => isAt(each, placed))?.name;
    const runsOn = executor === "host" ? localHost : host;
    for (const provider of clusters) {
      const on = provider === "bare" ? localHost : host;
      if (on !== undefined) this.#clusters.set(on, this.clusters(on) + 1);
    }
    if (hasEnded) return;
    if (runsOn !== undefined) this.#jobs.set(runsOn, this.jobs(runsOn) + 1);
    const key = `${run}/${job}`;
    this.#parallel.set(key, (this.#parallel.get(key) ?? 0) + 1);
  }

  jobs(host: string): number {
    return this.#jobs.get(host) ?? 0;
  }

  clusters(host: string): number {
    return this.#clusters.get(host) ?? 0;
  }

  /** Why so many more clusters find no room there; undefined when they do. */
  whyNoClusters({ name, maxClusters = Infinity }: HostView, more: number): string | undefined {
    const used = this.clusters(name);
    return more > 0 && used + more > maxClusters ? `${used} of ${maxClusters} clusters of host ${name} are in use` : undefined;
  }

  /** The host of clusters that run on the server's own machine. */
  get local(): HostView | undefined {
    return this.hosts.find(({ name }) => name === localHost);
  }

  hasRoom({ name, maxJobs }: HostView): boolean {
    return maxJobs === undefined || this.jobs(name) < maxJobs;
  }

  whyNotParallel({ run, job, maxParallel }: Contender): string | undefined {
    const now = this.#parallel.get(`${run}/${job}`) ?? 0;
    return maxParallel !== undefined && now >= maxParallel ? `max-parallel: ${now} of ${maxParallel} cells of ${job} run` : undefined;
  }
}

function whyNoMore(policy: RepositoryPolicy | undefined, now: number): string | undefined {
  const { name, maxJobs } = policy ?? {};
  return maxJobs !== undefined && now >= maxJobs ? `${now} of ${maxJobs} jobs of repository ${name} run` : undefined;
}

/** Those that its labels and its repository leave. */
function hostsFor(job: Contender, hosts: readonly HostView[], policy: RepositoryPolicy | undefined): readonly HostView[] {
  if (!job.hosts && !policy?.hosts) return hosts;
  return hosts.filter((host) => isChosen(host, job.hosts) && isChosen(host, policy?.hosts));
}

function whyNotAnywhere(job: Contender, hosts: readonly HostView[], use: Usage, policy: RepositoryPolicy | undefined): string {
  const left = hostsFor(job, hosts, policy);
  if (left.length === 0 && hosts.length > 0) return whyNoneChosen(job, policy);
  return left.map((host) => whyNot(job, host, use)).join("; ") || "there is no host";
}

function whyNoneChosen(job: Contender, policy: RepositoryPolicy | undefined): string {
  const wanted = [
    ...(job.hosts ? [`its labels ask for ${formatHostChoice(job.hosts)}`] : []),
    ...(policy?.hosts ? [`repository ${policy.name} may have ${formatHostChoice(policy.hosts)}`] : []),
  ];
  return `there is no host for it: ${wanted.join(", ")}`;
}

function whyNot(job: Contender, host: HostView, use: Usage): string | undefined {
  if (!host.lanes.includes(job.lane)) return `host ${host.name} takes no ${job.lane} jobs`;
  if (!host.isReachable) return `host ${host.name} does not answer${host.message ? `: ${host.message}` : ""}`;
  if (!host.executors.includes(job.executor))
    return `host ${host.name} has no executor ${job.executor}${host.message ? `: ${host.message}` : ""}`;
  if (isOtherMachine(job, host)) return whyOtherMachine(job, host);
  if (isTooOpen(job, host, use.hosts))
    return `host ${host.name} is not for the untrusted lane alone, and a cluster with kubelets is root on its host`;
  const { maxJobs } = host;
  if (maxJobs !== undefined && use.jobs(host.name) >= maxJobs) return `${use.jobs(host.name)} of ${maxJobs} jobs of host ${host.name} run`;
  const there = clustersOn(job, host);
  const elsewhere = use.local && use.whyNoClusters(use.local, job.clusters.length - there);
  return use.whyNoClusters(host, there) ?? (elsewhere && `${elsewhere}, where bare clusters run`);
}

function isOtherMachine({ architecture, executor }: Contender, { architectures }: HostView): boolean {
  const own = architectures?.[executor];
  return architecture !== undefined && own !== undefined && own !== architecture;
}

function whyOtherMachine({ architecture, executor }: Contender, { name, architectures }: HostView): string {
  return `host ${name} is ${architectures?.[executor]}, and the labels of the job ask for ${architecture}`;
}

/** How many of the job's clusters would run on that host. */
function clustersOn({ clusters }: Contender, { name }: HostView): number {
  return name === localHost ? clusters.length : clusters.filter((provider) => provider !== "bare").length;
}

/** Whether a cluster of the job would give a stranger what others have on that host. */
function isTooOpen({ lane, clusters }: Contender, host: HostView, hosts: readonly HostView[]): boolean {
  return lane === "untrusted" && clusters.includes("kind") && takesTrusted(host, hosts);
}

/**
 * Why no host can ever hold the job, whatever else ends; undefined where one can, may, or is yet to be declared for its lane: then it
 * waits for that, and {@link whyNot} tells for what.
 */
function whyNever(job: Contender, hosts: readonly HostView[], policy: RepositoryPolicy | undefined): string | undefined {
  if (job.lane === "untrusted" && job.executor === "host")
    return "executor host is the server's own machine, and the change is not trusted";
  const ofLane = hosts.filter(({ lanes }) => lanes.includes(job.lane));
  if (ofLane.length === 0) return undefined;
  const chosen = hostsFor(job, ofLane, policy);
  if (chosen.length === 0) {
    const ofOthers = hostsFor(job, hosts, policy);
    return ofOthers.map(({ name }) => `host ${name} takes no ${job.lane} jobs`).join("; ") || whyNoneChosen(job, policy);
  }
  const able = chosen.filter(({ name }) => job.executor !== "host" || name === localHost);
  if (able.length === 0) return `executor host is on host ${localHost} alone, which is not for this job`;
  const alike = able.filter((host) => !isOtherMachine(job, host));
  if (alike.length === 0) return able.map((host) => whyOtherMachine(job, host)).join("; ");
  const holding = alike.filter((host) => !isTooOpen(job, host, hosts));
  const local = hosts.find(({ name }) => name === localHost);
  const fits = (host: HostView | undefined, wanted: number) => wanted <= (host?.maxClusters ?? Infinity);
  const fitsWith = (host: HostView) => {
    const there = clustersOn(job, host);
    return fits(host, there) && fits(local, job.clusters.length - there);
  };
  if (holding.length === 0 || holding.some(fitsWith)) return undefined;
  const wanted = (count: number) => (count === 1 ? "1 cluster" : `${count} clusters`);
  const bare = job.clusters.filter((provider) => provider === "bare").length;
  if (!fits(local, bare))
    return `host ${localHost}, where bare clusters run, holds ${local!.maxClusters}, and the job needs ${wanted(bare)}`;
  const [largest] = holding.toSorted((a, b) => (b.maxClusters ?? Infinity) - (a.maxClusters ?? Infinity)) as [HostView];
  return `no host can hold ${wanted(clustersOn(job, largest))}; the largest, ${largest.name}, holds ${largest.maxClusters}`;
}
