import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson, compareLocks, fingerprintOf, type LockDocument } from "./lock-document.ts";
import { exampleLock } from "./testdata/lock.ts";

function changed(change: (lock: LockDocument) => void): LockDocument {
  const lock = structuredClone(exampleLock);
  change(lock);
  return lock;
}

describe("two lock documents", () => {
  const cases: { name: string; change: (lock: LockDocument) => void; paths: string[] }[] = [
    { name: "a tool", change: (lock) => (lock.place.tools["git"] = "2.47.0"), paths: ["place.tools.git"] },
    { name: "a tool that is not there", change: (lock) => delete lock.place.tools["git"], paths: ["place.tools.git"] },
    { name: "an image", change: (lock) => (lock.place.image = `node@sha256:${"1".repeat(64)}`), paths: ["place.image"] },
    {
      name: "the version of a cluster",
      change: (lock) => (lock.clusters[0]!.spec.kubernetesVersion = "v1.36.4"),
      paths: ["clusters[0].spec.kubernetesVersion"],
    },
    {
      name: "a program of a cluster",
      change: (lock) => (lock.clusters[0]!.programs["etcd"] = "v3.6.9"),
      paths: ["clusters[0].programs.etcd"],
    },
    { name: "one key of the cell", change: (lock) => (lock.job.cell = '{"k8s":"v1.35","suite":"deep"}'), paths: ["job.cell.k8s"] },
    { name: "the cell's order", change: (lock) => (lock.job.cell = '{"suite":"deep","k8s":"v1.36"}'), paths: ["job.cell"] },
    { name: "a step", change: (lock) => (lock.job.steps[0]!.run = "make check"), paths: ["job.steps[0].run"] },
    { name: "one step more", change: (lock) => lock.job.steps.push({ run: "date" }), paths: ["job.steps[1]"] },
    {
      name: "two things",
      change: (lock) => {
        lock.vars["REGION"] = "us";
        lock.source.tree = "b".repeat(40);
      },
      paths: ["source.tree", "vars.REGION"],
    },
  ];
  test.each(cases)("differ in $name, and in nothing else", ({ change, paths }) => {
    const other = changed(change);
    const compared = compareLocks(exampleLock, other);
    expect(compared.differences.map(({ path }) => path)).toEqual(paths);
    expect(compared.result).toBe("different");
    expect(fingerprintOf(other)).not.toBe(fingerprintOf(exampleLock));
  });

  const digest = (name: string, digit = "1") => `${name}@sha256:${digit.repeat(64)}`;
  const withImages = (image: string, images: Record<string, string>) =>
    changed((lock) => {
      lock.job = { ...lock.job, container: { image }, services: [{ name: "db", image: "postgres:18" }] };
      lock.job.steps.push({ uses: "docker://alpine:3" });
      lock.images = images;
    });
  const tagged = {
    "node:24": digest("node"),
    "postgres:18": digest("postgres"),
    "alpine:3": digest("alpine"),
    "in/action:1": digest("in/action"),
  };

  test("that name an image by tag and by its digest are equal", () => {
    const { "node:24": node, ...others } = tagged;
    expect(compareLocks(withImages("node:24", tagged), withImages(node, { ...others, [node]: node }))).toMatchObject({ result: "equal" });
  });

  test.each([
    ["of the job", { "node:24": digest("node", "2") }, "job.container.image"],
    ["of a service", { "postgres:18": digest("postgres", "2") }, "job.services[0].image"],
    ["of a step", { "alpine:3": digest("alpine", "2") }, "job.steps[1].uses"],
    ["of an action", { "in/action:1": digest("in/action", "2") }, 'images["in/action:1"]'],
    ["that is in no registry", { "node:24": `sha256:${"3".repeat(64)}` }, "job.container.image"],
  ])("differ in an image %s whose tag is the same", (_, change, path) => {
    const { differences } = compareLocks(withImages("node:24", tagged), withImages("node:24", { ...tagged, ...change }));
    expect(differences.map((each) => each.path)).toContain(path);
  });

  test("are equal wherever they ran", () => {
    const other = changed((lock) => (lock.origin = { ...lock.origin, run: "run-2", jobRun: "run-2-e2e-0", attempt: 3 }));
    expect(compareLocks(exampleLock, other)).toEqual({ result: "equal", differences: [], unpinned: [] });
    expect(fingerprintOf(other)).toBe(fingerprintOf(exampleLock));
  });

  test("with something unpinned are never called equal, and have equal fingerprints", () => {
    const other = changed((lock) => lock.unpinned.push("job.steps[0]: curl downloads"));
    expect(compareLocks(exampleLock, other)).toMatchObject({ result: "not-comparable", unpinned: ["job.steps[0]: curl downloads"] });
    expect(fingerprintOf(other)).toBe(fingerprintOf(exampleLock));
  });
});

test("the canonical form does not depend on the order in which fields were set, and holds all of them", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const reversed = (each: unknown): unknown => {
        if (Array.isArray(each)) return each.map(reversed);
        if (each === null || typeof each !== "object") return each;
        return Object.fromEntries(
          Object.entries(each)
            .toReversed()
            .map(([key, below]) => [key, reversed(below)]),
        );
      };
      expect(canonicalJson(reversed(value))).toBe(canonicalJson(value));
      expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});
