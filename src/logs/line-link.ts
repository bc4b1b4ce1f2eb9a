/**
 * Links to lines of a job's log. The attempt is always in them: what a link leads to does not change when the job runs again. The query
 * says which part of a long log the page has, the anchor where in it to look.
 */

/** @param page of the job: a path, or a URL. @param to the last line of a range. */
export function lineLink(page: string, attempt: number, line: number, to: number = line): string {
  const [asked, anchor] = to > line ? [`${line}-${to}`, `L${line}-L${to}`] : [line, `L${line}`];
  return `${page}?attempt=${attempt}&line=${asked}#${anchor}`;
}
