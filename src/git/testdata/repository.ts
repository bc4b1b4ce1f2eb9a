/** Small repositories for tests: made in a folder of their own, with dates that are the same every time. */
import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Environment, environmentFrom } from "../../base/environment.ts";
import { run } from "../../process/run.ts";

export const testEnvironment: Environment = environmentFrom({
  variables: { PATH: process.env["PATH"], HOME: "/nowhere" },
  homeDir: "/nowhere",
  tempDir: tmpdir(),
  uid: 0,
  cwd: "/",
});

export interface TestRepository extends AsyncDisposable {
  folder: string;
  git(...args: string[]): Promise<string>;
  write(files: Record<string, string>): Promise<void>;
  /** Writes the files, and commits everything; gives the commit. */
  commit(files: Record<string, string>, message?: string): Promise<string>;
}

/** A folder that is gone at the end of its block. */
export async function scratchFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await realpath(await mkdtemp(join(tmpdir(), "git-")));
  return { path, [Symbol.asyncDispose]: async () => await rm(path, { recursive: true, force: true }) };
}

/** A repository with branch main, in a new folder or in a given one. */
export async function testRepository(inFolder?: string): Promise<TestRepository> {
  const folder = inFolder ?? (await realpath(await mkdtemp(join(tmpdir(), "git-"))));
  let clock = 1_700_000_000;
  const git = async (...args: string[]) => {
    const date = `@${clock} +0000`;
    const env = { PATH: process.env["PATH"], HOME: folder, GIT_CONFIG_NOSYSTEM: "1", GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date };
    const who = ["-c", "user.name=A Person", "-c", "user.email=person@example.invalid", "-c", "init.defaultBranch=main"];
    return (await run("git", [...who, ...args], { cwd: folder, env, timeoutMs: 30_000 })).stdout;
  };
  const write = async (files: Record<string, string>) => {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), text);
    }
  };
  await git("init", "-q");
  return {
    folder,
    git,
    write,
    commit: async (files, message = "a change") => {
      await write(files);
      clock += 60;
      await git("add", "-A");
      await git("commit", "-q", "--allow-empty", "-m", message);
      return await git("rev-parse", "HEAD");
    },
    [Symbol.asyncDispose]: async () => await rm(folder, { recursive: true, force: true }),
  };
}
