/**
 * Commits that ask for no workflows. From GitHub's "Skipping workflow runs": words anywhere in the message of the commit that was pushed,
 * or of the head of a pull request; or the trailer `skip-checks: true` at the message's end. Other events do not look at messages.
 */
const words = /\[(skip ci|ci skip|no ci|skip actions|actions skip)\]/;

export function asksForNoRuns(message: string): boolean {
  const lines = message.trimEnd().split("\n");
  // A trailer is in another paragraph than the title.
  return words.test(message) || (/^skip-checks: ?true$/.test(lines.at(-1)!) && lines.lastIndexOf("") > 0);
}
