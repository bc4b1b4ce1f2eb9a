/** What differs between a server and a one-shot `run`: where things come from, and what jobs may have. */
import type { HostView } from "../controllers/job-run/schedule.ts";
import type { Surroundings } from "../controllers/run/github-context.ts";
import type { RunReconcilerOptions } from "../controllers/run/reconcile.ts";
import type { Ownership } from "../docker/ownership.ts";
import type { Stored } from "../resources/object.ts";
import type { Run } from "../resources/run.ts";
import type { Repository } from "../resources/repository.ts";
import type { RunsOnRule } from "../workflows/runs-on.ts";

export interface Policy {
  /** Values of the `vars` context. @param repository the run's, where there is one. */
  varsOf(run: Stored<Run>, repository: Stored<Repository> | undefined): Promise<Readonly<Record<string, string>>>;
  /** Values of the `secrets` context: none for the untrusted lane. */
  secretsOf(run: Stored<Run>): Promise<Readonly<Record<string, string>>>;
  /** What `github` has of the server and of the run's forge. */
  surroundingsOf(run: Stored<Run>): Surroundings;
  /** What labels of one's own mean. */
  readonly rules: readonly RunsOnRule[];
  /** What a job's labels mean, as {@link RunReconcilerOptions.runsOn} has it. */
  runsOn: RunReconcilerOptions["runsOn"];
  /** The repository on this machine that holds the run's commit; undefined when it is gone. */
  repositoryOf(run: Stored<Run>): string | undefined;
  hosts(): readonly HostView[];
  /** How long a job waits that none of them can ever hold. Unit: milliseconds. */
  fitsNowhereMs: number;
  /** Who owns what is made outside for an attempt. */
  ownershipOf(attempt: string): Ownership;
}
