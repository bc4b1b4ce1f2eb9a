/** The values of a workflow's nodes: as they are written, or with their expressions evaluated. */
import { InvalidError, type Place, SeatrialError } from "../../base/errors.ts";
import { formatPath, type Path } from "../../resources/finding.ts";
import { evaluateValue, holdsExpression, type Json, type Scope } from "./expressions.ts";
import type { Node } from "../read/tree.ts";

/** Whether anything in it is to be evaluated. */
export function holdsExpressions(node: Node): boolean {
  if (node.kind === "scalar") return holdsExpression(node.text);
  return node.kind === "list" ? node.items.some(holdsExpressions) : node.entries.some(({ value }) => holdsExpressions(value));
}

/** The value as it is written; expressions are text. */
export function plainValue(node: Node): Json {
  if (node.kind === "scalar") return node.value;
  if (node.kind === "list") return node.items.map(plainValue);
  return Object.fromEntries(node.entries.map(({ key, value }) => [key, plainValue(value)]));
}

/**
 * The value with all expressions evaluated.
 * @throws InvalidError with the place and path of the first that cannot be.
 */
export function evaluateNode(node: Node, path: Path, scope: Scope): Json {
  if (node.kind === "list") return node.items.map((item, i) => evaluateNode(item, [...path, i], scope));
  if (node.kind === "map") {
    return Object.fromEntries(node.entries.map(({ key, value }) => [key, evaluateNode(value, [...path, key], scope)]));
  }
  return holdsExpression(node.text) ? placed(node.place, path, () => evaluateValue(node.text, scope)) : node.value;
}

/** Does the work; what it throws as `invalid` gets a place and a path. */
export function placed<T>(place: Place, path: Path, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof SeatrialError) || error instanceof InvalidError || error.code !== "invalid") throw error;
    throw new InvalidError([{ place, path: formatPath(path), message: error.message }], { cause: error });
  }
}
