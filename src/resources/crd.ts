/**
 * CustomResourceDefinitions, made from the zod schemas: the same fields, bounds and words as everywhere else.
 *
 * The API server takes less than zod can say. What is left to zod alone, and to whoever reads a document with it: the
 * keys of maps, and functions (`refine`) that have no pattern beside them. A schema that cannot be said at all (a union,
 * `unknown`) is an error here, not a hole.
 */
import { stringify } from "yaml";
import { z } from "zod";
import { SeatrialError } from "../base/errors.ts";
import { allKinds } from "./kinds.ts";
import { group, type Resource, type ResourceKind, version } from "./object.ts";

/** A structural schema, as apiextensions.k8s.io/v1 has it. */
interface Schema {
  type?: "object" | "array" | "string" | "integer" | "number" | "boolean";
  description?: string;
  default?: unknown;
  format?: string;
  pattern?: string;
  allOf?: { pattern: string }[];
  enum?: readonly string[];
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: boolean;
  exclusiveMaximum?: boolean;
  minItems?: number;
  maxItems?: number;
  items?: Schema;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema;
  required?: string[];
  "x-kubernetes-validations"?: { rule: string; message: string }[];
}

export interface CustomResourceDefinition {
  apiVersion: "apiextensions.k8s.io/v1";
  kind: "CustomResourceDefinition";
  metadata: { name: string };
  spec: object;
}

/** @throws SeatrialError `internal` that names the field whose schema cannot be said, or the rule whose place is not there. */
export function crdOf<R extends Resource>(kind: ResourceKind<R>): CustomResourceDefinition {
  const [spec, status] = [schemaOf(kind.spec, `${kind.kind}.spec`), schemaOf(kind.status, `${kind.kind}.status`)];
  const root: Schema = {
    type: "object",
    description: kind.description,
    properties: {
      apiVersion: { type: "string" },
      kind: { type: "string" },
      metadata: { type: "object" },
      spec: { description: "What it shall be.", ...spec },
      status: { description: "What was seen last; written by Seatrial alone.", ...status },
    },
    ...(spec.default === undefined && { required: ["spec"] }),
  };
  for (const { at, rule, message } of kind.rules) {
    const schema = at.reduce<Schema | undefined>((from, field) => from?.properties?.[field], root);
    if (!schema) throw new SeatrialError("internal", `a rule of ${kind.kind} is about ${at.join(".")}, and there is no such field`);
    (schema["x-kubernetes-validations"] ??= []).push({ rule, message });
  }
  const { plural, singular, shortNames, columns } = kind;
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: "Namespaced",
      names: { kind: kind.kind, listKind: `${kind.kind}List`, plural, singular, shortNames, categories: ["seatrial"] },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: root },
          subresources: { status: {} },
          additionalPrinterColumns: columns,
        },
      ],
    },
  };
}

/** All of them as one YAML stream, as `kubectl apply -f -` takes it. */
export function crdsYaml(kinds: readonly ResourceKind[] = allKinds): string {
  return kinds.map((kind) => `---\n${stringify(crdOf(kind), { aliasDuplicateObjects: false, lineWidth: 0 })}`).join("");
}

/** The schema as zod says it, made structural. */
function schemaOf(schema: z.ZodType, path: string): Schema {
  return structural(z.toJSONSchema(schema, { target: "openapi-3.0", io: "input" }) as JsonSchema, path);
}

/** What zod gives beyond a {@link Schema}. */
interface JsonSchema extends Omit<Schema, "items" | "properties" | "additionalProperties"> {
  items?: JsonSchema;
  properties?: Record<string, JsonSchema>;
  additionalProperties?: JsonSchema | boolean;
  [other: string]: unknown;
}

/** Copies what a structural schema may have, and no more. */
function structural(from: JsonSchema, path: string): Schema {
  const { type, items, properties, additionalProperties: values, format } = from;
  // Without a type it is a union, or anything: the API server refuses both.
  if (type === undefined) throw new SeatrialError("internal", `${path} has a schema that a CustomResourceDefinition cannot hold`);
  const to: Schema = { type };
  for (const key of copied) if (from[key] !== undefined) Object.assign(to, { [key]: from[key] });
  // zod bounds whole numbers by what JSON carries exactly, which says nothing.
  for (const key of ["minimum", "maximum"] as const) if (Math.abs(to[key] ?? 0) === Number.MAX_SAFE_INTEGER) delete to[key];
  if (type === "integer") to.format = "int64";
  // Of a whole number the API server checks only the whole part of a bound: 0 would be at least 0.001.
  if (to.minimum !== undefined && !Number.isInteger(to.minimum)) {
    to["x-kubernetes-validations"] = [{ rule: `self >= ${to.minimum}`, message: `must be at least ${to.minimum}` }];
  }
  // The API server knows times by their format; zod's pattern for them is as long as a page.
  if (format === "date-time") {
    to.format = format;
    delete to.pattern;
  }
  if (items) to.items = structural(items, `${path}[]`);
  // Beside properties it says that there are no others, as is always so here: unknown fields are dropped, or refused by a strict writer.
  if (typeof values === "object") to.additionalProperties = structural(values, `${path}.*`);
  if (properties) {
    to.properties = Object.fromEntries(Object.entries(properties).map(([name, each]) => [name, structural(each, `${path}.${name}`)]));
  }
  if (from.allOf) to.allOf = from.allOf.map(({ pattern }) => ({ pattern }));
  return to;
}

const copied = [
  "description",
  "default",
  "enum",
  "pattern",
  "minLength",
  "maxLength",
  "minimum",
  "maximum",
  "exclusiveMinimum",
  "exclusiveMaximum",
  "minItems",
  "maxItems",
  "required",
] as const;
