/**
 * Patterns for branches and tags, as GitHub documents them: `*` any characters but `/`, `**` any, `?` and `+` none or one, and
 * one or more, of what stands before, `[…]` one of a set, `\` takes the meaning away, `!` in front takes out again. Where `**` and the
 * slash after it stand for whole folders, none will do: a README.md of the root is one "anywhere".
 *
 * They are not turned into regular expressions: with a few `+` in a pattern from a pull request those can take for ever.
 * All ways to match are followed at once, so the cost of one is the product of the two lengths. Of many patterns against many
 * names the steps are counted ({@link Work}).
 */
import { limits } from "../../base/limits.ts";

interface Item {
  matches(character: string): boolean;
  /** May be absent; may be there again. */
  canSkip: boolean;
  canRepeat: boolean;
  /** May be absent together with the two after it. */
  canSkipFolders?: boolean;
}

/** What is wrong with a pattern, or undefined. */
export function patternMistake(pattern: string): string | undefined {
  const parsed = parsePattern(pattern);
  return typeof parsed === "string" ? parsed : undefined;
}

/** How many steps may still be taken, of one item against one character each. */
export interface Work {
  left: number;
}

/**
 * Tells whether the last pattern that matches a name is not one with `!`: so a later pattern overrides an earlier one, and patterns
 * with `!` alone match nothing. Once no work is left, what it tells means nothing. Default: as much as it takes.
 */
export function readPatterns(patterns: readonly string[]): (name: string, work?: Work) => boolean {
  const read = patterns.flatMap((pattern) => {
    const items = parsePattern(pattern);
    return typeof items === "string" ? [] : [{ items, isExcluded: pattern.startsWith("!") }];
  });
  return (name, work = { left: Infinity }) => {
    const characters = [...name];
    return read.findLast(({ items }) => matches(items, characters, work))?.isExcluded === false;
  };
}

export function matchesAny(patterns: readonly string[], name: string): boolean {
  return readPatterns(patterns)(name);
}

function matches(items: readonly Item[], characters: readonly string[], work: Work): boolean {
  /** Indexes of the items that may come next; `items.length` is the end. */
  let states = closure(items, new Set([0]));
  for (const character of characters) {
    if (states.size === 0 || (work.left -= states.size) < 0) return false;
    const next = new Set<number>();
    for (const state of states) {
      const item = items[state];
      if (!item?.matches(character)) continue;
      next.add(state + 1);
      if (item.canRepeat) next.add(state);
    }
    states = closure(items, next);
  }
  return states.has(items.length);
}

/** A set that grows while it is walked: what can be skipped leads on. */
function closure(items: readonly Item[], states: Set<number>): Set<number> {
  for (const state of states) {
    if (items[state]?.canSkip) states.add(state + 1);
    if (items[state]?.canSkipFolders) states.add(state + 3);
  }
  return states;
}

function parsePattern(pattern: string): Item[] | string {
  const text = pattern.replace(/^!/, "");
  if (text === "") return "is empty";
  if (text.length > limits.patternCharacters) return `is longer than ${limits.patternCharacters} characters`;
  const items: Item[] = [];
  const characters = [...text];
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i]!;
    if (character === "*") {
      const isDouble = characters[i + 1] === "*";
      const isFolders = isDouble && (i === 0 || characters[i - 1] === "/") && characters[i + 2] === "/";
      // It takes no character: that the folders are absent can only be so before the first of theirs.
      if (isFolders) items.push({ matches: () => false, canSkip: true, canRepeat: false, canSkipFolders: true });
      if (isDouble) i++;
      items.push({ matches: (one) => isDouble || one !== "/", canSkip: true, canRepeat: true });
    } else if (character === "?" || character === "+") {
      const before = items.at(-1);
      if (!before) return `begins with ${character}, which says how often what stands before it comes; write \\${character} for itself`;
      if (character === "?") before.canSkip = true;
      else before.canRepeat = true;
    } else if (character === "[") {
      const end = characters.indexOf("]", i + 2);
      if (end === -1) return "has a [ without its ]; write \\[ for itself";
      items.push({ matches: setOf(characters.slice(i + 1, end)), canSkip: false, canRepeat: false });
      i = end;
    } else {
      if (character === "\\" && ++i === characters.length) return "ends with \\";
      const literal = characters[i]!;
      items.push({ matches: (one) => one === literal, canSkip: false, canRepeat: false });
    }
  }
  return items;
}

/** Characters and ranges between brackets. */
function setOf(characters: readonly string[]): (one: string) => boolean {
  const ranges: [string, string][] = [];
  for (let i = 0; i < characters.length; i++) {
    const isRange = characters[i + 1] === "-" && i + 2 < characters.length;
    ranges.push([characters[i]!, characters[isRange ? i + 2 : i]!]);
    if (isRange) i += 2;
  }
  return (one) => ranges.some(([from, to]) => from <= one && one <= to);
}
