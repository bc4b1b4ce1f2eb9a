import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkCluster } from "./cluster.ts";
import {
  clusterFromCtlptl,
  clusterNameFromContext,
  type CtlptlCluster,
  ctlptlClusterSchema,
  ctlptlPath,
  type CtlptlRegistry,
  ctlptlRegistrySchema,
  isFromCtlptl,
  registryFromCtlptl,
  toCtlptl,
} from "./ctlptl.ts";

const head = { apiVersion: "ctlptl.dev/v1alpha1", kind: "Cluster" } as const;

describe("name of the converted cluster", () => {
  test.each([
    ["its own field", { name: "kind-foo" }, "foo"],
    ["its own field before kind's", { name: "kind-foo", kindV1Alpha4Cluster: { name: "bar" } }, "foo"],
    ["kind's field", { kindV1Alpha4Cluster: { name: "bar" } }, "bar"],
    ["none: kind's default", {}, "kind"],
    ["a name that begins with kind- itself", { name: "kind-kind-foo" }, "kind-foo"],
  ])("%s", (_, fields, expected) => {
    const cluster = clusterFromCtlptl({ ...head, product: "kind", ...fields });
    expect(cluster.metadata.name).toBe(expected);
    expect(toCtlptl(cluster)).toMatchObject({ name: `kind-${expected}` });
    expect(checkCluster(cluster)).toEqual([]);
    expect(isFromCtlptl(cluster)).toBe(true);
  });
});

test.each([
  ["kind", "kind"],
  ["kind-kind", "kind"],
  ["kind-foo", "foo"],
  ["foo", "foo"],
  ["kind-", "kind-"],
])("delete cluster %s means %s", (given, expected) => {
  expect(clusterNameFromContext(given)).toBe(expected);
});

test("only major and minor of the version count, and its text is kept", () => {
  const cluster = clusterFromCtlptl({ ...head, product: "kind", kubernetesVersion: "v1.34.2" });
  expect(cluster.spec.kubernetesVersion).toBe("v1.34");
  expect(toCtlptl(cluster)).toMatchObject({ kubernetesVersion: "v1.34.2" });
  // The annotation is only a memory of the text: the spec is what counts.
  cluster.spec.kubernetesVersion = "v1.35";
  expect(toCtlptl(cluster)).toMatchObject({ kubernetesVersion: "v1.35.0" });
});

test("a cluster without a status is shown with ctlptl's empty one", () => {
  expect(toCtlptl(clusterFromCtlptl({ ...head, product: "kind", kindV1Alpha4Cluster: {} }))).toEqual({
    ...head,
    name: "kind-kind",
    product: "kind",
    kindV1Alpha4Cluster: { name: "kind", networking: {} },
    status: { creationTimestamp: null },
  });
});

test("a registry's state is shown as State, as ctlptl does", () => {
  const shown = toCtlptl(registryFromCtlptl({ apiVersion: "ctlptl.dev/v1alpha1", kind: "Registry", status: { state: "running" } }));
  expect(shown).toEqual({
    apiVersion: "ctlptl.dev/v1alpha1",
    kind: "Registry",
    name: "ctlptl-registry",
    status: { creationTimestamp: null, State: "running" },
  });
});

test.each([
  [["metadata", "name"], ["name"]],
  [["spec", "provider"], ["product"]],
  [
    ["spec", "registryAuths", 0, "host"],
    ["registryAuths", 0, "host"],
  ],
  [
    ["spec", "kind", "config", "nodes", 1],
    ["kindV1Alpha4Cluster", "nodes", 1],
  ],
  [
    ["spec", "kind", "extraCreateArguments", 0],
    ["kindExtraCreateArguments", 0],
  ],
])("%j was %j in ctlptl's document", (ours, theirs) => {
  expect(ctlptlPath(ours)).toEqual(theirs);
});

