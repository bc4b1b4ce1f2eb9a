/**
 * The files of a finished attempt under the names that Prow's tools know: Spyglass, TestGrid, gcsweb and scripts read them.
 *
 * ```
 * PREFIX/started.json  build-log.txt  prowjob.json  artifacts/…  finished.json
 * ```
 * Form: k8s.io/test-infra's `gcs.Started` and `gcs.Finished`, as Prow's sidecar and crier write them. finished.json comes
 * last: where it is, all others are.
 */
import type { Cause, Verdict } from "../resources/verdict.ts";
import type { ObjectStore } from "./object-store.ts";

export interface FinishedAttempt {
  startedAt: Date;
  finishedAt: Date;
  verdict: Verdict;
  cause?: Cause | undefined;
  /** `owner/project`. */
  repository: string;
  /** Of the base, and of the pull request that was merged into it. */
  baseRef: string;
  commit: string;
  pull?: number | undefined;
  /** The machine that it ran on. */
  node?: string | undefined;
  /** More for the metadata of both files. Example: `{link: "https://…"}`. */
  metadata?: Readonly<Record<string, string>>;
  /** prowjob.json. Default: none. */
  prowJob?: unknown;
}

/** Prow knows three ends; skipped jobs leave no files there. */
const results: Record<Verdict, "SUCCESS" | "FAILURE" | "ABORTED"> = {
  passed: "SUCCESS",
  skipped: "SUCCESS",
  failed: "FAILURE",
  error: "FAILURE",
  "timed-out": "FAILURE",
  aborted: "ABORTED",
};

/** Writes them below the prefix; artifacts are there already. May be repeated. */
export async function writeProwFiles(
  store: ObjectStore,
  prefix: string,
  attempt: FinishedAttempt,
  log: AsyncIterable<Uint8Array>,
): Promise<void> {
  const metadata = { uploader: "seatrial", ...attempt.metadata };
  const json = async (name: string, value: unknown) => await store.put(`${prefix}/${name}`, Buffer.from(`${JSON.stringify(value)}\n`));
  await json("started.json", {
    timestamp: unixSeconds(attempt.startedAt),
    ...(attempt.node === undefined ? {} : { node: attempt.node }),
    ...(attempt.pull === undefined ? {} : { pull: String(attempt.pull) }),
    repos: { [attempt.repository]: attempt.pull === undefined ? attempt.baseRef : `${attempt.baseRef},${attempt.pull}:${attempt.commit}` },
    "repo-commit": attempt.commit,
    metadata,
  });
  await store.put(`${prefix}/build-log.txt`, log);
  if (attempt.prowJob !== undefined) await json("prowjob.json", attempt.prowJob);
  await json("finished.json", {
    timestamp: unixSeconds(attempt.finishedAt),
    passed: results[attempt.verdict] === "SUCCESS",
    result: results[attempt.verdict],
    metadata: { ...metadata, verdict: attempt.verdict, ...(attempt.cause === undefined ? {} : { cause: attempt.cause }) },
  });
}

function unixSeconds(time: Date): number {
  return Math.floor(time.getTime() / 1000);
}
