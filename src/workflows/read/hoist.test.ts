/** Steps that make a cluster become one of the job: from the file to what a cell of the job asks for. */
import { describe, expect, test } from "vitest";
import { InvalidError } from "../../base/errors.ts";
import { decideJob } from "../plan/decide.ts";
import { readWorkflow } from "./read.ts";

const workflow = (steps: string, job = "") => `on: push\njobs:\n  a:\n    ${job || "timeout-minutes: 5"}\n    steps:\n${steps}`;

function clustersOf(text: string, index = 0): unknown {
  const status = { isSuccess: true, isFailure: false, isCancelled: false };
  const decision = decideJob(readWorkflow(text, "f.yml"), "a", { github: {}, vars: { DOMAIN: "test.local" }, needs: {} }, status);
  return decision.kind === "run" ? decision.cells[index]!.clusters : decision;
}

function problemsOf(text: string): string[] {
  try {
    readWorkflow(text, "f.yml");
    return [];
  } catch (error) {
    if (error instanceof InvalidError) return error.problems.map(({ place, path, message }) => `${place!.line} ${path}: ${message}`);
    throw error;
  }
}

describe("what it becomes", () => {
  test.each<[name: string, step: string, clusters: object[]]>([
    ["kind-action alone", "{uses: helm/kind-action@v1}", [{ name: "cluster", spec: { provider: "kind" } }]],
    [
      "its node image, which says a version",
      "{uses: helm/kind-action@v1, with: {node_image: 'kindest/node:v1.36.3@sha256:" +
        "a".repeat(64) +
        "', cluster_name: My Cluster, wait: 60s}}",
      [{ name: "my-cluster", spec: { provider: "kind", kubernetesVersion: "v1.36.3" } }],
    ],
    [
      "minikube",
      "{uses: medyagh/setup-minikube@latest, with: {kubernetes-version: 1.36.3, nodes: 2, feature-gates: 'A=true,B=false', driver: docker}}",
      [{ name: "cluster", spec: { provider: "kind", kubernetesVersion: "v1.36.3", nodes: 2, featureGates: { A: true, B: false } } }],
    ],
    [
      "minikube's newest",
      "{uses: medyagh/setup-minikube@latest, with: {kubernetes-version: stable}}",
      [{ name: "cluster", spec: { provider: "kind" } }],
    ],
    [
      "our own",
      "{uses: seatrial/seatrial@v1, with: {provider: bare, kubernetes-version: v1.36, cluster-domain: '${{ vars.DOMAIN }}', name: second}}",
      [{ name: "second", spec: { provider: "bare", kubernetesVersion: "v1.36", clusterDomain: "test.local" } }],
    ],
  ])("%s", (_, step, clusters) => {
    expect(clustersOf(workflow(`      - run: x\n      - ${step}\n`))).toEqual(clusters);
  });

  test("of each cell its own", () => {
    const text = workflow(
      "      - {uses: helm/kind-action@v1, with: {node_image: 'kindest/node:${{ matrix.k8s }}'}}\n",
      "strategy: {matrix: {k8s: [v1.36.3, v1.35.4]}}",
    );
    expect([clustersOf(text, 0), clustersOf(text, 1)]).toEqual(
      ["v1.36.3", "v1.35.4"].map((kubernetesVersion) => [{ name: "cluster", spec: { provider: "kind", kubernetesVersion } }]),
    );
  });

  test("two of them, beside one of the job's own", () => {
    const step = (name: string) => `      - {uses: seatrial/seatrial@v1, with: {name: ${name}}}\n`;
    expect(clustersOf(workflow(step("east") + step("west"), "cluster: {provider: bare}"))).toMatchObject([
      { name: "cluster" },
      { name: "east" },
      { name: "west" },
    ]);
  });

  test("the digest of a node image is said to be left out", () => {
    const image = `kindest/node:v1.36.3@sha256:${"a".repeat(64)}`;
    const { notices } = readWorkflow(workflow(`      - {uses: helm/kind-action@v1, with: {node_image: '${image}'}}\n`), "f.yml");
    expect(notices.map(({ path, message }) => `${path}: ${message}`)).toEqual([
      "jobs.a.steps[0].with.node_image: helm/kind-action: input node_image: its digest is ignored: the node image is the server's, of that version",
    ]);
  });

  test("what means nothing here is a notice", () => {
    const { notices } = readWorkflow(workflow("      - {uses: helm/kind-action@v1, with: {wait: 60s, verbosity: ''}}\n"), "f.yml");
    expect(notices.map(({ place, path, message }) => `${place!.line} ${path}: ${message}`)).toEqual([
      "6 jobs.a.steps[0].with.wait: helm/kind-action: input wait is ignored: the cluster is Ready before the first step",
    ]);
  });
});

test.each<[name: string, text: string, problem: string]>([
  [
    "a condition",
    workflow("      - {uses: helm/kind-action@v1, if: always()}\n"),
    "6 jobs.a.steps[0].if: cannot stand here: the cluster is made before the first step; give the job the condition, or use `cluster` in the job",
  ],
  [
    "what only steps know",
    workflow("      - {uses: helm/kind-action@v1, with: {node_image: 'kindest/node:${{ env.K8S }}'}}\n"),
    "6 jobs.a.steps[0].with.kubernetesVersion: context env is not available here; there are: github, inputs, vars, needs, strategy, matrix",
  ],
  [
    "another image",
    workflow("      - {uses: helm/kind-action@v1, with: {node_image: my/node:v1}}\n"),
    '6 jobs.a.steps[0].with.node_image: "my/node:v1" is not supported: kindest/node:VERSION says a version; other images go into `cluster` of the job, as kind.config.nodes[].image',
  ],
  [
    "a file",
    workflow("      - {uses: helm/kind-action@v1, with: {config: kind.yaml}}\n"),
    "6 jobs.a.steps[0].with.config: is not supported: the file is not read; write it as `cluster: {kind: {config: …}}` in the job",
  ],
  [
    "two of one name",
    workflow("      - uses: helm/kind-action@v1\n", "cluster: {provider: kind}"),
    "6 jobs.a: has two clusters of the name cluster: one of them comes from this step",
  ],
  [
    "a version that is none",
    workflow("      - {uses: seatrial/seatrial@v1, with: {kubernetes-version: new}}\n"),
    '6 jobs.a.steps[0].with.kubernetesVersion: must be vX.Y (the newest patch to be had) or vX.Y.Z (that one), and is "new"',
  ],
  [
    "gates that are none",
    workflow("      - {uses: medyagh/setup-minikube@latest, with: {feature-gates: all}}\n"),
    '6 jobs.a.steps[0].with.feature-gates: "all" is not understood: write NAME=true,OTHER=false',
  ],
])("%s is refused", (_, text, problem) => {
  expect(problemsOf(text)).toEqual([problem]);
});
