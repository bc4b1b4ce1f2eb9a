/**
 * What to do about a JobRun: the pure half of its reconciler. Everything that it may know is in its arguments.
 *
 * A verdict is given once, by the first of these that holds: what the runner reported; the user's abort; what cannot run; the
 * death of the runner. Infrastructure that dies is `error`, never `failed`. Outputs and logs were stored before a result is.
 */
import type { AttemptLife } from "../../runner/executors/executor.ts";
import type { JobRunSpec, JobRunStatus } from "../../resources/job-run.ts";
import type { Cause, Verdict } from "../../resources/verdict.ts";

/** What the history knows of the current attempt. */
export interface AttemptView {
  /** When it was given to the executor; undefined while it was not. */
  startedAt: Date | undefined;
  /** When its runner was heard last. */
  heardAt: Date | undefined;
  result: { verdict: Verdict; cause?: Cause | undefined; message?: string | undefined; outputs: Record<string, string> } | undefined;
}

export interface ClusterView {
  /** Key in the job's `clusters`. */
  name: string;
  state: "absent" | "booting" | "ready" | "failed";
  /** Why it failed, or what it waits for. */
  message?: string | undefined;
}

export interface PlanInput {
  spec: JobRunSpec;
  status: JobRunStatus;
  /** Undefined: the attempt was never opened. */
  attempt: AttemptView | undefined;
  /** Undefined: the executor was not asked; it is when nothing was heard for a while. `unknown`: its host has not answered for too long. */
  life: AttemptLife | { state: "unknown"; message: string } | undefined;
  clusters: readonly ClusterView[];
  /** Whether there is room for it now, and if not, whether there can ever be. */
  place: { granted: true } | { granted: false; why: string; fitsNowhere?: boolean };
  now: Date;
  /** How long one waits that fits nowhere: somebody may declare a host that it fits on. */
  fitsNowhereMs: number;
  /** A runner that was not heard for so long is looked for. */
  silenceMs: number;
  /** Its timeout, and what a runner may take to tell of it: afterwards it is ended by force. */
  longestMs: number;
  /** A runner that was told to end and was not heard to end is ended by force after this. */
  abortGraceMs: number;
  /** When the abort was first seen; undefined when there is none. */
  abortedAt: Date | undefined;
}

export interface Ending {
  verdict: Verdict;
  cause?: Cause | undefined;
  message?: string | undefined;
  outputs?: Record<string, string> | undefined;
}

export type Plan =
  | { action: "wait"; why: string }
  /** No host can ever hold it; look again after `afterMs`. */
  | { action: "wait"; why: string; fitsNowhereSince: Date; afterMs: number }
  | { action: "boot" }
  | { action: "start" }
  /** It runs; look again after `afterMs` unless something happens before. */
  | { action: "watch"; afterMs: number }
  /** Ask the executor whether the runner lives, then plan again. */
  | { action: "look" }
  | { action: "tell-abort"; why: string; afterMs: number }
  | { action: "finish"; ending: Ending }
  /** Its verdict is given: what it left outside goes, unless it is held. */
  | { action: "clean-up" };

export function planJobRun(input: PlanInput): Plan {
  const { spec, status, attempt, now } = input;
  if (status.phase === "Finished" && status.attempt === (spec.attempt ?? 1)) return { action: "clean-up" };
  if (attempt?.result) return { action: "finish", ending: attempt.result };
  if (!attempt?.startedAt) return planBefore(input);
  if (spec.abort !== undefined) return planAbort(input);
  if (now.getTime() - attempt.startedAt.getTime() > input.longestMs)
    return { action: "finish", ending: { verdict: "timed-out", message: "its runner did not end it in time, and was ended" } };
  // It was opened by a pass that did not get to its end, and may run or not: an executor starts it once, whoever asks how often.
  if (status.phase !== "Running") return { action: "start" };
  const silentMs = now.getTime() - (attempt.heardAt ?? attempt.startedAt).getTime();
  if (silentMs < input.silenceMs) return { action: "watch", afterMs: input.silenceMs - silentMs };
  return planSilence(input);
}

/** Nothing of it runs yet. */
function planBefore(input: PlanInput): Plan {
  const { spec, clusters, place } = input;
  if (spec.abort !== undefined) return { action: "finish", ending: { verdict: "aborted", message: spec.abort } };
  if (spec.skip !== undefined) return { action: "finish", ending: { verdict: "skipped", message: spec.skip } };
  if (spec.invalid !== undefined)
    return { action: "finish", ending: { verdict: "error", cause: "invalid-workflow", message: spec.invalid } };
  const broken = clusters.find(({ state }) => state === "failed");
  if (broken) {
    const message = `cluster ${broken.name}: ${broken.message ?? "did not become ready"}`;
    return { action: "finish", ending: { verdict: "error", cause: "cluster-boot", message } };
  }
  if (!place.granted) return planWait(place, input);
  if (clusters.some(({ state }) => state !== "ready")) return { action: "boot" };
  return { action: "start" };
}

function planWait({ why, fitsNowhere }: { why: string; fitsNowhere?: boolean }, { status, now, fitsNowhereMs }: PlanInput): Plan {
  if (!fitsNowhere) return { action: "wait", why };
  const since = status.fitsNowhereSince === undefined ? now : new Date(status.fitsNowhereSince);
  const afterMs = since.getTime() + fitsNowhereMs - now.getTime();
  if (afterMs > 0) return { action: "wait", why, fitsNowhereSince: since, afterMs };
  const message = `${why}. Declare a Host that can hold it, or ask for less, and run it again`;
  return { action: "finish", ending: { verdict: "error", cause: "host", message } };
}

function planAbort(input: PlanInput): Plan {
  const { spec, now, abortGraceMs } = input;
  const sinceMs = now.getTime() - (input.abortedAt ?? now).getTime();
  if (sinceMs < abortGraceMs && input.life?.state !== "ended" && input.life?.state !== "absent")
    return { action: "tell-abort", why: spec.abort!, afterMs: abortGraceMs - sinceMs };
  return { action: "finish", ending: { verdict: "aborted", message: spec.abort } };
}

/** The runner was not heard: is it there? */
function planSilence({ life, silenceMs }: PlanInput): Plan {
  if (life === undefined) return { action: "look" };
  switch (life.state) {
    case "running": // It may not reach us: it spools, and its own bounds end it.
      return { action: "watch", afterMs: silenceMs };
    case "ended":
      return {
        action: "finish",
        ending: life.isOutOfMemory
          ? { verdict: "failed", message: `out of memory: ${life.message}` }
          : { verdict: "error", cause: "lost-runner", message: `the runner ended without a result: ${life.message}` },
      };
    case "absent":
      return { action: "finish", ending: { verdict: "error", cause: "lost-runner", message: "the runner is gone" } };
    case "unknown":
      return { action: "finish", ending: { verdict: "error", cause: "host", message: life.message } };
  }
}
