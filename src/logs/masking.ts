/**
 * Masking: secrets leave a stream of bytes before a byte of it is stored. It runs in the runner, between a step's output and
 * the spool, and wherever else a text of a job is kept (outputs, messages, names).
 *
 * All forms of all secrets are one Aho-Corasick automaton: one look at each byte, whatever the secrets and the input are, so
 * that neither can make it slow. Bytes that a match covers are replaced; matches that overlap or touch become one `***`.
 * The result does not depend on how the input was cut into chunks.
 *
 * Forms are those in which tools write a value by themselves: as it is, and each of its lines; base64, also in the middle of
 * something longer and broken into lines; percent-encoded; in a JSON string; in XML and HTML; quoted for a shell. What a job computes on purpose (a
 * hash, hexadecimal, a reversed text) cannot be listed and is not tried.
 *
 * It is bundled into the runner: no imports beyond `base`.
 */
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

const stars = Buffer.from("***");

/** Whether a value can be masked at all: shorter ones are ignored, and whoever hands them in should say so. */
export function isMaskable(value: string): boolean {
  return value.trim().length >= limits.maskLeastChars;
}

export function createMask(values: Iterable<string>): Mask {
  const mask = new Mask();
  for (const value of values) mask.add(value);
  return mask;
}

/** The values to mask of one job. Streams of it see values that are added later, from their next byte on. */
export class Mask {
  /** Bytes as latin1. */
  readonly #forms = new Set<string>();
  #bytes = 0;
  #automaton: Automaton | undefined;
  #onAdded: ((value: string) => void) | undefined;

  /** Calls the listener with each value that is added from now on. One listener. */
  onAdded(listener: (value: string) => void): void {
    this.#onAdded = listener;
  }

