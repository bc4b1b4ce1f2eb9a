/** Words that name a job: the link to its page, the name of its JobRun, or a run and a job of it. */
import { SeatrialError } from "../../base/errors.ts";
import type { ApiClient } from "../../server/api/client.ts";
import type { JobView } from "../../server/api/schemas.ts";
import { runNamed } from "./history.ts";

/** A page of a server. */
export interface PageLink {
  origin: string;
  kind: "jobs" | "runs";
  name: string;
  attempt?: number;
}

/** The page that a link leads to; undefined for what is no link. @throws SeatrialError `usage` for a link to something else. */
export function pageLinkOf(text: string): PageLink | undefined {
  if (!/^https?:\/\//i.test(text)) return undefined;
  const url = URL.parse(text);
  const [, kind, name] = /^\/(jobs|runs)\/([^/]+)$/.exec(url?.pathname ?? "") ?? [];
  if (!url || kind === undefined || name === undefined) {
    throw new SeatrialError("usage", `${text} is not the link of a job`, { hint: "a check of a job links to it: http://…/jobs/NAME" });
  }
  const attempt = Number(url.searchParams.get("attempt") ?? NaN);
  const link = { origin: url.origin, kind: kind as PageLink["kind"], name: decodeURIComponent(name) };
  return attempt >= 1 ? { ...link, attempt } : link;
}

/**
 * The job of that name: a JobRun's own, or of a run the job that is named, the only one that did not pass, or the only one.
 * @throws SeatrialError `not-found`; `usage` when it could be several, with their names.
 */
export async function jobNamed(api: ApiClient, name: string, job: string | undefined): Promise<JobView> {
  if (job === undefined) {
    const found = await api.job(name).catch((error: unknown) => {
      if (error instanceof SeatrialError && error.code === "not-found") return undefined;
      throw error;
    });
    if (found) return found;
  }
  const { run, jobs } = await api.run(await runNamed(api, name));
  const known = jobs.map(({ jobName }) => jobName).join(", ") || "none yet";
  if (job !== undefined) {
    const named = jobs.filter((each) => [each.name, each.jobName].includes(job));
    const chosen = named.length > 0 ? named : jobs.filter((each) => each.job === job);
    return only(chosen, `${run.name} has no job ${job}`, `its jobs are ${known}`);
  }
  const bad = jobs.filter(({ verdict }) => verdict !== undefined && verdict !== "passed" && verdict !== "skipped");
  return only(bad.length > 0 ? bad : jobs, `${run.name} has no jobs`, "seatrial status shows a run");
}

function only(jobs: readonly JobView[], none: string, hint: string): JobView {
  const [first, ...more] = jobs;
  if (first === undefined) throw new SeatrialError("not-found", none, { hint });
  if (more.length === 0) return first;
  throw new SeatrialError("usage", `it can be any of ${jobs.length} jobs`, {
    hint: `name one: ${jobs.map(({ name }) => name).join(", ")}`,
  });
}
