/**
 * The files of an attempt in the form that Prow's tools know: Spyglass, TestGrid, gcsweb and scripts read them. Their names, below the
 * attempt's own place (server/prow-files.ts):
 *
 * ```
 * started.json  build-log.txt  artifacts/…  finished.json
 * ```
 * Form: k8s.io/test-infra's `gcs.Started` and `gcs.Finished`, as Prow's sidecar and crier write them. finished.json is there last: where it
 * is, all others are.
 */
import type { Cause, Verdict } from "../resources/verdict.ts";

export interface StartedAttempt {
  startedAt: Date;
  /** `owner/project`. */
  repository: string;
  /** Of the base, and of the pull request that was merged into it. */
  baseRef: string;
  commit: string;
  pull?: number | undefined;
  /** The machine that it ran on. */
  node?: string | undefined;
  /** More for the metadata. Example: `{link: "https://…"}`. */
  metadata?: Readonly<Record<string, string>>;
}

export interface FinishedAttempt {
  finishedAt: Date;
  verdict: Verdict;
  cause?: Cause | undefined;
  /** As {@link StartedAttempt.metadata} has it. */
  metadata?: Readonly<Record<string, string>>;
}

/** Prow knows three ends. */
const results: Record<Verdict, "SUCCESS" | "FAILURE" | "ABORTED"> = {
  passed: "SUCCESS",
  skipped: "SUCCESS",
  failed: "FAILURE",
  error: "FAILURE",
  "timed-out": "FAILURE",
  aborted: "ABORTED",
};

const uploader = "seatrial";

/** What started.json says. */
export function startedFile({ startedAt, node, pull, repository, baseRef, commit, metadata }: StartedAttempt): object {
  return {
    timestamp: unixSeconds(startedAt),
    ...(node === undefined ? {} : { node }),
    ...(pull === undefined ? {} : { pull: String(pull) }),
    repos: { [repository]: pull === undefined ? baseRef : `${baseRef},${pull}:${commit}` },
    "repo-commit": commit,
    metadata: { uploader, ...metadata },
  };
}

/** What finished.json says. */
export function finishedFile({ finishedAt, verdict, cause, metadata }: FinishedAttempt): object {
  return {
    timestamp: unixSeconds(finishedAt),
    passed: results[verdict] === "SUCCESS",
    result: results[verdict],
    metadata: { uploader, ...metadata, verdict, ...(cause === undefined ? {} : { cause }) },
  };
}

function unixSeconds(time: Date): number {
  return Math.floor(time.getTime() / 1000);
}
