/**
 * What `/metrics` shows, in Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats): what this process
 * has counted, and what it sees now. Labels have few values by their nature: controllers, kinds, phases, verdicts, never names.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { limits } from "../base/limits.ts";
import type { Controller } from "../controllers/runtime/controller.ts";
import { Histogram, outcomes } from "../controllers/runtime/metrics.ts";
import { ApiError } from "../kube/api-error.ts";
import type { Store } from "../kube/store.ts";
import type { Verdict } from "../resources/verdict.ts";

/** What the controllers of a leader know. */
export interface ControllerCounts {
  controllers: readonly Controller[];
  /** Resources in the API, by phase. */
  runs: ReadonlyMap<string, number>;
  jobRuns: ReadonlyMap<string, number>;
  /** Durations of the attempts that ended since it leads, in milliseconds. */
  attempts: ReadonlyMap<Verdict, Histogram>;
}

export interface MetricsSources {
  /** Undefined where another server leads. */
  counts: ControllerCounts | undefined;
  writes: ApiWrites;
  delay: EventLoopDelay;
  diskFreeBytes: number | undefined;
}

export function metricsText({ counts, writes, delay, diskFreeBytes }: MetricsSources): string {
  const text = new MetricsText();
  text.add("seatrial_leader", "gauge", "Whether this server runs the controllers.", [[{}, counts ? 1 : 0]]);
  const each = (valueOf: (controller: Controller) => number) =>
    (counts?.controllers ?? []).map((controller): Sample => [{ controller: controller.name }, valueOf(controller)]);
  text.add(
    "seatrial_queue_waiting",
    "gauge",
    "Keys that wait for a worker.",
    each(({ queue }) => queue.waiting),
  );
  text.add(
    "seatrial_queue_running",
    "gauge",
    "Keys that are being reconciled.",
    each(({ queue }) => queue.running),
  );
  text.add(
    "seatrial_queue_delayed",
    "gauge",
    "Keys that will be looked at later.",
    each(({ queue }) => queue.delayed),
  );
  text.add(
    "seatrial_queue_oldest_wait_seconds",
    "gauge",
    "For how long the oldest key has waited.",
    each(({ queue }) => queue.oldestWaitMs / 1000),
  );
  text.add(
    "seatrial_queue_failing",
    "gauge",
    "Keys whose last reconcile failed.",
    each(({ failing }) => failing.size),
  );
  text.add(
    "seatrial_reconciles_total",
    "counter",
    "Reconciles, by how they ended.",
    (counts?.controllers ?? []).flatMap(({ name, metrics }) =>
      outcomes.map((outcome): Sample => [{ controller: name, outcome }, metrics.reconciles[outcome]]),
    ),
  );
  const histograms = (valueOf: (controller: Controller) => Histogram) =>
    (counts?.controllers ?? []).map((controller) => [{ controller: controller.name }, valueOf(controller)] as const);
  text.addHistograms(
    "seatrial_queue_wait_seconds",
    "From a key's add to its worker.",
    histograms(({ metrics }) => metrics.waitMs),
  );
  text.addHistograms(
    "seatrial_reconcile_seconds",
    "Duration of a reconcile.",
    histograms(({ metrics }) => metrics.reconcileMs),
  );
  const byPhase = (phases: ReadonlyMap<string, number> = new Map()) => [...phases].map(([phase, count]): Sample => [{ phase }, count]);
  text.add("seatrial_runs", "gauge", "Runs in the API.", byPhase(counts?.runs));
  text.add("seatrial_jobs", "gauge", "JobRuns in the API.", byPhase(counts?.jobRuns));
  text.addHistograms(
    "seatrial_attempt_seconds",
    "Duration of an attempt, from its start to its end.",
    [...(counts?.attempts ?? [])].map(([verdict, histogram]) => [{ verdict }, histogram] as const),
  );
  text.add("seatrial_api_writes_total", "counter", "Writes of resources, by what the API answered.", writes.samples());
  text.add("seatrial_event_loop_delay_p99_seconds", "gauge", "Of the last minute.", [[{}, delay.p99Ms / 1000]]);
  text.add("seatrial_event_loop_delay_max_seconds", "gauge", "Of the last minute.", [[{}, delay.mostMs / 1000]]);
  if (diskFreeBytes !== undefined) text.add("seatrial_disk_free_bytes", "gauge", "Of the data folder's disk.", [[{}, diskFreeBytes]]);
  const { user, system } = process.cpuUsage();
  text.add("process_cpu_seconds_total", "counter", "CPU time of the server.", [[{}, (user + system) / 1e6]]);
  text.add("process_resident_memory_bytes", "gauge", "Resident memory of the server.", [[{}, process.memoryUsage.rss()]]);
  return text.toString();
}

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

class MetricsText {
  readonly #lines: string[] = [];

