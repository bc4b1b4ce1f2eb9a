/** Repositories that tests make with git itself. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { run } from "../../src/process/run.ts";

/** Runs git in a folder; gives what it printed. */
export async function git(folder: string, ...args: string[]): Promise<string> {
  const who = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"];
  return (await run("git", [...who, ...args], { cwd: folder, env: process.env, timeoutMs: 60_000 })).stdout;
}

async function writeFiles(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
}

/** Commits the files, and all else that is in the folder; makes the repository when there is none. @returns the commit. */
export async function commit(folder: string, files: Readonly<Record<string, string>>, message = "change"): Promise<string> {
  await mkdir(folder, { recursive: true });
  await writeFiles(folder, files);
  await git(folder, "init", "--quiet");
  await git(folder, "add", "--all");
  await git(folder, "commit", "--quiet", `--message=${message}`);
  return await git(folder, "rev-parse", "HEAD");
}
