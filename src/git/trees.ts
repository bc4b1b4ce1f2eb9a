/** Trees of commits: what two commits with the same content have in common, whoever made them and when. */
import type { Environment } from "../base/environment.ts";
import { checkCommit, git } from "./git.ts";

/**
 * The tree of each commit, in their order; undefined for one that is not there.
 * @param folder a working tree, or a bare repository.
 */
export async function treesOf(environment: Environment, folder: string, commits: readonly string[]): Promise<(string | undefined)[]> {
  if (commits.length === 0) return [];
  const input = commits.map((commit) => `${checkCommit(commit)}^{tree}\n`).join("");
  const { stdout } = await git(environment, ["-C", folder, "cat-file", "--batch-check=%(objectname) %(objecttype)"], { input });
  return stdout.split("\n").map((line) => /^([0-9a-f]+) tree$/.exec(line)?.[1]);
}
