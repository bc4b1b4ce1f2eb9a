/**
 * A JSON Schema (draft 7) of workflow files, for editors: made from the table of keys, and of clusters from their own schema. It knows
 * keys and forms; what is in expressions, and how jobs hang together, only `seatrial check` can tell.
 */
import { z } from "zod";
import { clusterSpecSchema } from "../../resources/cluster.ts";
import { type Key, keys, refusalOf } from "./keys.ts";

export type JsonSchema = { [name: string]: unknown };

/** One key with those below it. */
interface KeyNode {
  key?: Key;
  names: Map<string, KeyNode>;
  /** Of any name: `<job_id>`. */
  any?: KeyNode;
  /** Of each item: `[*]`. */
  item?: KeyNode;
}

const text: JsonSchema = { type: ["string", "number", "boolean"] };
const expression: JsonSchema = { type: "string", pattern: "\\$\\{\\{" };
const texts: JsonSchema = { anyOf: [text, { type: "array", items: text }] };
const map: JsonSchema = { type: "object", additionalProperties: { type: ["string", "number", "boolean", "null"] } };
const flag: JsonSchema = { anyOf: [{ type: "boolean" }, expression] };
const number: JsonSchema = { anyOf: [{ type: "number" }, expression] };
const list: JsonSchema = { anyOf: [{ type: "array" }, expression] };

/** What the values of keys are, by the last part of the key; by the whole key where that is not enough. Others are text. */
const values: Readonly<Record<string, JsonSchema>> = {
  ...Object.fromEntries(
    ["branches", "branches-ignore", "tags", "tags-ignore", "paths", "paths-ignore", "types"].map((name) => [name, texts]),
  ),
  ...Object.fromEntries(["labels", "needs", "ports", "volumes"].map((name) => [name, texts])),
  ...Object.fromEntries(["env", "with", "outputs", "credentials"].map((name) => [name, { anyOf: [map, expression] }])),
  ...Object.fromEntries(["required", "fail-fast", "continue-on-error", "cancel-in-progress", "deployment"].map((name) => [name, flag])),
  ...Object.fromEntries(["timeout-minutes", "max-parallel"].map((name) => [name, number])),
  ...Object.fromEntries(["include", "exclude"].map((name) => [name, list])),
  default: { type: ["string", "number", "boolean", "null"] },
  "on.workflow_dispatch.inputs.<input_id>.options": { type: "array", items: text },
  permissions: {
    anyOf: [{ enum: ["read-all", "write-all"] }, { type: "object", additionalProperties: { enum: ["read", "write", "none"] } }],
  },
  "jobs.<job_id>.secrets": { anyOf: [{ const: "inherit" }, map] },
  "jobs.<job_id>.services": { type: ["object", "string"] },
};

/** Forms that a key may have beside a map of the keys below it. */
const otherForms: Readonly<Record<string, JsonSchema>> = {
  on: texts,
  concurrency: text,
  "jobs.<job_id>.concurrency": text,
  "jobs.<job_id>.environment": text,
  "jobs.<job_id>.container": text,
  "jobs.<job_id>.runs-on": texts,
  "jobs.<job_id>.strategy.matrix": expression,
  "jobs.<job_id>.secrets": { const: "inherit" },
};

/** Maps with names of the user's beside the known ones. */
const open = new Set(["jobs.<job_id>.strategy.matrix", "jobs.<job_id>.with", "jobs.<job_id>.secrets", "jobs.<job_id>.steps[*].with"]);

export function workflowJsonSchema(): JsonSchema {
  const root: KeyNode = { names: new Map() };
  for (const key of keys) nodeAt(root, key.key).key = key;
  const cluster = clusterSchema();
  for (const place of ["jobs.<job_id>.cluster", "jobs.<job_id>.clusters.<name>"]) nodeAt(root, place).names.clear();
  const schemas = new Map<string, JsonSchema>([
    ["jobs.<job_id>.cluster", { $ref: "#/definitions/cluster" }],
    ["jobs.<job_id>.clusters.<name>", { $ref: "#/definitions/cluster" }],
  ]);
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "Seatrial workflow",
    description: "A workflow of GitHub Actions, with the keys `cluster` and `clusters` of Seatrial. See docs/workflow-syntax.md.",
    ...schemaOf(root, "", schemas),
    required: ["on", "jobs"],
    definitions: { cluster },
  };
}

