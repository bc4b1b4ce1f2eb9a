/**
 * The repositories of actions that cases use: each folder `actions/OWNER/REPO` is one, with one commit, tagged `v1`. The commit follows
 * from the files alone, so that the lock file of a case can name it.
 */
import { cp, readdir } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../src/process/run.ts";

const source = join(import.meta.dirname, "actions");

/** @param folder gets `OWNER/REPO` of each. @returns the URL of a mirror that has them all. */
export async function makeActionRepositories(folder: string): Promise<string> {
  const identity = Object.fromEntries(
    ["AUTHOR", "COMMITTER"].flatMap((role) => [
      [`GIT_${role}_NAME`, "a"],
      [`GIT_${role}_EMAIL`, "a@b"],
      [`GIT_${role}_DATE`, "@1 +0000"],
    ]),
  );
  const env = { PATH: process.env["PATH"], HOME: "/nowhere", GIT_CONFIG_NOSYSTEM: "1", ...identity };
  await cp(source, folder, { recursive: true });
  for (const owner of await readdir(folder)) {
    for (const name of await readdir(join(folder, owner))) {
      const script = "git init -q -b main && git add -A && git commit -q -m one && git tag v1 && git branch release/v2";
      await run("sh", ["-c", script], { cwd: join(folder, owner, name), env });
    }
  }
  return `${folder}/`;
}
