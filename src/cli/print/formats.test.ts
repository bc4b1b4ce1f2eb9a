import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { type Format, jsonPathFromGo, nameOf, parseFormat, type Printable, printObjects } from "./formats.ts";
import { kyaml } from "./kyaml.ts";

const options = { readFile: (path: string) => `{.kind} from ${path}` };
const cluster: Printable & { spec: unknown } = {
  kind: "Cluster",
  apiVersion: "seatrial.dev/v1alpha1",
  metadata: { name: "x" },
  spec: {
    nodes: 2,
    n: "yes",
    items: [
      { a: 1, s: "true" },
      { l: [], m: {} },
    ],
    list: ["a"],
    text: "a\n b\n",
    port: "1",
  },
};
const print = (format: string, objects: Printable[] = [cluster]) => printObjects(objects, parseFormat(format, options));

test("yaml", () => {
  expect(print("yaml")).toBe(`apiVersion: seatrial.dev/v1alpha1
kind: Cluster
metadata:
  name: x
spec:
  items:
  - a: 1
    s: "true"
  - l: []
    m: {}
  list:
  - a
  "n": "yes"
  nodes: 2
  port: "1"
  text: |
    a
     b
`);
});

test("kyaml", () => {
  expect(print("kyaml")).toBe(`---
{
  apiVersion: "seatrial.dev/v1alpha1",
  kind: "Cluster",
  metadata: {
    name: "x",
  },
  spec: {
    items: [{
      a: 1,
      s: "true",
    }, {
      l: [],
      m: {},
    }],
    list: [
      "a",
    ],
    "n": "yes",
    nodes: 2,
    port: "1",
    text: "\\
       a\\n\\
      \\ b\\n\\
      ",
  },
}
`);
});

test("json", () => {
  expect(print("json", [{ kind: "A<B>", apiVersion: "v1" }])).toBe('{\n    "apiVersion": "v1",\n    "kind": "A\\u003cB\\u003e"\n}\n');
});

test("name", () => {
  expect(print("name", [cluster, { apiVersion: "ctlptl.dev/v1alpha1", kind: "Registry", name: "r" }])).toBe(
    "cluster.seatrial.dev/x\nregistry.ctlptl.dev/r\n",
  );
  expect(nameOf({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" } })).toBe("configmap/c");
});

test("several are one List, as kubectl's; ctlptl's are named after their items", () => {
  expect(parse(print("json", []))).toEqual({ apiVersion: "v1", kind: "List", items: [], metadata: { resourceVersion: "" } });
  expect(print("jsonpath={.kind} {.items[*].metadata.name}", [cluster, cluster])).toBe("List x x");
  const theirs = { apiVersion: "ctlptl.dev/v1alpha1", kind: "Cluster", name: "kind-kind" };
  expect(print("jsonpath={.apiVersion} {.kind} {.items[*].name}", [theirs, theirs])).toBe(
    "ctlptl.dev/v1alpha1 ClusterList kind-kind kind-kind",
  );
  expect(printObjects([theirs], parseFormat("jsonpath={.kind}", options), { list: true })).toBe("ClusterList");
});

describe("-o", () => {
  test.each<[string, string, string | undefined]>([
    ["jsonpath={.kind}", "Cluster", undefined],
    ["jsonpath={.spec.items[?(@.a==1)].s}", "true", undefined],
    ["jsonpath", "x", "{.metadata.name}"],
    ["jsonpath-file=t.txt", "Cluster from t.txt", undefined],
    ["jsonpath-as-json={.kind}", '[\n    "Cluster"\n]\n', undefined],
  ])("%s", (format, expected, template) => {
    expect(printObjects([cluster], parseFormat(format, { ...options, template }))).toBe(expected);
  });

  test.each([
    ["wide", "-o wide: not a format that is known", "one of json, yaml"],
    ["json=x", "-o json=x: not a format that is known", "one of json, yaml"],
    ["jsonpath", "-o jsonpath needs a template", "-o jsonpath='{.metadata.name}'"],
    ["go-template={{.status.x}}", "-o go-template is not supported, use jsonpath", "-o jsonpath='{.status.x}'"],
    ["go-template-file=f", "-o go-template-file is not supported, use jsonpath", "https://kubernetes.io/docs/reference/kubectl/jsonpath/"],
    ["template", "-o template is not supported, use jsonpath", "https://kubernetes.io/docs/reference/kubectl/jsonpath/"],
  ])("%s is refused", (format, message, hint) => {
    const refusal = (): Format => parseFormat(format, options);
    expect(refusal).toThrow(expect.objectContaining({ code: "usage", message, hint: expect.stringContaining(hint) }));
  });
});

test.each([
  ["{{.status.localRegistryHosting.host}}", "{.status.localRegistryHosting.host}"],
  ['{{range .items}}{{.name}}{{"\\n"}}{{end}}', '{range .items[*]}{.name}{"\\n"}{end}'],
  ["{{- . -}}", "{@}"],
  ["{{if .a}}x{{end}}", undefined],
  ["", undefined],
])("%s in jsonpath is %s", (go, expected) => {
  expect(jsonPathFromGo(go)).toBe(expected);
});

test("any value can be read back from its YAML and KYAML", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), fc.string({ unit: "binary" }), (value, text) => {
      // -0 is 0 in both: nobody's replicas.
      const object = JSON.parse(JSON.stringify({ value, [text]: text })) as Record<string, unknown>;
      expect(parse(kyaml(object))).toEqual(object);
      expect(parse(printObjects([object as Printable], { type: "yaml" }))).toEqual(object);
    }),
    { numRuns: 500, examples: [[0, "\n\v\n\u00a0"]] },
  );
});
