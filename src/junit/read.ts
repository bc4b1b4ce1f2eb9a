/**
 * Reading JUnit XML, the form in which test tools tell their results: between a job's artifacts and the history. There is
 * no standard; this reads what gotestsum, go-junit-report, Ginkgo, pytest, jest-junit, Surefire and Gradle, kubetest2,
 * Playwright, bats and cargo-nextest write.
 *
 * A file is the job's and may be anything: it is read as a stream in bounded memory, document types and with them entities are
 * refused, and broken XML is a problem with its place, never an error. What was read before it counts.
 */
import { TextDecoder } from "node:util";
import { SaxesParser } from "saxes";
import type { Place, Problem } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

export type TestVerdict = "passed" | "failed" | "error" | "skipped";

/** One `<testcase>`. */
export interface TestRecord {
  /** Name of the innermost suite; empty when it has none. */
  suite: string;
  className: string;
  name: string;
  /** Where the test is, when the writer says so: of the test case, else of its suite. */
  file?: string;
  line?: number;
  /** 0 when the writer does not say. */
  seconds: number;
  /** `failed`: an assertion; `error`: the test broke before it could judge. Many writers know `failed` alone. */
  verdict: TestVerdict;
  /** Passed after it had failed in the same run (Surefire's flakyFailure and flakyError). */
  isFlaky: boolean;
  /** What the failure, error or skip says of itself in short; may have several lines. */
  message: string;
  /** The failure's text: output, stack trace. */
  details: string;
}

export interface JunitReport {
  tests: TestRecord[];
  /** What is wrong with the file. A repeated one is told once, with its first place and its count. */
  problems: Problem[];
}

/**
 * Reads one file.
 * @param input its bytes in any encoding that XML declares, or its text.
 * @param file its name, for problems.
 * @throws only what `input` throws.
 */
export async function readJunit(input: AsyncIterable<Uint8Array> | string, file: string): Promise<JunitReport> {
  const reader = new Reader(file);
  if (typeof input === "string") {
    reader.write(input);
  } else {
    const decoder = new Decoder();
    let bytes = 0;
    for await (const chunk of input) {
      const room = limits.junitFileBytes - bytes;
      bytes += chunk.length;
      reader.write(decoder.write(chunk.subarray(0, room)));
      if (bytes > limits.junitFileBytes) reader.stop(`the file has more than ${limits.junitFileBytes} bytes`);
      if (reader.hasStopped) break;
    }
    reader.write(decoder.end());
  }
  return reader.end();
}

// -- encoding -------------------------------------------------------------------------------------------------------------

/** Bytes to text: by the byte order mark, else by the zeros of UTF-16, else by the XML declaration, else UTF-8. */
class Decoder {
  #decoder: TextDecoder | undefined;
  /** Until there is enough to know the encoding. */
  #head: Uint8Array = new Uint8Array(0);

