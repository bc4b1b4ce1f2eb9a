/**
 * Do webhooks wait for anything? 200 per second for ten seconds, each on the disk before it is answered, while 200 JobRuns run: their
 * runners, played by this process, send heartbeats, steps and lines of log.
 */
import { createHmac, randomUUID } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Agent, request } from "node:http";
import { waitFor } from "../src/base/wait.ts";
import { ours, type Bench } from "./support/bench.ts";
import { BenchServer } from "./support/server.ts";
import { quantile } from "./support/statistics.ts";
import { PlayedRunner } from "./support/played-runner.ts";

const perSecond = 200;
const seconds = 10;
const [runs, cells] = [10, 20];
const secret = "the webhook's secret";

const workflow = `name: bench
on: push
jobs:
  long:
    strategy: {matrix: {cell: [${Array.from({ length: cells }, (_, i) => i).join(", ")}]}}
    steps: [{run: "sleep 60"}]
`;

const what = `${perSecond} webhooks per second while ${runs * cells} JobRuns run`;

export const webhooks: Bench = {
  name: "webhooks",
  pairs: 5,
  questions: [
    { what: `${what}: durable and answered, p99`, time: "answered", target: { most: 25 } },
    { what: `${what}: delay of the server's event loop, p99`, time: "delay", target: { most: 50 } },
    { what: `${what}: CPU of the server`, time: "cpu", unit: "%" },
  ],
  prepare: async (context) => {
    const folder = join(context.directory, context.newName("webhooks"));
    await mkdir(folder);
    await writeFile(join(folder, "secret"), secret);
    const gitea = { url: "http://127.0.0.1:9", tokenFile: "secret", webhookSecretFiles: ["secret"] };
    await writeFile(join(folder, "config.yml"), JSON.stringify({ forges: [{ name: "bench", gitea }] }));
    const runners = new Map<string, PlayedRunner>();
    const server = await BenchServer.start(
      context,
      { executor: "held", config: join(folder, "config.yml"), jobsAtOnce: runs * cells },
      (held) => runners.set(held.attempt, new PlayedRunner(held)),
    );
    const close = async () => {
      for (const runner of runners.values()) runner.close();
      await server.close();
    };
    for (let i = 0; i < runs; i++) await server.createRun(workflow);
    await waitFor("all runners", () => (runners.size === runs * cells ? true : undefined), { timeoutMs: 60_000, pollMs: 100 });
    await Promise.all([...runners.values()].map(async (runner) => await runner.begun));
    const agent = new Agent({ keepAlive: true });
    return {
      close: async () => {
        agent.destroy();
        await close();
      },
      sides: [
        {
          name: ours,
          run: async () => {
            const before = await server.reset();
            const from = performance.now();
            const answers: Promise<number>[] = [];
            for (let sent = 0; sent < perSecond * seconds; sent++) {
              const waitMs = from + (sent * 1000) / perSecond - performance.now();
              if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
              answers.push(send(`${server.url}/webhooks/bench`, agent));
            }
            const times = await Promise.all(answers);
            const passed = performance.now() - from;
            const after = await server.use();
            return { answered: quantile(times, 0.99), delay: after.delayP99Ms, cpu: ((after.cpuMs - before.cpuMs) / passed) * 100 };
          },
        },
      ],
    };
  },
};

/** The deletion of a branch, with the 8 KB that Gitea sends with it: read and handled like any push. Of its repository nothing else was told, so that it starts nothing. */
const body = Buffer.from(
  JSON.stringify({
    ref: "refs/heads/gone",
    before: "1".repeat(40),
    after: "0".repeat(40),
    commits: [],
    repository: { id: 1, full_name: "bench/bench", name: "bench", owner: { id: 1, login: "bench" }, default_branch: "main" },
    pusher: { id: 1, login: "bench" },
    sender: { id: 1, login: "bench", full_name: "x".repeat(7_500) },
  }),
);
const signature = createHmac("sha256", secret).update(body).digest("hex");

/** @returns milliseconds until it was answered. */
async function send(url: string, agent: Agent): Promise<number> {
  const from = performance.now();
  const headers = {
    "content-type": "application/json",
    "content-length": body.length,
    "x-gitea-delivery": randomUUID(),
    "x-gitea-event": "push",
    "x-gitea-signature": signature,
  };
  return await new Promise((resolve, reject) => {
    const sent = request(url, { method: "POST", agent, headers }, (answer) => {
      answer.resume();
      answer.once("end", () => {
        if (answer.statusCode === 202) resolve(performance.now() - from);
        else reject(new Error(`a webhook was answered with ${answer.statusCode}`));
      });
    });
    sent.once("error", reject);
    sent.end(body);
  });
}