  /**
   * Masks one more value. One that is there already changes nothing.
   * @returns false when the value is too short to be masked, see {@link isMaskable}.
   * @throws SeatrialError `refused` when all forms together exceed {@link limits.maskFormsBytes}; nothing has changed then.
   */
  add(value: string): boolean {
    if (!isMaskable(value)) return false;
    const isHuge = value.length * 5 > limits.maskFormsBytes; // Itself and three in base64: no need to make them.
    const forms = isHuge ? [] : formsOf(value).map((form) => form.toString("latin1"));
    const added = forms.filter((form) => !this.#forms.has(form));
    const bytes = added.reduce((sum, form) => sum + form.length, this.#bytes);
    if (isHuge || bytes > limits.maskFormsBytes) {
      throw new SeatrialError("refused", `the values to mask are too long: their forms have more than ${limits.maskFormsBytes} bytes`, {
        hint: "keep long values in a file that only the step that needs it fetches",
      });
    }
    for (const form of added) this.#forms.add(form);
    this.#bytes = bytes;
    if (added.length === 0) return true;
    this.#automaton = undefined;
    this.#onAdded?.(value);
    return true;
  }

  /** Masks a text that is at hand whole. */
  text(text: string): string {
    const bytes = Buffer.from(text);
    const stream = this.stream();
    const masked = Buffer.concat([stream.push(bytes), stream.flush()]);
    return masked.equals(bytes) ? text : masked.toString();
  }

  /** A new stream; any number can be open at once. */
  stream(): MaskStream {
    return new MaskStream(() => (this.#automaton ??= buildAutomaton([...this.#forms].sort())));
  }
}

/** One stream of bytes through a {@link Mask}. Not for concurrent use. */
export class MaskStream {
  readonly #current: () => Automaton;
  #automaton: Automaton | undefined;
  #state = 0;
  /** Bytes that were pushed and not yet given back: the longest end of the input that could begin a match. */
  #held: Uint8Array = new Uint8Array(0);
  /**
   * What is known to be masked of the held bytes: start and end by turns, in order. The first start is -1 when its stars have
   * been written already: then whatever touches it needs none.
   */
  #spans: number[] = [];

  constructor(current: () => Automaton) {
    this.#current = current;
  }

  /**
   * Takes the next bytes and gives all that is certain: everything but an end that could begin a secret, so that a prompt
   * without a newline appears at once.
   * @returns bytes that may share memory with `chunk`.
   */
  push(chunk: Uint8Array): Uint8Array {
    const automaton = this.#current();
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    let from = this.#held.length;
    if (automaton !== this.#automaton) {
      // A value was added: what is held is looked at anew. What was written cannot be taken back.
      this.#automaton = automaton;
      this.#state = 0;
      this.#spans = this.#spans[0] === -1 ? this.#spans.slice(0, 2) : [];
      from = 0;
    }
    this.#state = scan(automaton, this.#state, bytes, from, this.#spans);
    return this.#give(bytes, bytes.length - automaton.open[this.#state]!);
  }

  /** Gives what is held: the input has ended. The stream can be used again, as a new one. */
  flush(): Uint8Array {
    const given = this.#give(this.#held, this.#held.length);
    this.#spans = [];
    this.#state = 0;
    return given;
  }

  /** Gives the bytes before `end` with their stars, and holds the others. No later match begins before `end`. */
  #give(bytes: Uint8Array, end: number): Uint8Array {
    const parts: Uint8Array[] = [];
    const spans: number[] = [];
    let at = 0;
    for (let i = 0; i < this.#spans.length; i += 2) {
      const start = this.#spans[i]!;
      const stop = this.#spans[i + 1]!;
      if (start >= end) {
        spans.push(start - end, stop - end);
        continue;
      }
      if (start >= 0) parts.push(bytes.subarray(at, start), stars);
      at = Math.min(stop, end);
      if (stop >= end) spans.push(-1, stop - end);
    }
    const rest = bytes.subarray(at, end);
    this.#spans = spans;
    this.#held = Uint8Array.from(bytes.subarray(end)); // A copy: a few bytes must not keep a whole chunk alive.
    return parts.length === 0 ? rest : Buffer.concat([...parts, rest]);
  }
}

// -- the automaton --------------------------------------------------------------------------------------------------------

/** States are numbers; 0 is the root. Children of a state are a list, but for the first two levels, which have tables. */
interface Automaton {
  /** By which byte a state is reached; its first child and its next sibling, 0 for none. */
  readonly label: Uint8Array;
  readonly child: Int32Array;
  readonly sibling: Int32Array;
  /** The state of the longest proper end of what led here. */
  readonly fail: Int32Array;
  /** How many of the last bytes could still become a form. */
  readonly open: Int32Array;
  /** Length of the longest form that ends here, 0 for none. */
  readonly longest: Int32Array;
  /** Number of the state's table, -1 for none; the tables, of 256 next states each. The root has table 0. */
  readonly table: Int16Array;
  readonly tables: Int32Array;
}

/** @param forms bytes as latin1, in the order of their bytes: then what a form shares with another it shares with the one before. */
function buildAutomaton(forms: readonly string[]): Automaton {
  const most = forms.reduce((sum, form, i) => sum + form.length - sharedLength(form, forms[i - 1] ?? ""), 1);
  const label = new Uint8Array(most);
  const child = new Int32Array(most);
  const sibling = new Int32Array(most);
  const fail = new Int32Array(most);
  const depth = new Int32Array(most);
  const open = new Int32Array(most);
  const longest = new Int32Array(most);
  const childOf = (state: number, byte: number) => {
    let at = child[state]!;
    while (at !== 0 && label[at] !== byte) at = sibling[at]!;
    return at;
  };
  let states = 1;
  for (const form of forms) {
    let state = 0;
    for (let i = 0; i < form.length; i++) {
      const byte = form.charCodeAt(i);
      let next = childOf(state, byte);
      if (next === 0) {
        next = states++;
        label[next] = byte;
        sibling[next] = child[state]!;
        child[state] = next;
        depth[next] = depth[state]! + 1;
      }
      state = next;
    }
    longest[state] = form.length;
  }
  // Breadth first: the state that a state fails to is less deep, and finished before it.
  const order = new Int32Array(states);
  let tail = 1;
  for (let head = 0; head < tail; head++) {
    const state = order[head]!;
    for (let at = child[state]!; at !== 0; at = sibling[at]!) {
      let back = fail[state]!;
      while (back !== 0 && childOf(back, label[at]!) === 0) back = fail[back]!;
      fail[at] = state === 0 ? 0 : childOf(back, label[at]!);
      if (longest[at] === 0) longest[at] = longest[fail[at]!]!;
      open[at] = child[at] === 0 ? open[fail[at]!]! : depth[at]!;
      order[tail++] = at;
    }
  }
  const table = new Int16Array(states).fill(-1);
  let tableCount = 0;
  while (tableCount < states && depth[order[tableCount]!]! <= 1) table[order[tableCount]!] = tableCount++;
  const tables = new Int32Array(tableCount * 256);
  for (let number = 0; number < tableCount; number++) {
    const state = order[number]!;
    if (number > 0) tables.copyWithin(number * 256, 0, 256); // A state of one byte fails to the root.
    for (let at = child[state]!; at !== 0; at = sibling[at]!) tables[number * 256 + label[at]!] = at;
  }
  return { label, child, sibling, fail, open, longest, table, tables };
}

function sharedLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a.charCodeAt(length) === b.charCodeAt(length)) length++;
  return length;
}

/**
 * Runs over the bytes from `from` on, beginning in `state`, and enters what is matched into `spans`.
 * @returns the state at the end.
 */
function scan(automaton: Automaton, state: number, bytes: Uint8Array, from: number, spans: number[]): number {
  const { label, child, sibling, fail, longest, table, tables } = automaton;
  const length = bytes.length;
  for (let i = from; i < length; i++) {
    const byte = bytes[i]!;
    for (;;) {
      const number = table[state]!;
      if (number >= 0) {
        state = tables[number * 256 + byte]!;
        break;
      }
      let next = child[state]!;
      while (next !== 0 && label[next] !== byte) next = sibling[next]!;
      if (next !== 0) {
        state = next;
        break;
      }
      state = fail[state]!;
    }
    const matched = longest[state]!;
    if (matched !== 0) enter(spans, i + 1 - matched, i + 1);
  }
  return state;
}

/** Adds a span that ends after all others; those that it overlaps or touches become one with it. */
function enter(spans: number[], start: number, stop: number): void {
  while (spans.length > 0 && spans.at(-1)! >= start) {
    spans.pop();
    start = Math.min(start, spans.pop()!);
  }
  spans.push(start, stop);
}

// -- the forms ------------------------------------------------------------------------------------------------------------

/** Every form of a value, each once. Space around it is not part of it: files and `echo` add it, and tools cut it off. */
export function formsOf(value: string): Buffer[] {
  const text = value.trim();
  const lines = text.split(/[\r\n]+/).map((line) => line.trim());
  const forms = [text, ...lines, ...base64Forms(text), ...percentForms(text), ...jsonForms(text), ...xmlForms(text), ...shellForms(text)];
  return [...new Set(forms)].filter((form) => form.length >= limits.maskLeastChars).map((form) => Buffer.from(form));
}

/**
 * The characters of base64 that a value alone decides, when 0, 1 or 2 bytes stand before it in a group of three; with and without what ends
 * the text (RFC 4648), in both alphabets. And its lines where the whole value is encoded and broken at 64 (PEM) or 76 (MIME, `base64`).
 */
function base64Forms(text: string): string[] {
  const bytes = Buffer.from(text);
  const forms = [0, 1, 2].flatMap((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64");
    const decided = encoded.slice([0, 2, 3][before], Math.floor(((before + bytes.length) * 8) / 6));
    const ended = encoded.slice([0, 2, 3][before]);
    const broken = before === 0 ? [64, 76].flatMap((width) => pieces(decided, width)) : [];
    return [decided, ended.replace(/=+$/, ""), ended, ...broken];
  });
  return [...forms, ...forms.map((form) => form.replaceAll("+", "-").replaceAll("/", "_"))];
}

/** The lines of a broken text; a short last one would be found everywhere. */
function pieces(text: string, width: number): string[] {
  const count = text.length > width ? Math.ceil(text.length / width) : 0;
  return Array.from({ length: count }, (_, i) => text.slice(i * width, (i + 1) * width)).filter((piece) => piece.length >= 8);
}

/** What else than letters and digits a percent-encoding leaves as it is, and what it makes of a space. */
const percentEncodings = [
  { kept: "-_.~", space: "%20" }, // RFC 3986; Go's QueryEscape is the same with a plus.
  { kept: "-_.~", space: "+" },
  { kept: "*-._", space: "+" }, // Forms of browsers (WHATWG URL).
  { kept: "-_.~!'()*", space: "%20" }, // encodeURIComponent
  { kept: "-_.~/", space: "%20" }, // Python's quote
  { kept: "-_.~$&+=:@", space: "%20" }, // Go's PathEscape
  { kept: "-_.~!$&'()*+,", space: "%20" }, // A password in a URL (WHATWG URL)
];

function percentForms(text: string): string[] {
  const bytes = Buffer.from(text);
  return percentEncodings.flatMap(({ kept, space }) => {
    const encode = (hex: (byte: number) => string) =>
      Array.from(bytes, (byte) => {
        const character = String.fromCharCode(byte);
        if (character === " ") return space;
        return /[A-Za-z0-9]/.test(character) || kept.includes(character) ? character : `%${hex(byte).padStart(2, "0")}`;
      }).join("");
    return [encode((byte) => byte.toString(16).toUpperCase()), encode((byte) => byte.toString(16))];
  });
}

/** Inside a JSON string: as JavaScript writes it, with `<>&` escaped (Go), `/` escaped (PHP), in ASCII alone (Python). */
function jsonForms(text: string): string[] {
  const escaped = JSON.stringify(text).slice(1, -1);
  const escape = (pattern: RegExp) => escaped.replaceAll(pattern, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return [escaped, escape(/[<>&\u2028\u2029]/g), escaped.replaceAll("/", "\\/"), escape(/[^\0-\x7f]/g)];
}

/** What writers of XML and HTML make of a double and a single quote: in text, in attributes, Java's and JavaScript's, HTML's, Go's, Python's. */
const xmlQuotes = [
  ['"', "'"],
  ["&quot;", "'"],
  ["&quot;", "&apos;"],
  ["&quot;", "&#39;"],
  ["&#34;", "&#39;"],
  ["&quot;", "&#x27;"],
] as const;

/** Reports of tests are XML, and quote what failed. */
function xmlForms(text: string): string[] {
  const least = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return [least, least.replaceAll(">", "&gt;")].flatMap((escaped) =>
    xmlQuotes.map(([double, single]) => escaped.replaceAll('"', double).replaceAll("'", single)),
  );
}

/** Inside single quotes, as `set -x` of bash and of dash writes it; with backslashes (`printf %q`); as bash quotes what is no ASCII: `$'…'`. */
function shellForms(text: string): string[] {
  const named: Record<string, string> = { "'": "\\'", "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r" };
  const octal = Array.from(Buffer.from(text), (byte) => {
    const character = String.fromCharCode(byte);
    return named[character] ?? (byte < 32 || byte > 126 ? `\\${byte.toString(8).padStart(3, "0")}` : character);
  }).join("");
  return [text.replaceAll("'", `'\\''`), text.replaceAll("'", `'"'"'`), text.replaceAll(/[^\w@%+=:,./-]/g, "\\$&"), octal];
}
