/** A lock document that tests begin with. */
import { type LockDocument, lockDocumentSchema } from "../lock-document.ts";

const id = "a".repeat(40);

export const exampleLock: LockDocument = lockDocumentSchema.parse({
  version: 1,
  origin: {
    run: "run-1",
    jobRun: "run-1-e2e-0",
    attempt: 1,
    source: {
      forge: "local",
      repository: { id: "1", name: "owner/project" },
      event: "push",
      ref: "refs/heads/main",
      base: { ref: "main", sha: id },
      commit: id,
      lane: "trusted",
    },
  },
  source: { event: "push", ref: "refs/heads/main", tree: id, base: id, heads: [] },
  workflow: { path: ".seatrial/ci.yml", name: "ci", digest: `sha256:${"0".repeat(64)}` },
  job: {
    job: "e2e",
    name: "e2e (v1.36)",
    cell: '{"k8s":"v1.36","suite":"deep"}',
    steps: [{ run: "make test" }],
    labels: ["ubuntu-latest"],
  },
  place: { executor: "host", platform: "linux/amd64", env: { TZ: "UTC" }, tools: { git: "2.39.5", seatrial: "0.1.0" } },
  clusters: [
    {
      name: "cluster",
      spec: { provider: "bare", kubernetesVersion: "v1.36.3" },
      programs: { etcd: "v3.6.8" },
      images: {},
    },
  ],
  actions: {},
  images: {},
  artifacts: {},
  vars: { REGION: "eu" },
  secrets: [],
  unpinned: [],
});
