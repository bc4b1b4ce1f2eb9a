import { expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { z } from "zod";
import { crdOf, crdsYaml } from "./crd.ts";
import { allKinds } from "./kinds.ts";
import type { Resource, ResourceKind } from "./object.ts";

/** A kind with one field of this schema in its spec. */
function kindWith(field: z.ZodType, more: Partial<ResourceKind> = {}): ResourceKind {
  return {
    kind: "Thing",
    plural: "things",
    singular: "thing",
    shortNames: ["th"],
    description: "A thing.",
    spec: z.strictObject({ field }),
    status: z.strictObject({ phase: z.string().optional() }),
    columns: [],
    rules: [],
    ...more,
  } as ResourceKind<Resource>;
}

interface Root {
  required?: string[];
  properties: Record<string, { properties: Record<string, unknown>; required?: string[] }>;
  [other: string]: unknown;
}

function rootOf(kind: ResourceKind): Root {
  return (crdOf(kind).spec as { versions: [{ schema: { openAPIV3Schema: Root } }] }).versions[0].schema.openAPIV3Schema;
}

test.for<{ name: string; schema: z.ZodType; becomes: object; isOptional?: boolean }>([
  { name: "a string", schema: z.string().describe("What."), becomes: { type: "string", description: "What." } },
  { name: "a bounded string", schema: z.string().min(1).max(5), becomes: { type: "string", minLength: 1, maxLength: 5 } },
  { name: "a pattern", schema: z.string().regex(/^a\d$/), becomes: { type: "string", pattern: "^a\\d$" } },
  {
    name: "two patterns",
    schema: z.string().regex(/^a/).regex(/b$/),
    becomes: { type: "string", allOf: [{ pattern: "^a" }, { pattern: "b$" }] },
  },
  {
    name: "a function with a pattern beside it",
    schema: z
      .string()
      .refine((text) => text !== "x")
      .meta({ pattern: "^y$" })
      .optional()
      .describe("Why."),
    becomes: { type: "string", pattern: "^y$", description: "Why." },
    isOptional: true,
  },
  { name: "a time", schema: z.iso.datetime({ offset: true }), becomes: { type: "string", format: "date-time" } },
  { name: "a whole number", schema: z.int().min(0), becomes: { type: "integer", format: "int64", minimum: 0 } },
  { name: "a number", schema: z.number().max(0.5), becomes: { type: "number", maximum: 0.5 } },
  { name: "more than a number", schema: z.number().gt(0), becomes: { type: "number", minimum: 0, exclusiveMinimum: true } },
  {
    name: "a bound that is no whole number",
    schema: z.number().min(0.5),
    becomes: { type: "number", minimum: 0.5, "x-kubernetes-validations": [{ rule: "self >= 0.5", message: "must be at least 0.5" }] },
  },
  { name: "a boolean", schema: z.boolean().default(true), becomes: { type: "boolean", default: true }, isOptional: true },
  { name: "choices", schema: z.enum(["a", "b"]), becomes: { type: "string", enum: ["a", "b"] } },
  {
    name: "a list",
    schema: z.array(z.string().max(3)).min(1).max(8),
    becomes: { type: "array", items: { type: "string", maxLength: 3 }, minItems: 1, maxItems: 8 },
  },
  {
    name: "a map, of which the keys stay zod's",
    schema: z.record(z.string().max(9), z.boolean()),
    becomes: { type: "object", additionalProperties: { type: "boolean" } },
  },
  {
    name: "an object",
    schema: z.strictObject({ a: z.string(), b: z.string().optional() }).prefault({ a: "x" }),
    becomes: { type: "object", properties: { a: { type: "string" }, b: { type: "string" } }, required: ["a"], default: { a: "x" } },
    isOptional: true,
  },
])("$name", ({ schema, becomes, isOptional }) => {
  const { spec } = rootOf(kindWith(schema)).properties;
  expect(spec!.properties["field"]).toEqual(becomes);
  expect(spec!.required).toEqual(isOptional ? undefined : ["field"]);
});

test.for([
  { name: "a union", schema: z.union([z.string(), z.int()]), path: "Thing.spec.field" },
  { name: "anything", schema: z.array(z.unknown()), path: "Thing.spec.field[]" },
  { name: "anything in a map", schema: z.record(z.string(), z.object({ a: z.any() })), path: "Thing.spec.field.*.a" },
])("$name is refused with its path", ({ schema, path }) => {
  expect(() => crdOf(kindWith(schema))).toThrow(`${path} has a schema that a CustomResourceDefinition cannot hold`);
});

test("rules stand at their place; one without a place is an error", () => {
  const rule = { rule: "self == oldSelf", message: "does not change" };
  const root = rootOf(
    kindWith(z.string(), {
      rules: [
        { at: [], ...rule },
        { at: ["spec", "field"], ...rule },
      ],
    }),
  );
  expect(root["x-kubernetes-validations"]).toEqual([rule]);
  expect(root.properties["spec"]!.properties["field"]).toEqual({ type: "string", "x-kubernetes-validations": [rule] });
  expect(() => crdOf(kindWith(z.string(), { rules: [{ at: ["spec", "feild"], ...rule }] }))).toThrow(
    "a rule of Thing is about spec.feild, and there is no such field",
  );
});

test("crdsYaml has every kind, as kubectl takes it", () => {
  const documents = parseAllDocuments(crdsYaml()).map((document) => document.toJS() as { metadata: { name: string }; spec: object });
  expect(documents.map(({ metadata }) => metadata.name)).toEqual([
    "runs.seatrial.dev",
    "jobruns.seatrial.dev",
    "clusters.seatrial.dev",
    "registries.seatrial.dev",
    "hosts.seatrial.dev",
    "repositories.seatrial.dev",
  ]);
  for (const [i, document] of documents.entries()) {
    expect(document).toEqual(JSON.parse(JSON.stringify(crdOf(allKinds[i]!))));
    expect(document.spec).toMatchObject({
      names: { categories: ["seatrial"] },
      versions: [{ name: "v1alpha1", served: true, storage: true, subresources: { status: {} } }],
    });
  }
});