  write(chunk: Uint8Array): string {
    if (this.#decoder) return this.#decoder.decode(chunk, { stream: true });
    this.#head = Buffer.concat([this.#head, chunk]);
    return this.#head.length < 256 ? "" : this.#begin();
  }

  end(): string {
    return (this.#decoder ? "" : this.#begin()) + this.#decoder!.decode();
  }

  #begin(): string {
    this.#decoder = new TextDecoder(encodingOf(this.#head));
    return this.#decoder.decode(this.#head, { stream: true });
  }
}

function encodingOf(head: Uint8Array): string {
  const [first, second] = head;
  if ((first === 0xff && second === 0xfe) || (first === 0x3c && second === 0)) return "utf-16le";
  if ((first === 0xfe && second === 0xff) || (first === 0 && second === 0x3c)) return "utf-16be";
  const declared = /^\s*<\?xml[^>]*\sencoding\s*=\s*["']([\w.:-]+)["']/.exec(Buffer.from(head.subarray(0, 256)).toString("latin1"))?.[1];
  // One that could be read byte by byte is no UTF-16, whatever it says.
  if (declared === undefined || /^utf-?16/i.test(declared)) return "utf-8";
  try {
    return new TextDecoder(declared).encoding;
  } catch {
    return "utf-8";
  }
}

// -- the elements ---------------------------------------------------------------------------------------------------------

/** Thrown through the parser to leave it; never leaves this file. */
const stopped = new Error("stopped");

/** After these the parser goes on where it was, and nothing but a character or two is lost. The others leave nothing to trust. */
const harmless =
  /^(disallowed character\.|malformed character entity\.|undefined entity\.|the string "]]>" is disallowed|duplicate attribute|(an|the) XML declaration must (be|appear) at|expected (one of|the name)|text data outside of root|documents may contain only one root)/;

/** Elements that say how a test ended, by what they make of it. */
const outcomes: Readonly<Record<string, TestVerdict>> = { failure: "failed", error: "error", skipped: "skipped" };
const severity: readonly TestVerdict[] = ["passed", "skipped", "error", "failed"];

interface Outcome {
  verdict: TestVerdict;
  message: string;
}

class Reader {
  readonly #file: string;
  readonly #tests: TestRecord[] = [];
  readonly #problems = new Map<string, { place: Place; count: number }>();
  readonly #parser = new SaxesParser();
  /** Names of the elements that are open. */
  readonly #open: string[] = [];
  readonly #suites: { name: string; file: string | undefined }[] = [];
  #test: TestRecord | undefined;
  #outcome: Outcome | undefined;
  #text = "";
  #keptChars = 0;
  #errors = 0;
  #attributes = 0;
  #hasTests = false;
  hasStopped = false;

  constructor(file: string) {
    this.#file = file;
    this.#parser.ENTITIES = Object.assign(Object.create(null), { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" }) as Record<
      string,
      string
    >;
    this.#parser.on("doctype", () => this.#leave("a document type is refused"));
    this.#parser.on("error", (error) => this.#error(error));
    this.#parser.on("opentagstart", () => (this.#attributes = 0));
    this.#parser.on("attribute", () => this.#attribute());
    this.#parser.on("opentag", ({ name, attributes }) => this.#opened(name, attributes));
    this.#parser.on("closetag", ({ name }) => this.#closed(name));
    this.#parser.on("text", (text) => this.#said(text));
    this.#parser.on("cdata", (text) => this.#said(text));
  }

  write(text: string): void {
    // Small pieces, so that what the parser gathers of one long text or name can be cut in between.
    for (let at = 0; at < text.length && !this.hasStopped; at += pieceChars) {
      this.#parse(() => void this.#parser.write(text.slice(at, at + pieceChars)));
      if (!this.hasStopped) this.#cutGathered();
    }
  }

  end(): JunitReport {
    if (!this.#hasTests && this.#problems.size === 0) this.#problem("no test suite is in it: this is no JUnit file");
    if (!this.hasStopped) this.#parse(() => void this.#parser.close());
    if (this.#test) this.#finish(this.#test); // It was cut short: what it said until then counts.
    const problems = [...this.#problems].map(([message, { place, count }]) => ({
      place,
      path: "",
      message: count === 1 ? message : `${message} (${count} times)`,
    }));
    return { tests: this.#tests, problems };
  }

  /** Nothing more is read; what is there counts. */
  stop(why: string): void {
    if (this.hasStopped) return;
    this.hasStopped = true;
    this.#problem(`${why}; what comes after it is not read`);
  }

  #leave(why: string): never {
    this.stop(why);
    throw stopped;
  }

  #parse(step: () => void): void {
    try {
      step();
    } catch (error) {
      if (error !== stopped) throw error;
    }
  }

  #problem(text: string): void {
    const message = text.slice(0, 300); // A tag's name is in some.
    const known = this.#problems.get(message);
    if (known) known.count++;
    else if (this.#problems.size < limits.junitProblems) {
      const place = { file: this.#file, line: this.#parser.line, column: Math.max(1, this.#parser.column) };
      this.#problems.set(message, { place, count: 1 });
    }
  }

  #error(error: Error): void {
    if (this.hasStopped) return;
    const message = error.message.replace(/^(\d+:\d+: )?/, "");
    if (!harmless.test(message)) {
      this.#said(this.#gathered.text);
      this.#leave(`the XML is broken: ${message.replace(/\.$/, "")}`);
    }
    if (++this.#errors > limits.junitXmlErrors) this.#leave("the XML has too many errors");
    this.#problem(`not valid XML: ${message.replace(/\.$/, "")}`);
  }

  /** What saxes has read of a token that has not ended. It is private there, and has no bound of its own. */
  get #gathered(): { text: string; name: string; entity: string; piTarget: string } {
    return this.#parser as never;
  }