  add(name: string, type: "counter" | "gauge", help: string, samples: readonly Sample[]): void {
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of samples) this.#lines.push(`${name}${formatLabels(labels)} ${value}`);
  }

  /** @param histograms of milliseconds; shown in seconds. */
  addHistograms(name: string, help: string, histograms: readonly (readonly [Readonly<Record<string, string>>, Histogram])[]): void {
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} histogram`);
    for (const [labels, { bounds, counts, count, sum }] of histograms) {
      let below = 0;
      for (const [index, bound] of bounds.entries()) {
        below += counts[index]!;
        this.#lines.push(`${name}_bucket${formatLabels({ ...labels, le: String(bound / 1000) })} ${below}`);
      }
      this.#lines.push(`${name}_bucket${formatLabels({ ...labels, le: "+Inf" })} ${count}`);
      this.#lines.push(`${name}_sum${formatLabels(labels)} ${sum / 1000}`, `${name}_count${formatLabels(labels)} ${count}`);
    }
  }

  toString(): string {
    return `${this.#lines.join("\n")}\n`;
  }
}

function formatLabels(labels: Readonly<Record<string, string>>): string {
  const all = Object.entries(labels).map(([name, value]) => `${name}="${value.replaceAll(/[\\"]/g, "\\$&").replaceAll("\n", "\\n")}"`);
  return all.length === 0 ? "" : `{${all.join(",")}}`;
}

/** Attempts take from a second to an hour and more. Unit: milliseconds. */
const attemptsMs = [1, 5, 10, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 21_600].map((seconds) => seconds * 1000);

/** Durations of attempts by how they ended. */
export class AttemptDurations {
  readonly byVerdict = new Map<Verdict, Histogram>();

  observe(verdict: Verdict, ms: number): void {
    let histogram = this.byVerdict.get(verdict);
    if (!histogram) this.byVerdict.set(verdict, (histogram = new Histogram(attemptsMs)));
    histogram.observe(ms);
  }
}

/** Writes through a store, counted by kind, verb and answer. */
export class ApiWrites {
  readonly #counts = new Map<string, { labels: Record<string, string>; count: number }>();

  samples(): Sample[] {
    return [...this.#counts.values()].map(({ labels, count }) => [labels, count] as const);
  }

  /** The same store, whose writes are counted. */
  counted(store: Store): Store {
    const count = async <T>(kind: { kind: string }, verb: string, write: () => Promise<T>): Promise<T> => {
      try {
        const written = await write();
        this.#add({ kind: kind.kind, verb, answer: "ok" });
        return written;
      } catch (error) {
        this.#add({ kind: kind.kind, verb, answer: error instanceof ApiError ? error.reason : "failed" });
        throw error;
      }
    };
    return {
      namespace: store.namespace,
      get: async (...args) => await store.get(...args),
      list: async (...args) => await store.list(...args),
      watch: (...args) => store.watch(...args),
      create: async (kind, ...args) => await count(kind, "create", async () => await store.create(kind, ...args)),
      replace: async (kind, ...args) => await count(kind, "replace", async () => await store.replace(kind, ...args)),
      patch: async (kind, ...args) => await count(kind, "patch", async () => await store.patch(kind, ...args)),
      writeStatus: async (kind, ...args) => await count(kind, "status", async () => await store.writeStatus(kind, ...args)),
      delete: async (kind, ...args) => await count(kind, "delete", async () => await store.delete(kind, ...args)),
    };
  }

  #add(labels: Record<string, string>): void {
    const key = Object.values(labels).join(" ");
    const known = this.#counts.get(key);
    if (known) known.count++;
    else this.#counts.set(key, { labels, count: 1 });
  }
}

/** How late the event loop is, over the last whole window of {@link limits.metricsWindowMs}; before that over what there is of the first. */
export class EventLoopDelay implements Disposable {
  // Finer ones wake an idle process all the time, and 600 samples a minute tell a p99; it is taken off what is measured.
  static readonly #resolutionMs = 100;
  readonly #histogram = monitorEventLoopDelay({ resolution: EventLoopDelay.#resolutionMs });
  readonly #timer: NodeJS.Timeout;
  #last: { p99Ms: number; mostMs: number } | undefined;

  constructor() {
    this.#histogram.enable();
    this.#timer = setInterval(() => {
      this.#last = this.#now();
      this.#histogram.reset();
    }, limits.metricsWindowMs).unref();
  }

  get p99Ms(): number {
    return (this.#last ?? this.#now()).p99Ms;
  }

  get mostMs(): number {
    return (this.#last ?? this.#now()).mostMs;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#histogram.disable();
  }

  #now() {
    const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - EventLoopDelay.#resolutionMs);
    return { p99Ms: late(this.#histogram.percentile(99)), mostMs: late(this.#histogram.max) };
  }
}
