/** Step summaries (GITHUB_STEP_SUMMARY): kept among the job's artifacts, where they are masked, shown on its page, and can be had. */
import { appendFileSync, closeSync, constants, fstatSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { systemCodeOf } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";

/** Folder among the artifacts; server/pages/job.ts shows what is in it. */
const folderName = "step-summaries";

/** A step may have put a link or a pipe there, where the runner would wait for whoever reads it. */
const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Adds to the summary of a step.
 * @param step from 0. @param say told why it is left out: then the step goes on as if it had none.
 */
export function keepSummary(artifacts: string, step: number, markdown: string, say: (line: string) => void): void {
  const folder = join(artifacts, folderName);
  const path = join(folder, `${String(step + 1).padStart(4, "0")}.md`);
  const text = markdown.endsWith("\n") ? markdown : `${markdown}\n`;
  const tooMuch = (size: number) => say(`the step's summary has ${size} bytes; what is over ${limits.summaryBytes} is left out`);
  const added = Buffer.byteLength(text);
  if (added > limits.summaryBytes) return tooMuch(added);
  try {
    mkdirSync(folder, { recursive: true });
    const fd = openSync(path, flags, 0o644);
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile()) say("the step's summary could not be kept: what stands in its place is no file");
      else if (stat.size + added > limits.summaryBytes) tooMuch(stat.size + added);
      else appendFileSync(fd, text);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    say(`the step's summary could not be kept: ${systemCodeOf(error)}`);
  }
}
