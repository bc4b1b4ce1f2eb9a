/** How something ended, and why: the words of every page, check and message. */
import { z } from "zod";

/**
 * `failed` is the tests' fault, `error` ours or the host's: infrastructure that dies is never shown as a test failure.
 */
export const verdicts = ["passed", "failed", "error", "timed-out", "aborted", "skipped"] as const;
export type Verdict = (typeof verdicts)[number];

export const verdictSchema = z
  .enum(verdicts)
  .describe(
    "How it ended: `passed`; `failed`: a step failed; `error`: what runs the job failed, see `cause`; `timed-out`; `aborted`; `skipped`. Absent until it has ended.",
  );

/** Why a verdict is `error`, in one word; the sentence is in `message`. */
export const causes = [
  "invalid-workflow",
  "checkout",
  "cluster-boot",
  "lost-runner",
  "runner-start",
  "host",
  "image",
  "container",
  "secrets",
  "outputs",
  "deleted",
  "internal",
] as const;
export type Cause = (typeof causes)[number];

export const causeSchema = z
  .enum(causes)
  .describe(
    "Why the verdict is `error`: `invalid-workflow`, `checkout`, `cluster-boot`, `lost-runner` (the process that ran the steps is gone), `runner-start`, `host`, `image` (of a container of the job, which cannot be had), `container` (one that does not start, or a service that does not get healthy), `secrets`, `outputs` (over their bound), `deleted` (the resource was deleted before it ended), `internal`.",
  );

/** The worst of several verdicts, as a run shows it; undefined of none. `skipped` alone is `skipped`; beside others it counts as passed. */
export function worstVerdict(all: readonly Verdict[]): Verdict | undefined {
  const order: readonly Verdict[] = ["error", "failed", "timed-out", "aborted", "passed", "skipped"];
  return order.find((verdict) => all.includes(verdict));
}
