/** The graph of a workflow's jobs: what `needs` names is looked up, and cycles are refused. */
import type { Place } from "../../base/errors.ts";
import type { Path } from "../../resources/finding.ts";
import { didYouMean } from "../../resources/suggest.ts";
import type { ValueReader } from "./values.ts";
import type { Job } from "../workflow.ts";

interface HasNeeds {
  id: string;
  place: Place;
  needs: readonly { name: string; place: Place; path: Path }[];
}

/** Ids as the jobs have them: `needs` has no case. */
export function findNeeds(reader: ValueReader, draft: HasNeeds, drafts: readonly HasNeeds[]): string[] {
  const found = draft.needs.flatMap(({ name, place, path }): string[] => {
    const job = drafts.find(({ id }) => id.toLowerCase() === name.toLowerCase());
    if (!job)
      reader.report(
        place,
        path,
        `there is no job ${name}${didYouMean(
          name,
          drafts.map(({ id }) => id),
        )}`,
      );
    else if (job === draft) reader.report(place, path, "a job cannot need itself");
    return job && job !== draft ? [job.id] : [];
  });
  if (found.length > 256) reader.report(draft.place, ["jobs", draft.id, "needs"], `names ${found.length} jobs, and can name at most 256`);
  return [...new Set(found)];
}

/** Reports each cycle once, where it is closed. */
export function refuseCycles(reader: ValueReader, drafts: readonly HasNeeds[], jobs: readonly Job[]): void {
  const done = new Set<string>();
  const visit = (id: string, trail: readonly string[]): void => {
    if (done.has(id)) return;
    for (const need of jobs.find((job) => job.id === id)!.needs) {
      const start = [...trail, id].indexOf(need);
      if (start === -1) {
        visit(need, [...trail, id]);
        continue;
      }
      const cycle = [...trail.slice(start), id, need];
      const where = drafts.find((draft) => draft.id === id)!.needs.find(({ name }) => name.toLowerCase() === need.toLowerCase())!;
      reader.report(where.place, where.path, `makes a cycle: ${cycle.join(" needs ")}`);
    }
    done.add(id);
  };
  for (const { id } of jobs) visit(id, []);
}
