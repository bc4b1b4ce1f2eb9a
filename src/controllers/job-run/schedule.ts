/**
 * Which of the jobs that wait may go on now: pure, over all that wait and all that run. Each wait is a sentence.
 *
 * Order: event (pull request before push), then fair shares (the repository with the fewest running jobs first), then age. A job
 * that finds no room does not stop smaller ones behind it; it is the first to be asked again.
 */
import type { JobRunSpec } from "../../resources/job-run.ts";

export interface Contender {
  /** Name of the JobRun. */
  name: string;
  repository: string;
  run: string;
  job: string;
  executor: JobRunSpec["runsOn"]["executor"];
  lane: JobRunSpec["lane"];
  /** Lower goes first. */
  priority: number;
  createdAt: number;
  /** Clusters that it needs, by provider. */
  clusters: readonly ("kind" | "bare")[];
  /** How many of the same job and run may run at once. */
  maxParallel: number | undefined;
}

export interface HostView {
  name: string;
  lanes: readonly string[];
  /** Undefined: no bound but the machine. */
  maxJobs: number | undefined;
  maxClusters: number | undefined;
  isReachable: boolean;
  /** Why it is not. */
  message?: string | undefined;
  /** Executors that it has. */
  executors: readonly string[];
}

/** A job that has its place. */
export interface Placed extends Contender {
  host: string;
}

export interface Decision {
  /** Jobs that have a place from now on, and where. */
  granted: Map<string, string>;
  /** Why each of the others waits; for people. */
  waiting: Map<string, string>;
}

/** @param whyNone why no job at all may start now. */
export function schedule(
  waiting: readonly Contender[],
  running: readonly Placed[],
  hosts: readonly HostView[],
  whyNone?: string,
): Decision {
  if (whyNone !== undefined) return { granted: new Map(), waiting: new Map(waiting.map(({ name }) => [name, whyNone])) };
  const granted = new Map<string, string>();
  const reasons = new Map<string, string>();
  const placed: Placed[] = [...running];
  const perRepository = new Map<string, number>();
  for (const { repository } of placed) perRepository.set(repository, (perRepository.get(repository) ?? 0) + 1);
  const use = new Usage(placed);
  const queue = [...waiting];
  while (queue.length > 0) {
    if (!hosts.some((host) => use.hasRoom(host))) {
      // Most of the time all are full: then nobody is before anybody.
      for (const job of queue) reasons.set(job.name, use.whyNotParallel(job) ?? whyNotAnywhere(job, hosts, use));
      break;
    }
    const index = nextIndex(queue, perRepository);
    const [job] = queue.splice(index, 1) as [Contender];
    const why = use.whyNotParallel(job);
    const found = why === undefined ? hosts.map((host) => ({ host, why: whyNot(job, host, use) })) : [];
    const host = found.find((each) => each.why === undefined)?.host;
    if (!host) {
      reasons.set(job.name, why ?? whyNotAnywhere(job, hosts, use));
      continue;
    }
    granted.set(job.name, host.name);
    use.add({ ...job, host: host.name });
    perRepository.set(job.repository, (perRepository.get(job.repository) ?? 0) + 1);
  }
  return { granted, waiting: reasons };
}

function nextIndex(queue: readonly Contender[], perRepository: ReadonlyMap<string, number>): number {
  let best = 0;
  for (let i = 1; i < queue.length; i++) if (isBefore(queue[i]!, queue[best]!, perRepository)) best = i;
  return best;
}

function isBefore(a: Contender, b: Contender, perRepository: ReadonlyMap<string, number>): boolean {
  if (a.priority !== b.priority) return a.priority < b.priority;
  const shares = (perRepository.get(a.repository) ?? 0) - (perRepository.get(b.repository) ?? 0);
  if (shares !== 0) return shares < 0;
  return a.createdAt < b.createdAt;
}

/** Counts of what is in use, kept while places are given. */
class Usage {
  readonly #jobs = new Map<string, number>();
  readonly #clusters = new Map<string, number>();
  readonly #parallel = new Map<string, number>();

  constructor(placed: readonly Placed[]) {
    for (const each of placed) this.add(each);
  }

  add({ host, clusters, run, job }: Placed): void {
    this.#jobs.set(host, this.jobs(host) + 1);
    this.#clusters.set(host, this.clusters(host) + clusters.length);
    const key = `${run}/${job}`;
    this.#parallel.set(key, (this.#parallel.get(key) ?? 0) + 1);
  }

  jobs(host: string): number {
    return this.#jobs.get(host) ?? 0;
  }

  clusters(host: string): number {
    return this.#clusters.get(host) ?? 0;
  }

  hasRoom({ name, maxJobs }: HostView): boolean {
    return maxJobs === undefined || this.jobs(name) < maxJobs;
  }

  whyNotParallel({ run, job, maxParallel }: Contender): string | undefined {
    const now = this.#parallel.get(`${run}/${job}`) ?? 0;
    return maxParallel !== undefined && now >= maxParallel ? `max-parallel: ${now} of ${maxParallel} cells of ${job} run` : undefined;
  }
}

function whyNotAnywhere(job: Contender, hosts: readonly HostView[], use: Usage): string {
  return hosts.map((host) => whyNot(job, host, use)).join("; ") || "there is no host";
}

function whyNot(job: Contender, host: HostView, use: Usage): string | undefined {
  if (job.lane === "untrusted" && job.executor === "host")
    return "executor host is the server's own machine, and the change is not trusted";
  if (!host.lanes.includes(job.lane)) return `host ${host.name} takes no ${job.lane} jobs`;
  if (!host.isReachable) return `host ${host.name} does not answer${host.message ? `: ${host.message}` : ""}`;
  if (!host.executors.includes(job.executor))
    return `host ${host.name} has no executor ${job.executor}${host.message ? `: ${host.message}` : ""}`;
  const wantsKubelets = job.clusters.includes("kind");
  if (job.lane === "untrusted" && wantsKubelets && host.lanes.some((lane) => lane !== "untrusted"))
    return `host ${host.name} is not for the untrusted lane alone, and a cluster with kubelets is root on its host`;
  const { maxJobs, maxClusters } = host;
  if (maxJobs !== undefined && use.jobs(host.name) >= maxJobs) return `${use.jobs(host.name)} of ${maxJobs} jobs of host ${host.name} run`;
  if (job.clusters.length > 0 && maxClusters !== undefined && use.clusters(host.name) + job.clusters.length > maxClusters)
    return `${use.clusters(host.name)} of ${maxClusters} clusters of host ${host.name} are in use`;
  return undefined;
}
