import { describe, expect, test } from "vitest";
import { z } from "zod";
import { formatProblem } from "../base/errors.ts";
import { type Cluster, clusterSchema, type ClusterSpec, contextNameOf, isVersionMet, validateCluster } from "./cluster.ts";
import { registrySchema } from "./registry.ts";

const cluster = (spec: ClusterSpec, name = "demo"): Cluster => ({
  apiVersion: "seatrial.dev/v1alpha1",
  kind: "Cluster",
  metadata: { name },
  spec,
});

// What is refused is in testdata/invalid-rules.yaml.
describe("allowed", () => {
  test.each<[string, ClusterSpec]>([
    ["kind with nothing else", { provider: "kind" }],
    [
      "a portable and a native field that agree",
      { provider: "kind", nodes: 2, kind: { config: { name: "demo", nodes: [{}, { role: "worker" }] } } },
    ],
    [
      "portable and native gates that do not meet",
      { provider: "kind", featureGates: { A: true }, kind: { config: { featureGates: { B: false } } } },
    ],
    ["bare with one node, which is its control plane", { provider: "bare", nodes: 1, registryAuths: [] }],
    ["another node image by argument", { provider: "kind", kind: { extraCreateArguments: ["--image=x"] } }],
  ])("%s", (_, spec) => {
    expect(validateCluster(cluster(spec)).map(formatProblem)).toEqual([]);
  });
});

test("problems of a cluster that was not read from a file have no place", () => {
  expect(validateCluster(cluster({ provider: "bare", nodes: 2 })).map(formatProblem)).toEqual([
    "spec.nodes: must be 1: provider bare runs the control plane alone, without nodes (bare.components: [kwok] plays them)",
  ]);
});

test.each([
  ["v1.36", "v1.36.3", true],
  ["v1.36", "v1.36.0-rc.1", true],
  ["v1.3", "v1.36.3", false],
  ["v1.36.3", "v1.36.3", true],
  ["v1.36.3", "v1.36.3+k3s1", true],
  ["v1.36.3", "v1.36.30", false],
  ["v1.36.3", "v1.36.3-rc.1", false],
])("asked for %s, %s runs: met is %s", (asked, running, expected) => {
  expect(isVersionMet(asked, running)).toBe(expected);
});

test("the context of a kind cluster is kind's", () => {
  expect(contextNameOf(cluster({ provider: "kind" }))).toBe("kind-demo");
});

describe.each([
  ["Cluster", clusterSchema],
  ["Registry", registrySchema],
])("schema of %s", (_, schema) => {
  const json = z.toJSONSchema(schema, { io: "input" }) as JsonSchema;

  test("says what each field is", () => {
    expect([...fieldsOf(json)].filter(({ schema: { description } }) => !description).map(({ path }) => path)).toEqual([]);
  });

  test("has no unions, which a CRD cannot hold", () => {
    expect(JSON.stringify(json)).not.toMatch(/"(anyOf|oneOf|allOf)"/);
  });
});

interface JsonSchema {
  description?: string;
  properties?: Record<string, JsonSchema>;
  items?: JsonSchema;
}

function* fieldsOf(schema: JsonSchema, path = ""): Generator<{ path: string; schema: JsonSchema }> {
  for (const [name, field] of Object.entries({ ...schema.properties, ...schema.items?.properties })) {
    yield { path: `${path}.${name}`, schema: field };
    yield* fieldsOf(field, `${path}.${name}`);
  }
}