// Strings that are not empty: Go, which ctlptl is written in, cannot tell an empty field from an absent one.
const word = fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/);
const words = fc.array(word, { minLength: 1, maxLength: 3 });
const wordMap = fc.dictionary(word, word, { minKeys: 1, maxKeys: 3 });
const optional = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(fields, { requiredKeys: [] });

const clusterDocument = fc.record(
  {
    apiVersion: fc.constant("ctlptl.dev/v1alpha1"),
    kind: fc.constant("Cluster"),
    product: fc.constant("kind"),
    name: word.map((name) => `kind-${name}`),
    registry: word,
    registryAuths: fc.array(
      fc.record({ host: word, endpoint: fc.webUrl(), username: word, password: word }, { requiredKeys: ["host", "endpoint"] }),
      { minLength: 1 },
    ),
    kubernetesVersion: fc.tuple(fc.nat(3), fc.nat(40), fc.nat(20)).map((numbers) => `v${numbers.join(".")}`),
    minCPUs: fc.integer({ min: 1, max: 64 }),
    kindV1Alpha4Cluster: optional({
      nodes: fc.array(optional({ role: fc.constantFrom("control-plane", "worker"), image: word, labels: wordMap }), { minLength: 1 }),
      networking: optional({ ipFamily: fc.constantFrom("ipv4", "dual"), disableDefaultCNI: fc.boolean() }),
      featureGates: fc.dictionary(word, fc.boolean()),
      runtimeConfig: wordMap,
      kubeadmConfigPatches: words,
      containerdConfigPatches: words,
    }),
    kindExtraCreateArguments: words,
    status: optional({
      creationTimestamp: fc.constant("2026-08-01T12:00:00Z"),
      localRegistryHosting: optional({ host: word, help: word }),
      cpus: fc.integer({ min: 1, max: 64 }),
      current: fc.constant(true),
      kubernetesVersion: word,
      error: word,
    }),
  },
  { requiredKeys: ["apiVersion", "kind", "product", "name"] },
);

const registryDocument = fc.record(
  {
    apiVersion: fc.constant("ctlptl.dev/v1alpha1"),
    kind: fc.constant("Registry"),
    name: word,
    listenAddress: fc.ipV4(),
    port: fc.integer({ min: 1, max: 65535 }),
    labels: wordMap,
    env: fc.array(
      fc.tuple(word, word).map((pair) => pair.join("=")),
      { minLength: 1 },
    ),
    image: word,
    status: optional({
      ipAddress: word,
      hostPort: fc.integer({ min: 1, max: 65535 }),
      networks: words,
      State: word,
      labels: wordMap,
      warnings: words,
    }),
  },
  { requiredKeys: ["apiVersion", "kind", "name"] },
);

describe("there and back, nothing is lost", () => {
  test("clusters", () => {
    fc.assert(
      fc.property(clusterDocument, (written) => {
        const document = ctlptlClusterSchema.parse(written) as CtlptlCluster;
        const shown = toCtlptl(clusterFromCtlptl(document));
        expect(shown).toMatchObject(document);
        // What is shown can be applied again, and is the same cluster.
        const again = ctlptlClusterSchema.parse(withoutNulls(shown)) as CtlptlCluster;
        expect(clusterFromCtlptl({ ...again, status: undefined })).toEqual(clusterFromCtlptl({ ...document, status: undefined }));
      }),
    );
  });

  test("registries", () => {
    fc.assert(
      fc.property(registryDocument, (written) => {
        const document = ctlptlRegistrySchema.parse(written) as CtlptlRegistry;
        const shown = toCtlptl(registryFromCtlptl(document));
        expect(shown).toMatchObject(document);
        const again = ctlptlRegistrySchema.parse(withoutNulls(shown)) as CtlptlRegistry;
        expect(registryFromCtlptl({ ...again, status: undefined })).toEqual(registryFromCtlptl({ ...document, status: undefined }));
      }),
    );
  });
});

/** As the loader does with empty fields. */
function withoutNulls(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value), (_, item: unknown) => (item === null ? undefined : item));
}
