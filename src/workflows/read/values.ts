/**
 * Reads values of a workflow's tree: keys by the table of keys.ts, texts with their expressions judged, numbers, lists. Whatever
 * is wrong is noted with its place and path, and reading goes on with what is left.
 */
import { type Place, type Problem } from "../../base/errors.ts";
import { formatPath, type Path } from "../../resources/finding.ts";
import { jobRunSpecSchema } from "../../resources/job-run.ts";
import { shown } from "../../resources/schema.ts";
import { didYouMean } from "../../resources/suggest.ts";
import { findConditionMistakes, findMistakes, holdsExpression } from "../expressions/expressions.ts";
import { keyOf, namesBelow, refusalOf } from "./keys.ts";
import type { Entry, Node, Scalar, Source } from "./tree.ts";

/** Reads the value of one key. `place` is the key's own: where a person looks for a map or a list. */
export type Read = (value: Node, path: Path, place: Place) => void;

/** All `key` parameters are keys of the table; a `path` is where that is in the file. */
export class ValueReader {
  readonly problems: Problem[];
  /** What is taken, and does less than it says: never in silence. */
  readonly notices: Problem[] = [];
  /** Length of all names and texts so far. */
  characters = 0;
  readonly #source: Source;

  constructor(source: Source) {
    this.#source = source;
    this.problems = source.problems;
  }

  /** Calls the reader of each key that works, and reports the others. Returns the keys that were read, with their places. */
  keys(node: Node, key: string, path: Path, place: Place, readers: Readonly<Record<string, Read>>): Map<string, Place> {
    const seen = new Map<string, Place>();
    for (const entry of this.entries(node, path, place)) {
      if (!this.key(key, entry.key, entry.place, path)) continue;
      // An empty value is an absent one; but `push:` says that there is such an event.
      if (isNull(entry.value) && key !== "on") continue;
      seen.set(entry.key, entry.place);
      readers[entry.key]!(entry.value, [...path, entry.key], entry.place);
    }
    return seen;
  }

  /** Whether a key works; when it does not, that is reported. */
  key(parent: string, name: string, place: Place, path: Path): boolean {
    // A dot in a name would make it the key of something deeper.
    const key = name.includes(".") ? undefined : keyOf(parent === "" ? name : `${parent}.${name}`);
    if (key?.state === "works") return true;
    const unknown = parent === "on" ? "is not an event that is known" : "is not a known key";
    this.report(place, [...path, name], key ? refusalOf(key) : `${unknown}${didYouMean(name, namesBelow(parent))}`);
    return false;
  }

  entries(node: Node, path: Path, place: Place): Entry[] {
    if (node.kind === "map") return node.entries;
    this.report(place, path, `must be a map, and is ${kindIn(node)}`);
    return [];
  }

  /** One text or a list of texts. */
  list(node: Node, path: Path): Scalar[] {
    const items = node.kind === "list" ? node.items : [node];
    return items.flatMap((item, i) => {
      if (item.kind === "scalar" && item.text !== "") return [item];
      this.report(
        item.place,
        node.kind === "list" ? [...path, i] : path,
        `must be text${node.kind === "list" ? "" : " or a list of it"}, and is ${kindIn(item)}`,
      );
      return [];
    });
  }

  text(node: Node, path: Path, key: string): string {
    return this.scalar(node, path, key, "text")?.text ?? "";
  }

  /** A map of texts: `env`, `with`, `outputs`. */
  texts(node: Node, path: Path, key: string): Record<string, string> {
    const isVariable = /(^|\.)env$/.test(key);
    const entries = this.entries(node, path, node.place).map(({ key: name, value, place }): [string, string] => {
      if (isVariable && !/^[A-Za-z_]\w*$/.test(name)) {
        this.report(place, [...path, name], "cannot be the name of a variable: letters, digits and _, no digit first");
      }
      this.characters += name.length;
      return [name, this.text(value, [...path, name], key)];
    });
    const texts = Object.fromEntries(entries);
    this.bound(jobRunSpecSchema.shape.env.safeParse(texts).error?.issues, node.place, path);
    return texts;
  }

  scalar(node: Node, path: Path, key: string, type: ScalarType): Scalar | undefined {
    if (node.kind !== "scalar") {
      this.report(node.place, path, `must be ${scalarTypes[type]}, and is ${kindIn(node)}`);
      return undefined;
    }
    this.characters += node.text.length;
    if (holdsExpression(node.text) && keyOf(key)!.contexts.length === 0) {
      this.report(node.place, path, "cannot hold `${{ }}`");
      return undefined;
    }
    if (node.text.includes("\0")) this.report(node.place, path, "must not hold the character NUL");
    if (type === "condition" || holdsExpression(node.text)) {
      this.#judge(node, path, key, type);
    } else if (!isOfType(node, type)) {
      this.report(node.place, path, `must be ${scalarTypes[type]}, and is ${shown(node.value)}`);
    }
    return node;
  }

  /** The expressions of a node and all below it. */
  expressions(node: Node, path: Path, key: string): void {
    if (node.kind === "scalar") {
      this.characters += node.text.length;
      this.#judge(node, path, key, "text");
    }
    if (node.kind === "list") for (const [i, item] of node.items.entries()) this.expressions(item, [...path, i], key);
    if (node.kind !== "map") return;
    for (const entry of node.entries) {
      if (holdsExpression(entry.key)) this.report(entry.place, [...path, entry.key], "a key cannot hold an expression");
      this.expressions(entry.value, [...path, entry.key], key);
    }
  }

  #judge(scalar: Scalar, path: Path, key: string, type: ScalarType): void {
    const names = keyOf(key)!;
    const mistakes = type === "condition" ? findConditionMistakes(scalar.text, names) : findMistakes(scalar.text, names);
    for (const { offset, message } of mistakes) this.report(this.#source.placeIn(scalar, offset), path, message);
  }

  bound(
    issues: readonly { path: PropertyKey[]; message: string; maximum?: number | bigint }[] | undefined,
    place: Place,
    path: Path,
  ): void {
    for (const issue of issues ?? []) {
      const message = issue.maximum === undefined ? issue.message : `is longer than ${issue.maximum} characters`;
      this.report(place, [...path, ...(issue.path as Path)], message);
    }
  }

  report(place: Place, path: Path, message: string): void {
    this.problems.push({ place, path: formatPath(path), message });
  }

  /** The same about one character of a text. */
  reportIn(scalar: Scalar, index: number, path: Path, message: string): void {
    this.report(this.#source.placeIn(scalar, index), path, message);
  }

  notice(place: Place, path: Path, message: string): void {
    this.notices.push({ place, path: formatPath(path), message });
  }
}

const scalarTypes = {
  text: "text",
  condition: "an expression",
  boolean: "true or false",
  minutes: "a number of minutes, more than 0 and at most 4320",
  count: "a whole number from 1 to 256",
} as const;
export type ScalarType = keyof typeof scalarTypes;

function isOfType({ value }: Scalar, type: ScalarType): boolean {
  if (type === "boolean") return typeof value === "boolean";
  if (type === "minutes") return typeof value === "number" && value > 0 && value <= 4320;
  if (type === "count") return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 256;
  return true;
}

export function isNull(node: Node): boolean {
  return node.kind === "scalar" && node.value === null;
}

export function textIn(node: Node): string {
  return node.kind === "scalar" ? node.text : "";
}

function kindIn(node: Node): string {
  return node.kind === "scalar" ? shown(node.value) : node.kind === "list" ? "a list" : "a map";
}
