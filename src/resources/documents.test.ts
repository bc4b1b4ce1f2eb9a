import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { InvalidError } from "../base/errors.ts";
import { loadDocuments } from "./documents.ts";

const testdata = new URL("testdata/", import.meta.url);
const read = (name: string) => readFileSync(new URL(name, testdata), "utf8");

function problemsOf(text: string): string {
  try {
    loadDocuments(text, "f.yaml");
    return "";
  } catch (error) {
    if (error instanceof InvalidError) return error.message;
    throw error;
  }
}

describe("files that are wrong: every problem, in the order of the file", () => {
  const files = readdirSync(testdata).filter((name) => /^invalid-.*\.yaml$/.test(name));
  test.each(files)("%s", (name) => {
    expect(() => loadDocuments(read(name), name)).toThrow(InvalidError);
    const expected = read(name.replace(".yaml", ".txt")).trimEnd().split("\n");
    try {
      loadDocuments(read(name), name);
    } catch (error) {
      expect((error as Error).message.split("\n")).toEqual(expected);
    }
  });

  test("no message quotes a password", () => {
    for (const name of files) expect(read(name.replace(".yaml", ".txt"))).not.toContain("hunter2");
  });
});

test("ctlptl's documents, with what its reader forgives", () => {
  const loaded = loadDocuments(read("valid-ctlptl.yaml"), "f.yaml");
  expect(loaded.map(({ kind, origin, resource, place }) => [kind, origin, resource.metadata.name, place.line])).toEqual([
    ["Registry", "ctlptl", "ctlptl-registry", 2],
    ["Cluster", "ctlptl", "my-cluster", 10],
    ["Cluster", "ctlptl", "second", 32],
  ]);
  expect(loaded[0]!.resource.spec).toEqual({ port: 5002, listenAddress: "127.0.0.1" });
  expect(loaded[1]!.resource.metadata.annotations).toEqual({
    "seatrial.dev/source": "ctlptl.dev/v1alpha1",
    "seatrial.dev/ctlptl-kubernetes-version": "v1.34.0",
  });
  expect(loaded[1]!.resource.spec).toEqual({
    provider: "kind",
    kubernetesVersion: "v1.34",
    registry: "ctlptl-registry",
    registryAuths: [{ host: "docker.io", endpoint: "https://registry-1.docker.io", username: "$DOCKER_USER", password: "${DOCKER_TOKEN}" }],
    kind: {
      config: {
        runtimeConfig: { "api/alpha": "true" },
        nodes: [{ role: "control-plane" }, { role: "worker" }, { role: "worker", labels: { zone: "1" } }],
      },
      extraCreateArguments: ["--wait=2m"],
    },
  });
});

test("our own documents, YAML and JSON; a status is left out", () => {
  const loaded = loadDocuments(read("valid-seatrial.yaml"), "f.yaml");
  expect(loaded.map(({ kind, origin, resource }) => `${origin} ${kind} ${resource.metadata.name}`)).toEqual([
    "seatrial Cluster demo",
    "seatrial Registry demo-registry",
    "seatrial Cluster small",
  ]);
  expect(loaded[1]!.resource.spec).toEqual({});
  expect(loaded[2]!.resource).not.toHaveProperty("status");
});

const registry = (rest: string) => `apiVersion: seatrial.dev/v1alpha1\nkind: Registry\n${rest}`;
const bomb = [
  "a: &a [x, x, x, x, x, x, x, x, x, x]",
  ...["b", "c", "d", "e", "f"].map((key, i) => `${key}: &${key} [${Array(10).fill(`*${"abcdef"[i]}`).join(", ")}]`),
].join("\n");

test.each([
  ["an empty file", "", ""],
  ["comments and separators alone", "---\n# nothing\n---\n---\n", ""],
  ["Windows line ends", registry("metadata:\r\n  name: a\r\n"), ""],
  ["an alias bomb", bomb, "f.yaml:1:1: its aliases expand to more than a document of ours can need"],
  ["nesting without end", "[".repeat(50_000), expect.stringMatching(/^f\.yaml:1:\d+: is nested too deeply$/)],
  ["a file that is too large", "a".repeat(5_000_000), "f.yaml:1:1: is larger than 4 MiB"],
  ["a key of the prototype", registry("metadata: {name: a, __proto__: {x: 1}}"), "f.yaml:3:21: metadata.__proto__: is not a known field"],
  ["a key that is no string", "? [a]\n: b", expect.stringContaining("all keys must be strings")],
  ["a tab", "\t- a", "f.yaml:1:1: Tabs are not allowed as indentation"],
  ["a required field that is empty", registry("metadata:\n"), "f.yaml:3:1: metadata: is required"],
  ["an empty field that is not required", registry("metadata: {name: a, labels: }\nspec:\n  port:\n"), ""],
  [
    "an unknown field that is empty",
    registry("metadata: {name: a}\nspec:\n  prot:\n"),
    "f.yaml:5:3: spec.prot: is not a known field, did you mean port?",
  ],
  [
    "a registry that no image reference can name",
    registry("metadata: {name: my_registry}"),
    'f.yaml:3:18: metadata.name: "my_registry" must be a host name, as nodes pull from it: parts of letters, digits and "-" with "." between them, each of which begins and ends with a letter or digit',
  ],
  ["a registry whose name ends in no letter", registry("metadata: {name: a.b-}"), expect.stringContaining('"a.b-" must be a host name')],
  ["a registry with a domain", registry("metadata: {name: Registry-1.example.com}"), ""],
  ["the same name in ctlptl's document, which makes it", "apiVersion: ctlptl.dev/v1alpha1\nkind: Registry\nname: my_registry\n", ""],
  [
    "a registry of a cluster that would be a path",
    "apiVersion: seatrial.dev/v1alpha1\nkind: Cluster\nmetadata: {name: a}\nspec: {provider: kind, registry: ../../x}\n",
    expect.stringContaining('f.yaml:4:34: spec.registry: "../../x" must be made of letters'),
  ],
  ["a field without a neighbour", registry("metadata: {name: a}\nspec:\n  zzz: 1\n"), "f.yaml:5:3: spec.zzz: is not a known field"],
  [
    "a merged value",
    `${registry("metadata: {name: a}\nspec:\n  <<: {port: 70000}\n")}`,
    "f.yaml:5:14: spec.port: must be a port: 0 to 65535",
  ],
  [
    "a mistake behind an alias",
    registry("metadata: {name: a, labels: {b: &b 1}}\nspec: {image: *b}\n"),
    expect.stringContaining("f.yaml:4:15: spec.image: must be a string"),
  ],
])("%s", (_, text, expected) => {
  expect(problemsOf(text)).toEqual(expected);
});
