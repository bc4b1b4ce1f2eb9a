/**
 * From a failed test to its line of the log: what a red check links to.
 *
 * A test tool writes the failure twice, into the JUnit file and into the log, each in its own form. The log is read once,
 * and for each failed test the places are weighed that could be it:
 *
 * - what the line says: it looks like the message of a failure (likeness.ts), and it has a line of the test's own message
 *   or details, the more of the line the better;
 * - whose it is: tools tell a test's name before what belongs to it, so the test named last counts, at most
 *   so many lines ago, and its failed rivals do not;
 * - what stands around it: other lines of the same failure at the distance that they have there.
 *
 * The best place wins, the first among equals; records with the same texts (attempts, twins) get one place each, in order.
 * A test of which nothing is found has none. Memory is bounded by the tests, not by the log.
 */
import { limits } from "../base/limits.ts";
import { looksLikeFailure, looksLikeStatus, messageLikeness, normalized, withoutEscapes } from "./likeness.ts";
import type { TestRecord } from "./read.ts";

/**
 * Finds the lines of all failed tests.
 * @param tests all records of the files of one job, in their order: the names of those that passed tell where others end.
 * @param log its bytes in chunks of any size. A line ends with a newline alone.
 * @param firstLine the number of the log's first line. Default: 1.
 * @returns the line by the record; only of records that failed and were found, at most {@link limits.locateTests}.
 */
export async function locateFailures(
  tests: readonly TestRecord[],
  log: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  firstLine = 1,
): Promise<Map<TestRecord, number>> {
  const scan = new Scan(tests);
  if (scan.isIdle) return new Map();
  let number = firstLine;
  let rest = "";
  for await (const chunk of log) {
    const text = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString("latin1");
    let at = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", at)) {
      const line = rest === "" ? text.slice(at, Math.min(end, at + lineChars)) : (rest + text.slice(at, end)).slice(0, lineChars);
      scan.line(line, number++);
      rest = "";
      at = end + 1;
    }
    if (rest.length < lineChars) rest += text.slice(at, at + lineChars);
  }
  if (rest !== "") scan.line(rest, number);
  return scan.end();
}

/** Of a longer line only the beginning is looked at. */
const lineChars = 4096;

/** What is weighed against what; the corpus in testdata/ is the judge. */
const weights = {
  /** The line has one of the failure's own lines: times how much of the line that is. */
  own: 2.5,
  /** That line is the beginning of the failure's message. */
  headline: 1.5,
  /** The test was named last. */
  owner: 3,
  /** Another failed test with the same line was named last. */
  rival: -2,
  /** Each other line of the failure that stands where it should; all of them together. */
  around: 0.2,
  /** The same for a line that no other failure has. */
  aroundAlone: 0.6,
  aroundMost: 2,
  /** The line names the test: it is a headline, or a summary. */
  names: -1,
  /** A place with nothing but the test's name and its failure. */
  named: 2,
} as const;

/** A line of some tests' failures. */
interface Key {
  text: string;
  /** A place in the source: `cart_test.go:12`. */
  isSource: boolean;
  uses: Map<FailedTest, Use>;
}

/** What a key is to one failure: which line of it, the beginning of its message, what could be the line that is looked for. */
interface Use {
  index: number;
  isHeadline: boolean;
  mayBeIt: boolean;
}

/** A name that lines are searched for; several tests can have the same. */
interface Name {
  text: string;
  pattern: RegExp;
  /** Common words are a name only where a line tells of tests. */
  isDistinctive: boolean;
  tests: { failed: FailedTest | undefined; context: readonly string[] }[];
}

/** A place that is considered. */
interface Place {
  line: number;
  /** Of the key that it has; undefined when it has none. */
  index: number | undefined;
  score: number;
  around: number;
}

/** A line of the log that has a key of a failure. */
interface Hit {
  line: number;
  index: number;
  weight: number;
  isSource: boolean;
}

class FailedTest {
  readonly record: TestRecord;
  /** Last lines that had a key of it, for places that come after them. */
  readonly hits: Hit[] = [];
  readonly open: Place[] = [];
  best: Place[] = [];

  constructor(record: TestRecord) {
    this.record = record;
  }

  /** A line of this failure was seen: it speaks for the places before it that stand where they should. */
  hit(hit: Hit): void {
    for (const place of this.open) if (fits(place, hit)) place.around += hit.weight;
    this.hits.push(hit);
    if (this.hits.length > limits.locateWindow) this.hits.shift();
  }