  /** A long text loses its middle; of names and entities only an attack is that long. */
  #cutGathered(): void {
    const gathered = this.#gathered;
    if (gathered.text.length > 2 * limits.junitDetailsChars) gathered.text = cutMiddle(gathered.text, limits.junitDetailsChars);
    const longest = Math.max(gathered.name.length, gathered.entity.length, gathered.piTarget.length);
    if (longest > limits.junitNameChars) this.stop("a name is too long");
  }

  #attribute(): void {
    if (++this.#attributes > limits.junitAttributes) this.#leave("an element has too many attributes");
  }

  #opened(name: string, attributes: Record<string, string>): void {
    this.#open.push(name);
    if (this.#open.length > limits.junitDepth) this.#leave(`elements nest more than ${limits.junitDepth} deep`);
    if (/^test(suites?|case)$/.test(name)) this.#hasTests = true;
    const get = (key: string) => attributes[key]?.slice(0, limits.junitNameChars);
    if (name === "testsuite") {
      this.#suites.push({ name: get("name") ?? "", file: get("file") ?? get("filepath") ?? this.#suites.at(-1)?.file });
    } else if (name === "testcase") {
      if (this.#test) this.#finish(this.#test);
      if (this.#tests.length >= limits.junitTests) this.#leave(`the file has more than ${limits.junitTests} tests`);
      const suite = this.#suites.at(-1);
      const file = get("file") ?? suite?.file;
      const line = Number.parseInt(get("line") ?? get("lineno") ?? "", 10);
      this.#test = {
        suite: suite?.name ?? "",
        className: get("classname") ?? "",
        name: get("name") ?? "",
        ...(file ? { file } : {}),
        ...(line >= 0 ? { line } : {}),
        seconds: parseSeconds(get("time") ?? ""),
        verdict: /^(skipped|disabled|notrun|ignored)$/i.test(get("status") ?? "") ? "skipped" : "passed",
        isFlaky: false,
        message: "",
        details: "",
      };
    } else if (this.#test && Object.hasOwn(outcomes, name)) {
      const message = attributes["message"] ?? "";
      this.#outcome = { verdict: outcomes[name]!, message: cutMiddle(message, limits.junitMessageChars) };
      this.#text = "";
    } else if (this.#test && /^flaky(Failure|Error)$/.test(name)) {
      this.#test.isFlaky = true;
    }
  }

  #said(text: string): void {
    // Text of an element inside a failure (Surefire's stackTrace) is its text too; output beside it is in the log already.
    if (!this.#outcome) return;
    this.#text += text;
    if (this.#text.length > 2 * limits.junitDetailsChars) this.#text = cutMiddle(this.#text, limits.junitDetailsChars);
  }

  #closed(name: string): void {
    this.#open.pop();
    if (name === "testsuite") this.#suites.pop();
    else if (name === "testcase" && this.#test) this.#finish(this.#test);
    else if (this.#test && this.#outcome && Object.hasOwn(outcomes, name)) this.#end(this.#test, this.#outcome);
  }

  /** The first of the worst outcomes of a test is the one that is told. */
  #end(test: TestRecord, { verdict, message }: Outcome): void {
    this.#outcome = undefined;
    const isTold = test.message !== "" || test.details !== "" || test.verdict !== verdict;
    if (isTold && severity.indexOf(verdict) <= severity.indexOf(test.verdict)) return;
    test.verdict = verdict;
    test.message = restoreControls(message);
    test.details = restoreControls(cutMiddle(this.#text, limits.junitDetailsChars)).replace(/^\s*\n|\s+$/g, "");
  }

  #finish(test: TestRecord): void {
    if (this.#outcome) this.#end(test, this.#outcome);
    this.#test = undefined;
    this.#keptChars += test.message.length + test.details.length;
    if (this.#keptChars > limits.junitKeptChars) {
      this.#problem(`the texts of all failures are longer than ${limits.junitKeptChars} characters: those from here on are left out`);
      test.message = test.message.slice(0, 200);
      test.details = "";
    }
    this.#tests.push(test);
  }
}

const pieceChars = 64 * 1024;

/** A text with no more than so many characters: its beginning and its end. */
function cutMiddle(text: string, most: number): string {
  if (text.length <= most) return text;
  const half = Math.floor(most / 2);
  return `${text.slice(0, half)}\n[…]\n${text.slice(text.length - half)}`;
}

/** Characters that XML cannot hold, as several writers put them: `&#x1b;` (which stays as text), and pytest's `#x1B`. */
function restoreControls(text: string): string {
  return text.replaceAll(/&#x0*([01]?[0-9a-f]);|&#27;|#x1B(?=\[)/gi, (_, code: string | undefined) =>
    String.fromCharCode(Number.parseInt(code ?? "1b", 16)),
  );
}

/** "1,234.5", "0,25", "1.5e-05", "": what writers and their locales make of a time. Never NaN or negative. */
function parseSeconds(text: string): number {
  const trimmed = text.trim();
  const isDecimalComma = /^\d+,\d+$/.test(trimmed) && !/^[1-9]\d{0,2},\d{3}$/.test(trimmed);
  const seconds = Number(isDecimalComma ? trimmed.replace(",", ".") : trimmed.replaceAll(",", ""));
  return Number.isFinite(seconds) && seconds > 0 ? seconds : 0;
}
