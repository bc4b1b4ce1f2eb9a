/** Repositories that benchmarks push from. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { BenchContext } from "./context.ts";

/** Runs git in a folder; gives what it printed. */
export async function git(context: BenchContext, folder: string, ...args: readonly string[]): Promise<string> {
  const who = ["-c", "user.name=bench", "-c", "user.email=bench@example.invalid"];
  return await context.run("git", ["-C", folder, ...who, ...args]);
}

/** A repository with these files in its one commit, on main. */
export async function makeRepository(context: BenchContext, folder: string, files: Readonly<Record<string, string>>): Promise<string> {
  await mkdir(folder, { recursive: true });
  await git(context, folder, "init", "--quiet", "--initial-branch=main");
  return await commit(context, folder, files);
}

/** Commits files; gives the commit. */
export async function commit(context: BenchContext, folder: string, files: Readonly<Record<string, string>>): Promise<string> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
    await git(context, folder, "add", path);
  }
  await git(context, folder, "commit", "--quiet", "--allow-empty", "--message=change");
  return (await git(context, folder, "rev-parse", "HEAD")).trim();
}
