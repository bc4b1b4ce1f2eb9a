/** Steps that make a cluster become one of the job: from the file to what a cell of the job asks for. */
import { describe, expect, test } from "vitest";
import { InvalidError, SeatrialError } from "../../base/errors.ts";
import { decideJob } from "../plan/decide.ts";
import { readFollowing, readWorkflow } from "./read.ts";

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

  test.each<[string, string, string, object[]]>([
    [
      "a node image whole, with its digest",
      "helm/kind-action@v1, with: {node_image: '${{ matrix.v }}'}",
      `['kindest/node:v1.36.3@sha256:${"a".repeat(64)}', '']`,
      [{ kubernetesVersion: "v1.36.3" }, {}],
    ],
    [
      "a tag with its digest",
      "helm/kind-action@v1, with: {node_image: 'kindest/node:${{ matrix.v }}'}",
      `['v1.35.4@sha256:${"a".repeat(64)}', v1.36.3]`,
      [{ kubernetesVersion: "v1.35.4" }, { kubernetesVersion: "v1.36.3" }],
    ],
    [
      "a version without its v, and none",
      "medyagh/setup-minikube@v1, with: {kubernetes-version: '${{ matrix.v }}'}",
      "[1.36.3, stable]",
      [{ kubernetesVersion: "v1.36.3" }, {}],
    ],
  ])("of a matrix: %s", (_, uses, values, specs) => {
    const text = workflow(`      - {uses: ${uses}}\n`, `strategy: {matrix: {v: ${values}}}`);
    expect([clustersOf(text, 0), clustersOf(text, 1)]).toEqual(
      specs.map((spec) => [{ name: "cluster", spec: { provider: "kind", ...spec } }]),
    );
  });

  test("of a matrix that names another image, each cell says so", () => {
    const text = workflow(
      "      - {uses: helm/kind-action@v1, with: {node_image: '${{ matrix.v }}'}}\n",
      "strategy: {matrix: {v: [my/node:v1]}}",
    );
    expect(clustersOf(text)).toEqual({ kind: "invalid", message: expect.stringContaining("must be vX.Y") });
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

  test("a condition of the step, which the cluster does not wait for", () => {
    const text = workflow("      - {uses: helm/kind-action@v1, if: github.ref == 'refs/heads/main'}\n");
    expect(clustersOf(text)).toEqual([{ name: "cluster", spec: { provider: "kind" } }]);
    expect(readWorkflow(text, "f.yml").notices.map(({ path, message }) => `${path}: ${message}`)).toEqual([
      "jobs.a.steps[0].if: the cluster is made before the first step all the same; give the job the condition where it need not be",
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
    "a file that is not there",
    workflow("      - {uses: helm/kind-action@v1, with: {config: kind.yaml}}\n"),
    "6 jobs.a.steps[0].with.config: there is no file kind.yaml; the cluster is made before the first step, which cannot write it",
  ],
  ...["/etc/passwd", "../kind.yaml", "a/../../b", "${{ env.FILE }}"].map((file): [string, string, string] => [
    `the file ${file}`,
    workflow(`      - {uses: helm/kind-action@v1, with: {config: "${file}"}}\n`),
    `6 jobs.a.steps[0].with.config: "${file}" is not supported: the file is read before the first step, and must be named by its path in the repository`,
  ]),
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

describe("a file of kind's configuration", () => {
  const text = workflow("      - {uses: helm/kind-action@v1, with: {config: ./ci/kind.yaml, cluster_name: demo}}\n");
  const read = (config: string) => readWorkflow(text, "f.yml", [], new Map([["./ci/kind.yaml", config]]));

  test("is part of what the workflow is made of, and of the cluster; the name is that of the step", () => {
    const workflowRead = read(
      "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nname: other\nnodes: [{role: control-plane}, {role: worker}]\nnetworking: {disableDefaultCNI: false}\n",
    );
    expect(workflowRead.calls).toEqual(["./ci/kind.yaml"]);
    const status = { isSuccess: true, isFailure: false, isCancelled: false };
    const decision = decideJob(workflowRead, "a", { github: {}, vars: {}, needs: {} }, status);
    expect(decision.kind === "run" && decision.cells[0]!.clusters).toEqual([
      {
        name: "demo",
        spec: {
          provider: "kind",
          kind: {
            config: {
              kind: "Cluster",
              apiVersion: "kind.x-k8s.io/v1alpha4",
              nodes: [{ role: "control-plane" }, { role: "worker" }],
              networking: { disableDefaultCNI: false },
            },
          },
        },
      },
    ]);
  });

  test("is judged with its own lines", () => {
    expect(() => read("kind: Cluster\nnods: []\nkind: Cluster\nnodes: [{role: boss}]\n")).toThrow(
      /^ci\/kind\.yaml:2:1: .*nods.*is not a known (?:key|field).*\nci\/kind\.yaml:3:1: the key is there twice\nci\/kind\.yaml:4:16: .*role/,
    );
  });

  test("is fetched where it is not among the texts", async () => {
    const fetched: string[] = [];
    const found = await readFollowing(text, "f.yml", [], new Map(), async (uses) => {
      fetched.push(uses);
      return await Promise.resolve("kind: Cluster\n");
    });
    expect([fetched, found.problems, [...found.files.keys()]]).toEqual([["./ci/kind.yaml"], [], ["./ci/kind.yaml"]]);
    const none = await readFollowing(text, "f.yml", [], new Map(), async () => {
      throw await Promise.resolve(new SeatrialError("not-found", "there is no file ci/kind.yaml"));
    });
    expect(none.problems.map(({ message }) => message)).toEqual([
      "there is no file ci/kind.yaml; the cluster is made before the first step, which cannot write it",
    ]);
  });
});
