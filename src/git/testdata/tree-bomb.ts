/** A tree of a few kilobytes that holds ten thousand million files: each level names the one below ten times. */
import { execFileSync } from "node:child_process";

/** @param options.isHollow there are folders alone. @returns a commit of it. */
export function treeBomb(folder: string, options: { parent?: string; levels?: number; isHollow?: boolean; fileBytes?: number } = {}): string {
  const { parent, levels = 10, isHollow = false, fileBytes = 1 } = options;
  const git = (args: readonly string[], input = "") =>
    execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...args], { cwd: folder, input, encoding: "utf8" }).trim();
  let tree = git(["mktree"], isHollow ? "" : `100644 blob ${git(["hash-object", "-w", "--stdin"], "x".repeat(fileBytes))}\tfile\n`);
  for (let level = 0; level < levels; level++) {
    tree = git(["mktree"], Array.from({ length: 10 }, (_, index) => `040000 tree ${tree}\td${index}\n`).join(""));
  }
  return git(["commit-tree", tree, ...(parent === undefined ? [] : ["-p", parent]), "-m", "a bomb"]);
}
