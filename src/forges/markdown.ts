/** Text of others in a comment of ours: shown as it is, in one line, whatever is in it. */
import { cut } from "./text.ts";

/**
 * A code span: in it nothing is a link, a mention, HTML or Markdown, and nothing in the text ends it.
 * @param most characters of the text that are shown.
 */
export function codeSpan(text: string, most: number): string {
  // What is invisible is left out: it could turn the line around, or end the paragraph and the span with it.
  const line =
    cut(
      text
        .toWellFormed()
        .replaceAll(/[\p{White_Space}\p{Cc}\p{Cf}]+/gu, " ")
        .trim(),
      most,
    ) || "?";
  const longest = Math.max(0, ...Array.from(line.matchAll(/`+/g), ([ticks]) => ticks.length));
  const fence = "`".repeat(longest + 1);
  const room = /^`|`$/.test(line) ? " " : "";
  return `${fence}${room}${line}${room}${fence}`;
}
