/** Step summaries (GITHUB_STEP_SUMMARY): kept among the job's artifacts, where they are masked, shown on its page, and can be had. */
import { appendFileSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { systemCodeOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

/** Folder among the artifacts; server/pages/job.ts shows what is in it. */
const folderName = "step-summaries";

/**
 * Adds to the summary of a step.
 * @param step from 0. @param say told why it is left out: then the step goes on as if it had none.
 */
export function keepSummary(artifacts: string, step: number, markdown: string, say: (line: string) => void): void {
  const folder = join(artifacts, folderName);
  const path = join(folder, `${String(step + 1).padStart(4, "0")}.md`);
  const text = markdown.endsWith("\n") ? markdown : `${markdown}\n`;
  try {
    mkdirSync(folder, { recursive: true });
    const size = (statSync(path, { throwIfNoEntry: false })?.size ?? 0) + Buffer.byteLength(text);
    if (size > limits.summaryBytes) say(`the step's summary has ${size} bytes; what is over ${limits.summaryBytes} is left out`);
    else appendFileSync(path, text);
  } catch (error) {
    say(`the step's summary could not be kept: ${systemCodeOf(error)}`);
  }
}
