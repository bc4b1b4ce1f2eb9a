/**
 * The YAML of a workflow as a tree in which each value knows its place. Aliases are followed, within bounds; what is left
 * is maps, lists and scalars, and all that the rest of the folder has to know of YAML.
 */
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node as YamlNode, parseDocument } from "yaml";
import { type Place, type Problem } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { type Path } from "../../resources/finding.ts";
import { textOf } from "../expressions/expressions.ts";

interface Located {
  place: Place;
}
export interface Scalar extends Located {
  kind: "scalar";
  value: string | number | boolean | null;
  /** The value as GitHub makes text of it: `1.10` without quotes is a number, and becomes `1.1`. */
  text: string;
  /** Where it begins in the file's text, and whether it is a block (`|`). */
  offset: number;
  isBlock: boolean;
}
export interface List extends Located {
  kind: "list";
  items: Node[];
}
export interface Mapping extends Located {
  kind: "map";
  entries: Entry[];
}
export interface Entry extends Located {
  key: string;
  value: Node;
}
export type Node = Scalar | List | Mapping;

/** The value of a key; undefined when the node is no map or does not have it. */
export function valueOf(node: Node | undefined, key: string | number): Node | undefined {
  if (node?.kind === "list") return node.items[Number(key)];
  return node?.kind === "map" ? node.entries.find((entry) => entry.key === key)?.value : undefined;
}

/** The place of what a path names, below a node: of its key, where that says more; of the nearest around it that is there. */
export function placeAt(node: Node, path: Path, at?: "key"): Place {
  let parent = node;
  let place = node.place;
  for (const [i, key] of path.entries()) {
    const child = valueOf(parent, key);
    const entry = parent.kind === "map" ? parent.entries.find((one) => one.key === key) : undefined;
    if (!child) break;
    place = entry && (child.kind !== "scalar" || child.text === "" || (at && i === path.length - 1)) ? entry.place : child.place;
    parent = child;
  }
  return place;
}

/** Mistakes of YAML that leave the tree as it is meant: the rest of the file is read, and all that is wrong told at once. */
const harmless: readonly string[] = ["DUPLICATE_KEY", "TAG_RESOLVE_FAILED", "BAD_DQ_ESCAPE"];

/** What is said of a mistake in place of the parser's own words. */
const words: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: "the key is there twice",
  MULTIPLE_DOCS: "is a second document: a file has one alone",
};

/** A tree and the text that it came from. */
export interface Source {
  /** Absent when there is none: an empty file, or one that is no YAML. */
  root: Node | undefined;
  problems: Problem[];
  /** Where a character of a scalar is in the file. */
  placeIn(scalar: Scalar, index: number): Place;
}

/** @param file as the user named it: it is the first part of each problem. */
export function readTree(text: string, file: string): Source {
  const lines = new LineCounter();
  const problems: Problem[] = [];
  const placeOf = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const report = (offset: number, message: string) => problems.push({ place: placeOf(offset), path: "", message });
  const placeIn = (scalar: Scalar, index: number) => placeInScalar(text, scalar, index, placeOf);
  const source: Source = { root: undefined, problems, placeIn };

  if (text.length > limits.workflowCharacters) {
    report(0, `is larger than ${limits.workflowCharacters / 1024} KiB`);
    return source;
  }
  const yaml = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
  const mistakes = [...yaml.errors, ...yaml.warnings];
  // The parser is recursive, and reports the end of its stack as one mistake among those that follow from it.
  const tooDeep = mistakes.find(({ message }) => message.includes("call stack"));
  if (tooDeep) report(tooDeep.pos[0], "is nested too deeply");
  else for (const { pos, code, message } of mistakes) report(pos[0], words[code] ?? message.split("\n")[0]!);
  if (tooDeep || yaml.contents === null || mistakes.some(({ code }) => !harmless.includes(code))) return source;

  const anchors = new Map<string, YamlNode>();
  let nodes = 0;
  /** The alias that is being followed, the first of them: what is too much in it is its fault. */
  let followed: number | undefined;
  const convert = (node: YamlNode | null, offset: number, depth: number): Node => {
    const at = node?.range?.[0] ?? offset;
    const place = placeOf(at);
    if (++nodes > limits.workflowNodes)
      throw new TooMuch(followed ?? at, `has more than ${limits.workflowNodes} values, with its aliases followed`);
    if (depth > limits.workflowDepth) throw new TooMuch(followed ?? at, "is nested too deeply");
    if (isAlias(node)) {
      const target = anchors.get(node.source);
      if (!target) report(at, `*${node.source} refers to nothing: there is no &${node.source} before it`);
      const before = followed;
      followed ??= at;
      const value = convert(target ?? null, at, depth + 1);
      followed = before;
      return value;
    }
    if (node?.anchor) anchors.set(node.anchor, node);
    if (isSeq(node)) return { kind: "list", place, items: node.items.map((item) => convert(item as YamlNode, at, depth + 1)) };
    if (isMap(node)) {
      const entries = node.items.flatMap((pair): Entry[] => {
        const key = pair.key as YamlNode;
        const keyOffset = key.range?.[0] ?? at;
        const name = isScalar(key) ? String(key.value) : "";
        if (isAlias(key)) report(keyOffset, "an alias cannot be a key");
        if (name === "<<") {
          report(keyOffset, "merge keys (<<) are not understood, as on GitHub: an alias can stand for a whole value alone");
          return [];
        }
        return [{ key: name, place: placeOf(keyOffset), value: convert(pair.value as YamlNode | null, keyOffset, depth + 1) }];
      });
      return { kind: "map", place, entries };
    }
    const value = (isScalar(node) ? (node.value ?? null) : null) as Scalar["value"];
    const plain = typeof value === "bigint" ? Number(value) : value;
    return {
      kind: "scalar",
      place,
      value: plain,
      text: textOf(plain),
      offset: at,
      isBlock: isScalar(node) && node.type === "BLOCK_LITERAL",
    };
  };
  try {
    source.root = convert(yaml.contents as YamlNode, 0, 0);
  } catch (error) {
    if (!(error instanceof TooMuch)) throw error;
    report(error.offset, error.message);
  }
  return source;
}

/** Thrown inside this file alone: there is no point in going on. */
class TooMuch extends Error {
  readonly offset: number;
  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

/** Exact where the file's text is the value's: a block line by line, others up to their first escape or line end. */
function placeInScalar(text: string, { offset, isBlock, value, place }: Scalar, index: number, placeOf: (offset: number) => Place): Place {
  if (typeof value !== "string") return place;
  if (!isBlock) {
    const start = /["']/.test(text[offset] ?? "") ? offset + 1 : offset;
    return text.startsWith(value.slice(0, index), start) ? placeOf(start + index) : place;
  }
  const before = value.slice(0, index).split("\n");
  let lineStart = offset;
  for (let line = 0; line < before.length; line++) lineStart = text.indexOf("\n", lineStart) + 1;
  const valueLine = value.split("\n")[before.length - 1]!;
  const indent = text.indexOf(valueLine, lineStart) - lineStart;
  return placeOf(lineStart + Math.max(indent, 0) + before.at(-1)!.length);
}
