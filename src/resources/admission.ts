/**
 * What the API server would say to a resource: names and labels, the schemas, the rules. The store in memory asks here, and
 * tests compare the two.
 */
import type { Problem } from "../base/errors.ts";
import { compileRule, type CompiledRule } from "./cel.ts";
import { type Finding, formatPath, valueAt } from "./finding.ts";
import type { ObjectMeta, Resource, ResourceKind } from "./object.ts";
import { findingsOf } from "./schema.ts";

export interface Admission<R extends Resource> {
  /** With the defaults of the schemas, and nothing in common with what was given. Undefined when there are problems. */
  resource?: R;
  /** All of them. */
  problems: Problem[];
}

/** @param before is the resource as it was, for the rules about changes. */
export function admit<R extends Resource>(kind: ResourceKind<R>, resource: R, before?: R): Admission<R> {
  const spec = kind.spec.safeParse(resource.spec);
  const status = resource.status === undefined ? undefined : kind.status.safeParse(resource.status);
  const findings: Finding[] = [
    ...metadataFindings(resource.metadata),
    ...(spec.success ? [] : under("spec", findingsOf(spec.error, kind.spec, resource.spec))),
    ...(status === undefined || status.success ? [] : under("status", findingsOf(status.error, kind.status, resource.status))),
  ];
  if (!spec.success || status?.success === false || findings.length > 0) return { problems: findings.map(asProblem) };
  const admitted = { ...resource, metadata: structuredClone(resource.metadata), spec: spec.data, ...(status && { status: status.data }) };
  const broken = ruleFindings(kind, admitted, before);
  return broken.length > 0 ? { problems: broken.map(asProblem) } : { resource: admitted, problems: [] };
}

function asProblem({ path, message }: Finding): Problem {
  return { path: formatPath(path), message };
}

function under(field: string, findings: readonly Finding[]): Finding[] {
  return findings.map((finding) => ({ ...finding, path: [field, ...finding.path] }));
}

const compiled = new WeakMap<object, { at: readonly string[]; message: string; rule: CompiledRule }[]>();

function ruleFindings<R extends Resource>(kind: ResourceKind<R>, resource: R, before: R | undefined): Finding[] {
  let rules = compiled.get(kind);
  if (!rules) compiled.set(kind, (rules = kind.rules.map(({ at, message, rule }) => ({ at, message, rule: compileRule(rule) }))));
  return rules.flatMap(({ at, message, rule }) => {
    const [self, oldSelf] = [valueAt(resource, at), before && valueAt(before, at)];
    const isAsked = self !== undefined && (!rule.isTransition || oldSelf !== undefined);
    return isAsked && !rule.holds(self, oldSelf) ? [{ path: at, message }] : [];
  });
}

const dnsLabel = "[a-z0-9]([a-z0-9-]*[a-z0-9])?";
const dnsSubdomain = new RegExp(`^${dnsLabel}(\\.${dnsLabel})*$`);
const labelName = /^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$/;

/** https://kubernetes.io/docs/concepts/overview/working-with-objects/names and /labels. */
function metadataFindings({ name, labels = {}, annotations = {}, finalizers = [] }: ObjectMeta): Finding[] {
  const found: Finding[] = [];
  if (!dnsSubdomain.test(name) || name.length > 253) {
    found.push({ path: ["metadata", "name"], message: 'must be made of at most 253 lower-case letters, digits, "-" and "."' });
  }
  for (const [field, keys] of Object.entries({ labels: Object.keys(labels), annotations: Object.keys(annotations), finalizers })) {
    for (const key of keys) {
      if (!isQualifiedName(key)) found.push({ path: ["metadata", field, key], message: "must be NAME or DOMAIN/NAME" });
    }
  }
  for (const [key, value] of Object.entries(labels)) {
    if (value === "" || (labelName.test(value) && value.length <= 63)) continue;
    found.push({ path: ["metadata", "labels", key], message: 'must be made of at most 63 letters, digits, "-", "_" and "."' });
  }
  return found;
}

function isQualifiedName(key: string): boolean {
  const [name = "", domain, ...more] = key.split("/").toReversed();
  const isDomain = domain === undefined || (dnsSubdomain.test(domain) && domain.length <= 253);
  return more.length === 0 && isDomain && labelName.test(name) && name.length <= 63;
}
