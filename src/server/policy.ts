/** What differs between a server and a one-shot `run`: where things come from, and what jobs may have. */
import type { HostView } from "../controllers/job-run/schedule.ts";
import type { Ownership } from "../docker/ownership.ts";
import type { JobRunSpec } from "../resources/job-run.ts";
import type { Stored } from "../resources/object.ts";
import type { Run } from "../resources/run.ts";

export interface Policy {
  /** Values of the `vars` context. */
  varsOf(run: Stored<Run>): Promise<Readonly<Record<string, string>>>;
  /** Values of the `secrets` context: none for the untrusted lane. */
  secretsOf(run: Stored<Run>): Promise<Readonly<Record<string, string>>>;
  /** Of the forge's pages; empty where it has none. */
  serverUrlOf(run: Stored<Run>): string;
  /** What a job's labels mean. */
  runsOn(labels: readonly string[], run: Stored<Run>): JobRunSpec["runsOn"];
  /** The repository on this machine that holds the run's commit; undefined when it is gone. */
  repositoryOf(run: Stored<Run>): string | undefined;
  hosts(): readonly HostView[];
  /** Who owns what is made outside for an attempt. */
  ownershipOf(attempt: string): Ownership;
}
