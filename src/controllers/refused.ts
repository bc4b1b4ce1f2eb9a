/**
 * A status of ours that the API refuses as invalid is a defect of ours, and will be refused again: trying on would never end. Whoever
 * wrote it gives the resource a status with nothing in it but that.
 */
import { limits } from "../base/limits.ts";
import { reasonOf } from "../kube/api-error.ts";
import type { Verdict } from "../resources/verdict.ts";

/** The end of a resource whose status was refused. @returns undefined for any other error. */
export function refusedEnding(error: unknown): { verdict: Verdict & "error"; cause: "internal"; message: string } | undefined {
  if (reasonOf(error) !== "invalid") return undefined;
  return {
    verdict: "error",
    cause: "internal",
    message: `its status was refused, a defect of Seatrial: ${quiet((error as Error).message)}`,
  };
}

/** What the API quotes is what jobs have put out: the fields and the rules say enough. */
function quiet(message: string): string {
  return message.replaceAll(/"(?:[^"\\]|\\.)*("|$)/gs, '"…"').slice(0, limits.refusedMessageLength);
}
