import { describe, expect, test } from "vitest";
import type { LockDocument } from "../../resources/lock-document.ts";
import type { JobRunView } from "./job-run-views.ts";
import { planReproduction } from "./reproduction.ts";

const lock = {
  job: { job: "e2e", name: "e2e (deep)", cell: '{"suite":"deep"}', needs: ["build"], steps: [{ run: "make" }], labels: ["linux"] },
  images: {},
  clusters: [{ name: "cluster", spec: { provider: "bare", kubernetesVersion: "v1.36.3" }, programs: {}, images: {} }],
} as unknown as LockDocument;

function view(status: JobRunView["status"], spec: object = {}): JobRunView {
  return { metadata: { name: "run-e2e-0" }, spec: { ...spec } as JobRunView["spec"], ...(status ? { status } : {}) };
}

describe("the run of one job", () => {
  test("makes that job alone, with its clusters as they were", () => {
    const plan = planReproduction({ run: "run", lock, jobRuns: [] });
    expect(plan.create).toEqual([
      {
        name: "run-e2e-0",
        spec: { ...lock.job, clusters: [{ name: "cluster", spec: { provider: "bare", kubernetesVersion: "v1.36.3" } }] },
      },
    ]);
    expect(plan.status).toMatchObject({ phase: "Pending", total: 1 });
  });

  const cases: { name: string; view: JobRunView; abort?: string; expected: object }[] = [
    { name: "waits", view: view(undefined), expected: { abort: [], status: { phase: "Running", counts: { waiting: 1 }, total: 1 } } },
    {
      name: "runs",
      view: view({ phase: "Running" }),
      expected: { abort: [], status: { phase: "Running", counts: { running: 1 }, total: 1 } },
    },
    {
      name: "has failed",
      view: view({ phase: "Finished", verdict: "failed", message: "step 1 failed" }),
      expected: { abort: [], status: { phase: "Finished", verdict: "failed", message: "step 1 failed", counts: { failed: 1 }, total: 1 } },
    },
    {
      name: "is to end",
      view: view({ phase: "Running" }),
      abort: "Ctrl-C",
      expected: { abort: [{ name: "run-e2e-0", reason: "Ctrl-C" }], status: { phase: "Running" } },
    },
    { name: "was told to end", view: view({ phase: "Running" }, { abort: "Ctrl-C" }), abort: "Ctrl-C", expected: { abort: [] } },
  ];
  test.each(cases)("that $name", ({ view: jobRun, abort, expected }) => {
    const plan = planReproduction({ run: "run", lock, jobRuns: [jobRun], abort });
    expect(plan).toMatchObject({ create: [], again: [], ...expected });
  });

  test("that was ended before it was made", () => {
    expect(planReproduction({ run: "run", lock, jobRuns: [], abort: "Ctrl-C" })).toMatchObject({
      create: [],
      status: { phase: "Finished", verdict: "aborted", message: "Ctrl-C" },
    });
  });
});