function nodeAt(root: KeyNode, key: string): KeyNode {
  let node = root;
  for (const part of key.replaceAll("[*]", ".[*]").split(".")) {
    if (part === "[*]") node = node.item ??= { names: new Map() };
    else if (part.startsWith("<")) node = node.any ??= { names: new Map() };
    else {
      let below = node.names.get(part);
      if (!below) node.names.set(part, (below = { names: new Map() }));
      node = below;
    }
  }
  return node;
}

function schemaOf(node: KeyNode, path: string, given: ReadonlyMap<string, JsonSchema>): JsonSchema {
  const { key } = node;
  if (key && key.state !== "works") return { not: {}, description: `Refused: ${refusalOf(key)}`, doNotSuggest: true };
  const described = key && key.note !== "" ? { description: key.note } : {};
  const known = given.get(path);
  if (known) return { ...described, ...known };
  const own = formOf(node, path, given);
  const other = otherForms[path];
  // An event without settings is empty.
  const forms = [own, ...(other ? [other] : []), ...(/^on\.\w+$/.test(path) ? [{ type: "null" }] : [])];
  return { ...described, ...(forms.length === 1 ? own : { anyOf: forms }) };
}

function formOf(node: KeyNode, path: string, given: ReadonlyMap<string, JsonSchema>): JsonSchema {
  const { names, any, item } = node;
  const below = (name: string) => (path === "" ? name : `${path}.${name}`);
  if (item) return { type: "array", items: schemaOf(item, `${path}[*]`, given) };
  // A key without a value is as if it were not there.
  if (names.size === 0 && !any) return { anyOf: [values[path] ?? values[path.split(".").at(-1)!] ?? text, { type: "null" }] };
  const [anyName, others] = any ? [placeholderOf(path), schemaOf(any, below(placeholderOf(path)), given)] : ["", open.has(path)];
  return {
    type: "object",
    ...(names.size > 0
      ? { properties: Object.fromEntries([...names].map(([name, each]) => [name, schemaOf(each, below(name), given)])) }
      : {}),
    ...(anyName === "<job_id>" ? { propertyNames: { pattern: "^[A-Za-z_][A-Za-z0-9_-]{0,99}$" }, minProperties: 1 } : {}),
    additionalProperties: others,
    ...(required[path] ? { anyOf: required[path].map((name) => ({ required: [name] })) } : {}),
  };
}

/** Of each, one has to be there. */
const required: Readonly<Record<string, readonly string[]>> = {
  "jobs.<job_id>": ["steps", "uses"],
  "jobs.<job_id>.steps[*]": ["run", "uses"],
};

/** What the table calls a name of the user's below this key. */
function placeholderOf(path: string): string {
  const prefix = `${path}.<`;
  const found = keys.find(({ key }) => key.startsWith(prefix))!.key.slice(path.length + 1);
  return found.slice(0, found.indexOf(">") + 1);
}

/** The spec of a Cluster, in which every value may be an expression. */
function clusterSchema(): JsonSchema {
  const { $schema: _dialect, ...schema } = z.toJSONSchema(clusterSpecSchema, { target: "draft-7", io: "input", unrepresentable: "any" });
  const relaxed = withExpressions(schema) as { properties: JsonSchema };
  return { ...relaxed, properties: { ...relaxed.properties, images: { not: {}, description: refusedImages(), doNotSuggest: true } } };
}

function refusedImages(): string {
  const key = keys.find((each) => each.key === "jobs.<job_id>.cluster.images");
  return key ? `Refused: ${refusalOf(key)}` : "";
}

function withExpressions(schema: JsonSchema): JsonSchema {
  const { type, description, ...rest } = schema;
  const below = (each: unknown) => (typeof each === "object" && each !== null ? withExpressions(each as JsonSchema) : each);
  if (type === "object" || rest["properties"]) {
    const properties = Object.entries((rest["properties"] ?? {}) as JsonSchema).map(([name, each]) => [name, below(each)]);
    return {
      ...schema,
      ...(properties.length > 0 ? { properties: Object.fromEntries(properties) as JsonSchema } : {}),
      ...("additionalProperties" in rest ? { additionalProperties: below(rest["additionalProperties"]) } : {}),
    };
  }
  if (type === "array") return { ...schema, items: below(rest["items"]) };
  if (type === "string" && Object.keys(rest).length === 0) return schema;
  if (type === undefined && rest["enum"] === undefined) return schema;
  return {
    ...(description === undefined ? {} : { description }),
    anyOf: [{ ...(type === undefined ? {} : { type }), ...rest }, expression],
  };
}