  consider(place: Place): void {
    const { line } = place;
    while (this.open.length > 0 && (this.open[0]!.line < line - limits.locateWindow || this.open.length >= limits.locateCandidates)) {
      this.#close(this.open.shift()!);
    }
    for (const hit of this.hits) if (fits(place, hit)) place.around += hit.weight;
    this.open.push(place);
  }

  /** All places, the best first; the first among equals. */
  ranked(): Place[] {
    for (const place of this.open.splice(0)) this.#close(place);
    return this.best;
  }

  #close(place: Place): void {
    place.score += Math.min(place.around, weights.aroundMost);
    this.best.push(place);
    this.best.sort((a, b) => b.score - a.score || a.line - b.line);
    this.best.length = Math.min(this.best.length, limits.locateCandidates);
  }
}

/**
 * Whether two lines of a failure have the distance in the log that they have in it, but for a line or two that were put between;
 * before a place in the source, an excerpt of it.
 */
function fits(place: Place, hit: Hit): boolean {
  if (place.index === undefined || hit.index === place.index || Math.abs(hit.line - place.line) > limits.locateWindow) return false;
  const shift = hit.line - place.line - (hit.index - place.index);
  return Math.abs(shift) <= 2 || (hit.isSource && hit.index > place.index && shift > 0 && shift <= 20);
}

class Scan {
  readonly #failed: FailedTest[];
  /** Keys and names by their anchor: a word of theirs by which they are found fast. */
  readonly #wanted = new Map<string, (Key | Name)[]>();
  /** For each hash of a word whether an anchor has it: most words of a log are dismissed by it. */
  readonly #filter = new Uint8Array(1 << 16);
  /** The tests that were named last, and where. */
  #owners: readonly FailedTest[] = [];
  #ownedSince = 0;

