/** What tests of the trigger, of dispatches and of schedules stand on. */
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { PullRequestChange } from "../../../forges/forge.ts";
import { LocalForge } from "../../../forges/local/local.ts";
import { Mirrors } from "../../../git/mirrors.ts";
import { scratchFolder, testEnvironment, testRepository } from "../../../git/testdata/repository.ts";
import { openHistory } from "../../../history/history.ts";
import { MemoryStore } from "../../../kube/memory.ts";
import { runKind } from "../../../resources/run.ts";
import { Repositories } from "../../repository/repositories.ts";
import { Trigger } from "../trigger.ts";

/** A local forge with a repository, and a trigger over a store in memory. */
export async function bench(files: Record<string, string>) {
  const scratch = await scratchFolder();
  const work = await testRepository();
  onTestFinished(async () => {
    await work[Symbol.asyncDispose]();
    await scratch[Symbol.asyncDispose]();
  });
  const main = await work.commit(files);
  const bare = join(scratch.path, "project.git");
  await work.git("clone", "-q", "--bare", work.folder, bare);
  const now = () => new Date();
  const folder = join(scratch.path, "forge");
  const forge = await LocalForge.open({
    name: "local",
    environment: testEnvironment,
    repositories: [bare],
    folder,
    user: { id: "0", login: "me" },
    now,
  });
  const history = await openHistory({ sqlite: { directory: join(scratch.path, "history") } });
  onTestFinished(async () => await history.close());
  const mirrors = new Mirrors({ environment: testEnvironment, folder: join(scratch.path, "mirrors"), now });
  onTestFinished(async () => await mirrors.close());
  let uids = 0;
  const store = new MemoryStore({ now, newUid: () => `uid-${++uids}` });
  const { id } = forge.repositories()[0]!;
  const runs = async () => (await store.list(runKind)).items;
  return {
    forge,
    id,
    repository: { id, name: "project" },
    main,
    store,
    history,
    mirror: mirrors.of("local", id),
    trigger: new Trigger({
      store,
      history,
      mirrorOf: (name, repository) => mirrors.of(name, repository),
      repositories: new Repositories({ store, now }),
      rules: [{ labels: ["gpu"] }],
      now,
    }),
    /** The forge takes pull requests for those of a stranger's fork. */
    distrust: () => (forge.laneOf = async () => await Promise.resolve({ lane: "untrusted", reason: "a fork" })),
    runs,
    /** Pull request 1 gets a commit; gives it as the forge has it then. */
    push: async (more: Record<string, string>): Promise<PullRequestChange> => {
      await work.commit(more);
      await work.git("push", "-q", bare, "+HEAD:refs/pull/1/head");
      return (await forge.pullRequest(id, 1))!;
    },
    /** Another commit on a branch of the repository, upon main as it was first; gives it. */
    pushTo: async (branch: string, more: Record<string, string>): Promise<string> => {
      await work.git("checkout", "-q", "-B", "side", branch === "main" ? "main" : main);
      const after = await work.commit(more);
      await work.git("push", "-q", bare, `+HEAD:refs/heads/${branch}`);
      if (branch === "main") await work.git("branch", "-q", "-f", "main", after);
      return after;
    },
    /** The first commit of main gets another upon it, and main is that one. */
    moveMain: async (more: Record<string, string>) => {
      await work.git("checkout", "-q", "-B", "other", main);
      await work.commit(more);
      await work.git("push", "-q", bare, "+HEAD:main");
      await work.git("checkout", "-q", "main");
    },
  };
}
