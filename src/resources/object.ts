/** What the API server keeps of every resource beside spec and status, and how the kinds of this project are named there. */
import type { z } from "zod";
import { apiVersion } from "./metadata.ts";

/** Metadata as the API server fills it in. */
export interface ObjectMeta {
  name: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  /** Raised with each change of the spec. */
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
}

/** A resource as it is kept: what was asked for, and what was seen last. */
export interface Resource<Spec = unknown, Status = unknown> {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  spec: Spec;
  status?: Status;
}

/** A resource that an API has answered with: these are never absent then. */
export type Stored<R extends Resource> = R & { metadata: { uid: string; resourceVersion: string; creationTimestamp: string } };

/** A column of `kubectl get`. */
export interface PrinterColumn {
  name: string;
  /** As in the API: `.status.phase`. */
  jsonPath: string;
  type: "string" | "integer" | "date" | "boolean";
  /** 1 is shown with `-o wide` alone. Default: 0. */
  priority?: number;
  description: string;
}

/** A rule of the API server's own, in CEL, on the object at a path; the rules between fields that a schema cannot say. */
export interface CelRule {
  /** Path of fields from the root; `[]` is the resource. */
  at: readonly string[];
  rule: string;
  message: string;
}

/** One kind: all that its CRD, its client and its reference are made from. */
export interface ResourceKind<R extends Resource = Resource> {
  readonly kind: R["kind"];
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  /** One sentence: what a resource of this kind is. */
  readonly description: string;
  readonly spec: z.ZodType<R["spec"]>;
  readonly status: z.ZodType<NonNullable<R["status"]>>;
  readonly columns: readonly PrinterColumn[];
  readonly rules: readonly CelRule[];
}

export const group = apiVersion.split("/")[0]!;
export const version = apiVersion.split("/")[1]!;
