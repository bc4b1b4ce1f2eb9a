/** What a check found wrong, before it is known where in which file that is. */
import type { Problem } from "../base/errors.ts";

/** Keys and indexes from the root of a document to one of its values. */
export type Path = readonly (string | number)[];

export interface Finding {
  path: Path;
  message: string;
  /** `key`: the field itself should not be there. Default: its value is wrong. */
  at?: "key";
}

/** `spec.nodes[0].labels["a.b/c"]`: the form of a path in messages. */
export function formatPath(path: Path): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (!/^[\w-]+$/.test(step)) text += `[${JSON.stringify(step)}]`;
    else text += text === "" ? step : `.${step}`;
  }
  return text;
}

/** For a resource that was not read from a file. */
export function toProblem(finding: Finding): Problem {
  return { path: formatPath(finding.path), message: finding.message };
}

/** The value at a path, or undefined. */
export function valueAt(root: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, step) => (at as Record<string | number, unknown> | null | undefined)?.[step], root);
}
