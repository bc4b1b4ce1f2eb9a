/** Runs and JobRuns as an API would give them, for tests. */
import type { JobRun, JobRunStatus } from "../../resources/job-run.ts";
import type { Stored } from "../../resources/object.ts";
import type { Run, RunSpec, RunStatus } from "../../resources/run.ts";

const base = Date.parse("2026-11-01T12:00:00Z");

/** The instant so many seconds after the tests' beginning of time, as the API writes it. */
export function at(seconds: number): string {
  return `${new Date(base + seconds * 1000).toISOString().slice(0, 19)}Z`;
}

export function dateAt(seconds: number): Date {
  return new Date(base + seconds * 1000);
}

export function digestOf(character: string): string {
  return `sha256:${character.repeat(64)}`;
}

/** @param seconds its age counts from there; also makes its uid unique. */
export function runNamed(
  name: string,
  given: { seconds?: number; version?: number; status?: RunStatus; source?: Partial<RunSpec["source"]>; workflow?: Partial<RunSpec["workflow"]> } = {},
): Stored<Run> {
  return {
    apiVersion: "seatrial.dev/v1alpha1",
    kind: "Run",
    metadata: {
      name,
      uid: `uid-${name}`,
      resourceVersion: String(given.version ?? 1),
      creationTimestamp: at(given.seconds ?? 0),
    },
    spec: {
      source: {
        forge: "local",
        repository: { id: "1", name: "owner/project" },
        event: "push",
        ref: "refs/heads/main",
        base: { ref: "main", sha: "a".repeat(40) },
        commit: "a".repeat(40),
        lane: "trusted",
        ...given.source,
      },
      workflow: { path: ".seatrial/test.yml", name: "test", digest: digestOf("0"), ...given.workflow },
    },
    ...(given.status ? { status: given.status } : {}),
  };
}

export function jobRunNamed(
  name: string,
  given: { run?: string; job?: string; jobName?: string; seconds?: number; version?: number; status?: JobRunStatus } = {},
): Stored<JobRun> {
  const job = given.job ?? "unit";
  return {
    apiVersion: "seatrial.dev/v1alpha1",
    kind: "JobRun",
    metadata: {
      name,
      uid: `uid-${name}`,
      resourceVersion: String(given.version ?? 1),
      creationTimestamp: at(given.seconds ?? 0),
    },
    spec: {
      run: given.run ?? "run",
      repository: "owner/project",
      lane: "trusted",
      job,
      name: given.jobName ?? job,
      steps: [{ run: "true" }],
      runsOn: { labels: ["ubuntu-latest"], executor: "host" },
    },
    ...(given.status ? { status: given.status } : {}),
  };
}
