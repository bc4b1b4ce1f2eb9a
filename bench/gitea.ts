/**
 * How soon does a step run after a push to a real forge? A Gitea on this machine, a repository of 100 MB with 5,000 commits, whose
 * mirror is warm: webhook, fetch, merge, workflow file, JobRun, runner, first step.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { join } from "node:path";
import { builtForge } from "../lab/forge.ts";
import { waitFor } from "../src/base/wait.ts";
import { TestForge } from "../test/support/forge.ts";
import { ours, type Bench } from "./support/bench.ts";
import type { BenchContext } from "./support/context.ts";
import { commit, git } from "./support/repository.ts";
import { BenchServer } from "./support/server.ts";

const commits = 5_000;
const bytes = 100 * 1024 ** 2;
const what = "push to Gitea (100 MB, 5,000 commits, mirror warm)";

export const gitea: Bench = {
  name: "gitea",
  // On ext4 without a journal the later ones are slower: the kernel walks past each file that was deleted in the last minutes
  // whenever one is made, and each run's checkout had 2,000.
  pairs: 15,
  questions: [
    { what: `${what}: \`git push\` begins → first step running`, time: "begin", target: { most: 1_500 } },
    { what: `${what}: \`git push\` has ended → first step running`, time: "end" },
    { what: `${what}: first step running → the checkout is done`, time: "checkout" },
  ],
  prepare: async (context) => {
    const built = builtForge();
    if (!built) return { reason: "the lab's Gitea is not built: node lab/main.ts forge-build" };
    const forge = await TestForge.start(built);
    let server: BenchServer | undefined;
    const close = async () => {
      await server?.close();
      await forge.close();
    };
    try {
      const owner = await forge.createUser("owner");
      const repository = await forge.createRepository(owner);
      const files = join(context.directory, context.newName("gitea"));
      await mkdir(files);
      const secret = "the webhook's secret";
      const stamp = (name: string) => join(files, name);
      await writeFile(stamp("token"), forge.token);
      await writeFile(stamp("secret"), secret);
      const gitea = { url: forge.url, tokenFile: stamp("token"), webhookSecretFiles: [stamp("secret")] };
      await writeFile(stamp("config.yml"), JSON.stringify({ forges: [{ name: "gitea", gitea }] }));
      server = await BenchServer.start(context, { executor: "host", config: stamp("config.yml") });

      const folder = join(files, "clone");
      await makeLarge(context, folder);
      await commit(context, folder, { ".seatrial/ci.yml": workflow(stamp("step"), stamp("done")) });
      const url = forge.url.replace("://", `://${owner.login}:${owner.token}@`);
      await git(context, folder, "remote", "add", "origin", `${url}/${repository.name}.git`);
      await git(context, folder, "push", "--quiet", "--force", "origin", "HEAD:main");
      await forge.addWebhook(repository, `${server.url}/webhooks/gitea`, secret);

      let pushes = 0;
      const push = async () => {
        const sha = await commit(context, folder, { "change.txt": `${++pushes}\n` });
        const begin = Date.now();
        await git(context, folder, "push", "--quiet", "origin", "HEAD:main");
        const end = Date.now();
        const { name } = await server!.runOf(sha);
        const hasEnded = async () => await server!.run(name).then(({ run }) => (run.phase === "Finished" ? run : undefined));
        const { verdict, message } = await waitFor(`run ${name} to end`, hasEnded, { timeoutMs: 60_000, pollMs: 100 });
        if (verdict !== "passed") {
          const log = await server!.text(`/api/v1/jobs/${(await server!.run(name)).jobs[0]?.name}/log`);
          throw new Error(`${name}: ${verdict}: ${message ?? ""}\n${log}`);
        }
        const timeIn = async (name: string) =>
          await waitFor(`the file ${name}`, async () => await timeOf(stamp(name), sha), { timeoutMs: 5_000, pollMs: 10 });
        const [step, done] = [await timeIn("step"), await timeIn("done")];
        return { begin: step - begin, end: step - end, checkout: done - step };
      };
      await push(); // Fills the mirror.
      return { sides: [{ name: ours, run: push }], close };
    } catch (error) {
      await close();
      throw error;
    }
  },
};

/** Both steps write down which commit they are of, and when. */
function workflow(step: string, done: string): string {
  return `name: ci
on: push
jobs:
  test:
    steps:
      - run: echo "$GITHUB_SHA $(date +%s%3N)" > ${step}
      - uses: actions/checkout@v4
      - run: echo "$GITHUB_SHA $(date +%s%3N)" > ${done}
`;
}

async function timeOf(file: string, sha: string): Promise<number | undefined> {
  const [of, ms] = (await readFile(file, "utf8").catch(() => "")).trim().split(" ");
  return of === sha && ms !== undefined ? Number(ms) : undefined;
}

/** A clone with its history: each commit changes a few of 2,000 files, and brings some of the bytes that do not compress. */
async function makeLarge(context: BenchContext, folder: string): Promise<void> {
  await mkdir(folder);
  await git(context, folder, "init", "--quiet", "--initial-branch=main");
  const importing = spawn("git", ["-C", folder, "fast-import", "--quiet"], { stdio: ["pipe", "ignore", "inherit"] });
  const closed = once(importing, "close");
  const size = Math.ceil(bytes / commits);
  for (let i = 0; i < commits; i++) {
    const when = 1_700_000_000 + i;
    const message = `change ${i}`;
    const lines = [
      "commit refs/heads/main",
      `committer bench <bench@example.invalid> ${when} +0000`,
      `data ${message.length}`,
      message,
      `M 100644 inline src/part-${i % 50}/file-${i % 2_000}.bin`,
      `data ${size}`,
    ];
    importing.stdin.write(`${lines.join("\n")}\n`);
    importing.stdin.write(noise(i, size));
    if (!importing.stdin.write("\n")) await once(importing.stdin, "drain");
  }
  importing.stdin.end();
  const [code] = (await closed) as [number];
  if (code !== 0) throw new Error(`git fast-import ended with ${code}`);
  await git(context, folder, "reset", "--quiet", "--hard", "main");
}

/** The same for the same seed; random enough that nothing can be saved. */
function noise(seed: number, size: number): Buffer {
  const parts: Buffer[] = [];
  for (let made = 0; made < size; made += 64) parts.push(createHash("sha512").update(`${seed} ${made}`).digest());
  return Buffer.concat(parts).subarray(0, size);
}
