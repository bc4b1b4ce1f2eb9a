/** How soon does somebody see on the job's page what a step printed, in a run that a push to a local repository started? */
import { join } from "node:path";
import { waitFor } from "../src/base/wait.ts";
import { ours, type Bench } from "./support/bench.ts";
import { commit, git, makeRepository } from "./support/repository.ts";
import { BenchServer } from "./support/server.ts";

/** The page is opened while the first second passes; the assertion says when it was printed. */
const workflow = `name: ci
on: push
jobs:
  test:
    steps:
      - uses: actions/checkout@v4
      - run: |
          sleep 1
          echo "widget_test.go:12: want 3 widgets, got 2, at $(date +%s%3N)."
          sleep 2
          exit 1
`;

const printed = /want 3 widgets, got 2, at (\d+)\./;

export const lineVisible: Bench = {
  name: "line-visible",
  pairs: 7,
  questions: [
    { what: "a failing assertion, printed → visible on the job's page", time: "visible", target: { most: 1_000 } },
    { what: "`git push` to a local repository → its job's page can be opened", time: "open" },
  ],
  prepare: async (context) => {
    const folder = join(context.directory, context.newName("repository"));
    await makeRepository(context, folder, { ".seatrial/ci.yml": workflow });
    const bare = `${folder}.git`;
    await git(context, folder, "clone", "--quiet", "--bare", folder, bare);
    await git(context, folder, "remote", "add", "origin", bare);
    const server = await BenchServer.start(context, { executor: "host", repositories: [bare] });
    let ended = 1; // The head that is there.
    await server.ended(ended);
    return {
      close: async () => await server.close(),
      sides: [
        {
          name: ours,
          run: async () => {
            const sha = await commit(context, folder, {});
            const from = performance.now();
            await git(context, folder, "push", "--quiet", "origin", "HEAD:main");
            const { name } = await server.runOf(sha);
            const job = await waitFor(
              "the job to begin",
              async () => (await server.run(name)).jobs.find(({ attempts }) => attempts.length > 0),
              { timeoutMs: 30_000, pollMs: 10, signal: context.signal },
            );
            const open = performance.now() - from;
            const visible = await timeOfLine(`${server.url}/jobs/${job.name}`);
            await server.ended(++ended);
            return { visible, open };
          },
        },
      ],
    };
  },
};

/** Reads the page as a browser does, as it comes. @returns how many milliseconds after it was printed the line was there. */
async function timeOfLine(url: string): Promise<number> {
  const answer = await fetch(url);
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of answer.body!) {
    text += decoder.decode(bytes, { stream: true });
    const found = printed.exec(text);
    if (found) return Date.now() - Number(found[1]);
  }
  throw new Error(`the page ended without the line:\n${text.slice(-2000)}`);
}