  constructor(tests: readonly TestRecord[]) {
    const failed = new Map<TestRecord, FailedTest>();
    for (const record of tests) {
      if ((record.verdict === "failed" || record.verdict === "error") && failed.size < limits.locateTests) {
        failed.set(record, new FailedTest(record));
      }
    }
    this.#failed = [...failed.values()];
    for (const { wanted, anchor } of this.isIdle ? [] : anchored([...keysOf(this.#failed), ...namesOf(tests, failed)])) {
      this.#filter[hashOf(anchor)] = 1;
      const sharing = this.#wanted.get(anchor);
      if (!sharing) this.#wanted.set(anchor, [wanted]);
      else if (sharing.length < limits.locateTwins) sharing.push(wanted);
    }
  }

  get isIdle(): boolean {
    return this.#failed.length === 0;
  }

  line(raw: string, number: number): void {
    const line = withoutEscapes(raw);
    const found = this.#anchorsIn(line);
    const isOwned = this.#owners.length > 0 && number - this.#ownedSince <= limits.locateWindow;
    if (found.length === 0 && !isOwned) return;
    const text = normalized(line);
    if (text === "") return;
    this.#own(found, text, number);
    const considered = this.#ownLines(found, text, number);
    if (!isOwned) return;
    // What looks like a failure and follows a test's name is its, also where the JUnit file does not have it.
    const likeness = likenessOf(text);
    if (likeness < 1.5) return;
    const isNaming = number === this.#ownedSince;
    const score = likeness + weights.owner + (isNaming ? weights.names : 0) + lateness(text, number - this.#ownedSince);
    for (const test of this.#owners) if (!considered.has(test)) test.consider({ line: number, index: undefined, score, around: 0 });
  }

  end(): Map<TestRecord, number> {
    const lines = new Map<TestRecord, number>();
    const taken = new Map<string, Set<number>>();
    for (const test of this.#failed) {
      const { record } = test;
      const others = taken.get(record.name) ?? new Set();
      taken.set(record.name, others);
      const places = test.ranked();
      // A twin's place is left to it where another is about as good.
      const free = places.find(({ line, score }) => !others.has(line) && score > places[0]!.score - 1.5);
      const place = free ?? places[0];
      if (!place) continue;
      others.add(place.line);
      lines.set(record, place.line);
    }
    return lines;
  }

  /** All that is wanted whose anchor is a word of the line. */
  #anchorsIn(line: string): (Key | Name)[] {
    const found: (Key | Name)[] = [];
    for (let at = 0; at < line.length; at++) {
      if (!isWordCode(line.charCodeAt(at))) continue;
      const start = at;
      let hash = 0;
      for (; at < line.length && isWordCode(line.charCodeAt(at)); at++) hash = (hash * 31 + line.charCodeAt(at)) & 0xffff;
      if (this.#filter[hash] === 0) continue;
      for (const wanted of this.#wanted.get(line.slice(start, at)) ?? []) if (!found.includes(wanted)) found.push(wanted);
    }
    return found;
  }

  /** Notes which test the line names, if it does: the longest name counts, and where several tests have it those whose suite it has too. */
  #own(found: readonly (Key | Name)[], text: string, number: number): void {
    const names = found.filter((wanted) => "pattern" in wanted);
    if (names.length === 0) return;
    const isStatus = looksLikeStatus(text);
    let named: Name | undefined;
    for (const wanted of names) {
      if (named && named.text.length >= wanted.text.length) continue;
      const isHeading = text.length < wanted.text.length + 8; // Little else is on the line.
      if ((isStatus || isHeading || wanted.isDistinctive) && wanted.pattern.test(text)) named = wanted;
    }
    if (!named) return;
    const contexts = named.tests.map(({ context }) => context.filter((word) => text.includes(word)).length);
    const most = Math.max(...contexts);
    const owners = named.tests.filter((_, i) => contexts[i] === most).flatMap(({ failed }) => failed ?? []);
    this.#owners = owners;
    this.#ownedSince = number;
    if (!isStatus || !looksLikeFailure(text)) return;
    for (const test of owners) test.consider({ line: number, index: undefined, score: weights.named, around: 0 });
  }

  /** Weighs the line for every failure that it is a line of. */
  #ownLines(found: readonly (Key | Name)[], text: string, number: number): Set<FailedTest> {
    const considered = new Map<FailedTest, Place>();
    let likeness: number | undefined;
    for (const key of found) {
      if (!("uses" in key) || !text.includes(key.text)) continue;
      likeness ??= likenessOf(text);
      const share = Math.min(1, key.text.length / Math.min(text.length, limits.locateLineChars));
      const weight = key.uses.size === 1 ? weights.aroundAlone : weights.around;
      const owners = this.#owners.filter((test) => key.uses.has(test));
      const concerned =
        key.uses.size > limits.locateTwins && owners.length > 0 ? owners : [...key.uses.keys()].slice(0, limits.locateTwins);
      for (const test of concerned) {
        const { index, isHeadline, mayBeIt } = key.uses.get(test)!;
        test.hit({ line: number, index, weight, isSource: key.isSource });
        if (!mayBeIt || (share < 0.2 && key.text.length < 12)) continue;
        const says = weights.own * (0.4 + 0.6 * share) + (isHeadline ? weights.headline : 0);
        const isOwner = owners.includes(test);
        const whose = isOwner ? weights.owner : owners.length > 0 ? weights.rival : 0;
        const names = isOwner && number === this.#ownedSince ? weights.names : 0;
        const score = likeness + says + whose + names + lateness(key.text, index);
        const known = considered.get(test);
        if (!known || known.score < score) considered.set(test, { line: number, index, score, around: 0 });
      }
    }
    for (const [test, place] of considered) test.consider(place);
    return new Set(considered.keys());
  }
}

/** A message shows at its beginning, and long lines cost. */
function likenessOf(text: string): number {
  return messageLikeness(text.slice(0, limits.locateLineChars));
}

/** Of several messages that are alike but for their place in the source the last counts: a test that stops does so at it. */
function lateness(text: string, index: number): number {
  return /^[\w./-]+:\d+:/.test(text) ? index * 0.001 : 0;
}

// -- what is looked for ---------------------------------------------------------------------------------------------------

/** The lines of all failures' messages and details, and the places in source that they name. */
function keysOf(failed: readonly FailedTest[]): Key[] {
  const keys = new Map<string, Key>();
  for (const test of failed) {
    const add = (text: string, use: Use, isSource = false) => {
      let key = keys.get(text);
      if (!key) keys.set(text, (key = { text, isSource, uses: new Map() }));
      if (!key.uses.has(test)) key.uses.set(test, use);
    };
    const message = linesOf(test.record.message);
    const details = linesOf(test.record.details);
    const headline = isSaying(message[0]?.text) ? message[0]!.text : undefined;
    const lines = (details.length > 0 ? details : message).map((line) => ({ ...line, likeness: messageLikeness(line.text) }));
    // Of a long one what looks like a failure, and its beginning.
    const chosen =
      lines.length <= limits.locateLines ? lines : lines.toSorted((a, b) => b.likeness - a.likeness).slice(0, limits.locateLines);
    const isAnyLikely = chosen.some(({ likeness }) => likeness > -2);
    for (const { text, index, likeness } of chosen) {
      const isHeadline =
        headline !== undefined && (text.includes(headline) || (text.length > 12 && headline.includes(text.replace(/^E +/, ""))));
      const mayBeIt = likeness > -2 || !isAnyLikely || isHeadline;
      add(text, { index, isHeadline, mayBeIt });
      // Tools leave out `Error: ` in one of the two places, and shorten paths.
      const bare = text.replace(/^[\w$.]*(Error|Exception)( \[\w+\])?: /, "");
      if (bare !== text && bare !== "") add(bare, { index, isHeadline, mayBeIt });
      const place = /[\w-]+\.\w+:\d+(:\d+)?/.exec(text)?.[0];
      if (place !== undefined && place !== text) add(place, { index, isHeadline: false, mayBeIt: false }, true);
    }
    if (headline === undefined) continue;
    const index = lines.find(({ text }) => text.includes(headline))?.index ?? 0;
    add(headline, { index, isHeadline: true, mayBeIt: true });
  }
  return [...keys.values()];
}

/** Lines as they are compared. */
function linesOf(text: string): { text: string; index: number }[] {
  const lines = Buffer.from(text).toString("latin1").split("\n");
  return lines
    .map((line, index) => ({ text: normalized(withoutEscapes(line)).slice(0, limits.locateLineChars), index }))
    .filter((line) => line.text !== "");
}

/** Whether a message is more than the word that it failed. */
function isSaying(message: string | undefined): boolean {
  return message !== undefined && !/^(the )?(test )?(has )?(failed|failure|error|no test result found)\.?$/i.test(message);
}

function namesOf(tests: readonly TestRecord[], failed: ReadonlyMap<TestRecord, FailedTest>): Name[] {
  const names = new Map<string, Name>();
  for (const record of tests.slice(0, limits.junitTests)) {
    const text = Buffer.from(record.name)
      .toString("latin1")
      .replace(/^\[\w+( \([^)]*\))?\] /, "")
      .trim()
      .slice(0, limits.locateLineChars);
    const words = text.match(/\w+/g) ?? [];
    if (text === "") continue;
    let name = names.get(text);
    if (!name) {
      // Between the words of a name tools put separators and, as Ginkgo, the kind of its node.
      const inner =
        words.length === 0 ? text.replaceAll(/[^\w\x80-\xff]/g, "\\$&") : words.join(String.raw`\W{1,8}(?:\[[^\]]{0,40}\]\W{0,4})?`);
      const pattern = new RegExp(String.raw`(?<!\w)${inner}(?![\w/]|\.\w|::)`);
      const isDistinctive = /[a-z][A-Z]|[a-z]\d|_|\//.test(text) || words.length > 3;
      names.set(text, (name = { text, pattern, isDistinctive, tests: [] }));
    }
    const context = `${record.className} ${record.suite} ${record.file ?? ""}`.match(/\w{3,}/g) ?? [];
    if (name.tests.length < limits.locateTwins)
      name.tests.push({ failed: failed.get(record), context: [...new Set(context)].slice(0, 20) });
  }
  return [...names.values()];
}

/** Gives each text the rarest of its words, the longest among equals; a text without words cannot be looked for. */
function anchored(all: readonly (Key | Name)[]): { wanted: Key | Name; anchor: string }[] {
  const counts = new Map<string, number>();
  const words = all.map(({ text }) => {
    const whole = text.match(/[\w\x80-\xff]+/g) ?? [];
    if (text.length === limits.locateLineChars) whole.pop(); // It may have been cut.
    return [...new Set(whole)];
  });
  for (const each of words) for (const word of each) counts.set(word, (counts.get(word) ?? 0) + 1);
  return all.flatMap((wanted, i) => {
    const anchor = words[i]!.toSorted((a, b) => counts.get(a)! - counts.get(b)! || b.length - a.length)[0];
    return anchor === undefined ? [] : [{ wanted, anchor }];
  });
}

function isWordCode(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || code === 95 || code >= 128;
}

/** As {@link Scan} computes it on its way. */
function hashOf(word: string): number {
  let hash = 0;
  for (let at = 0; at < word.length; at++) hash = (hash * 31 + word.charCodeAt(at)) & 0xffff;
  return hash;
}
