/** Summaries of a job's steps, for its page: artifacts of a folder that the runner keeps them in (runner/steps/summaries.ts). */
import { limits } from "../../base/limits.ts";
import type { ObjectStore } from "../../artifacts/object-store.ts";
import type { Artifact } from "../../history/attempts.ts";
import type { Html } from "./layout.ts";
import { markdown } from "./markdown.ts";

export interface StepSummary {
  /** From 0. */
  step: number;
  content: Html;
}

/** The first {@link limits.summariesShown}, in the order of their steps; one that is gone by now is left out. */
export async function summariesOf(objects: ObjectStore, artifacts: readonly Artifact[]): Promise<StepSummary[]> {
  const found = artifacts
    .flatMap((artifact) => {
      const number = /^step-summaries\/(\d{4,})\.md$/.exec(artifact.path)?.[1];
      return number === undefined ? [] : [{ step: Number(number) - 1, key: artifact.key }];
    })
    .toSorted((a, b) => a.step - b.step)
    .slice(0, limits.summariesShown);
  const read = await Promise.all(
    found.map(async ({ step, key }) => {
      try {
        const chunks: Buffer[] = [];
        for await (const chunk of await objects.get(key, { end: limits.summaryBytes })) chunks.push(chunk);
        return [{ step, content: markdown(Buffer.concat(chunks).toString("utf8")) }];
      } catch {
        return [];
      }
    }),
  );
  return read.flat();
}
