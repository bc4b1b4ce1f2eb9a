/**
 * Four and eight kind clusters at once, and their deletion: is the host's time used as well as kind alone uses it? And what does a
 * run of four jobs, each with a cluster, add to four clusters, the jobs' script in each, and their deletion?
 */
import { join } from "node:path";
import { ours, type Bench, type Question, type Side } from "./support/bench.ts";
import { type BenchContext, timed } from "./support/context.ts";
import { declare, removeDeclaredRemains } from "./support/declared.ts";
import { createPlain, deletePlain, newPlain, type PlainCluster, removePlainRemains } from "./support/kind.ts";
import { makeRepository } from "./support/repository.ts";

const plain = "`kind create cluster &`, then waiting";

const jobs = "`seatrial run`";

export const kind4: Bench = withRun(atOnce("kind-4", 4, 4), 4);
export const kind8: Bench = atOnce("kind-8", 8, 2);

/** What each job does in its cluster. */
const script = ["kubectl create configmap bench --from-literal=a=b", "kubectl get nodes,pods --all-namespaces"];

/** The same benchmark, with a run as a third side. */
function withRun(bench: Bench, count: number): Bench {
  const question: Question = {
    what: `\`seatrial run\` of ${count} jobs, each with a kind cluster and a script, to the end`,
    of: jobs,
    time: "whole",
    against: plain,
    target: { ratio: 1.05 },
  };
  return {
    ...bench,
    questions: [...bench.questions, question],
    prepare: async (context) => {
      const prepared = await bench.prepare(context);
      return "reason" in prepared ? prepared : { ...prepared, sides: [...prepared.sides, await runSide(context, count)] };
    },
  };
}

async function runSide(context: BenchContext, count: number): Promise<Side> {
  const folder = join(context.directory, context.newName("repository"));
  const workflow = `name: clusters
on: push
jobs:
  test:
    strategy: {matrix: {cell: [${Array.from({ length: count }, (_, i) => i).join(", ")}]}}
    cluster: {provider: kind}
    steps:
${script.map((line) => `      - run: ${line}`).join("\n")}
`;
  const warm = `name: warm\non: push\njobs: {test: {steps: [{run: "true"}]}}\n`;
  await makeRepository(context, folder, { ".seatrial/clusters.yml": workflow, ".seatrial/warm.yml": warm });
  const runWorkflow = async (name: string) => await context.seatrial(["run", name], {}, undefined, undefined, folder);
  await runWorkflow("warm"); // The image for runners is made once for a Docker host.
  const whole = async () => await runWorkflow("clusters");
  return { name: jobs, run: async () => ({ whole: await timed(whole) }) };
}

async function runScript(context: BenchContext, { kubeconfig }: PlainCluster): Promise<void> {
  for (const line of script) await context.run(context.program("kubectl"), line.split(" ").slice(1), { KUBECONFIG: kubeconfig });
}

function atOnce(name: string, count: number, pairs: number): Bench {
  return {
    name,
    pairs,
    questions: [
      { what: `${count} kind clusters at once, to Ready`, time: "boot", against: plain, target: { ratio: 1.0 } },
      { what: `delete of ${count} kind clusters`, time: "delete", against: plain, target: { ratio: 1.0 } },
    ],
    prepare: async (context) => {
      context.atEnd(async () => await removePlainRemains(context));
      context.atEnd(async () => await removeDeclaredRemains(context));
      return {
        sides: [
          {
            name: ours,
            run: async () => {
              const { file } = await declare(context, count, false);
              const boot = await timed(async () => await context.seatrial(["apply", "-f", file]));
              return { boot, delete: await timed(async () => await context.seatrial(["delete", "-f", file])) };
            },
          },
          {
            name: plain,
            run: async () => {
              const clusters = Array.from({ length: count }, () => newPlain(context));
              const boots = clusters.map(async (cluster) => await createPlain(context, cluster));
              const scripts = Promise.all(
                boots.map(async (boot, i) => {
                  await boot;
                  await runScript(context, clusters[i]!);
                }),
              );
              scripts.catch(() => {}); // A boot that fails is told of first.
              const from = performance.now();
              const boot = await timed(async () => await Promise.all(boots));
              await scripts;
              const ran = performance.now() - from;
              const deleted = await timed(async () => await deletePlain(context, clusters));
              return { boot, delete: deleted, whole: ran + deleted };
            },
          },
        ],
      };
    },
  };
}
