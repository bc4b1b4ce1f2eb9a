/**
 * How a line of a log looks, whatever tool wrote it: like the message of an assertion, like a frame of a stack, like a
 * test's status. Lines are given without colour, timestamps and repeated spaces; their bytes are characters (latin1).
 */

/** What a message begins with, or has, in the output of one tool or several; the strongest counts. */
const strong: readonly (readonly [RegExp, number])[] = [
  [/^(panic|fatal error): /, 4],
  // Ginkgo; but not where it only announces that it will be told below.
  [/^\[(FAILED|PANICKED|TIMEDOUT)\] (?!in \[)/, 3],
  [/^E +[^ ]/, 3], // pytest
  [/^expect\(|^assert\.\w/, 3], // jest
  [/^([\w$]+[.:])*[\w$]*(Error|Exception|Failure|Failed|Exit)( \[\w+\])?(:|$)/, 3],
  [/\bpanicked at /, 3],
  [/^(assertion|assert)\b/i, 2],
  [/^[\w./-]+\.\w{1,5}:\d+(:\d+)?:( |$)/, 2], // file:line: message
];

/** Words of failures; all count. */
const words: readonly (readonly [RegExp, number])[] = [
  [/\b(expected|unexpected|want(ed)?|got|not equal|mismatch(ed)?|should|must|did not|does not|was not|is not|were not)\b/i, 1.5],
  [
    /\b(fail(ed|ure|s)?|errors?|exceeded|timed? ?out|refused|denied|cannot|can't|could not|unable|unauthorized|invalid|missing|not found|no such|unknown|wrong|nothing|never|reset|stale)\b/i,
    0.5,
  ],
];

/** What a line is that is no message; the strongest counts. */
const otherwise: readonly (readonly [RegExp, number])[] = [
  // Frames of a stack, and what belongs to them.
  [
    /^(at|in) [\w<(]|^goroutine \d|^File "|^#?\d+: [\w<]|\+0x[0-9a-f]+$|^created by |^\.\.\. \d+ more|^Caused by: |^\S{1,200}\([^ ()]*\)$/,
    -3,
  ],
  // What a test's status is told in, and sums of many.
  [
    /^(=== (RUN|PAUSE|CONT|NAME|FAIL|SKIP|Failed|Errors)|--- (PASS|SKIP|FAIL)|(PASS|FAIL|FAILED|ERROR|ok)\b(?!:)|DONE )|^test .* \.\.\. /,
    -3,
  ],
  [/\btests? run:|\b\d+ (passed|failed|failures?)\b/i, -2],
  // An excerpt of source; a field of an object.
  [/^(> ?)?\d+ ?\||^\| |^> /, -3],
  [/^[\w"]+: .*[,{]$/, -1.5],
  // A line of a program's log.
  [/^\[?(INFO|DEBUG|TRACE|WARN|WARNING)\b|^[IWEF]\d{4} \d|\blevel="?(info|debug|warn|error)|\b(INFO|DEBUG|WARN|ERROR) /, -2],
];

/** How much a line looks like the message of a failure: about -3 to 6. From 1.5 on it can be taken for one without more evidence. */
export function messageLikeness(line: string): number {
  const found = (marks: typeof strong) => marks.filter(([pattern]) => pattern.test(line)).map(([, weight]) => weight);
  const against = failedSymbols.test(line) ? [...found(otherwise), -2] : found(otherwise);
  return Math.max(0, ...found(strong)) + found(words).reduce((sum, weight) => sum + weight, 0) + Math.min(0, ...against);
}

/** Whether a line tells of a test as such (it runs, passes, fails; a headline), rather than mentioning its name by the way. */
export function looksLikeStatus(line: string): boolean {
  return (
    /\b(FAIL(ED|URE)?|PASS(ED)?|ERROR|RUN|CONT|NAME|RERUN|SKIP(PED)?|(not )?ok \d|panicked at)\b|<<<|^_{2,} |^-{3,} |^={2,} |^\d+\) |^test .* \.\.\. |\[\w+\] \w/.test(
      line,
    ) || symbols.test(line)
  );
}

/** Whether such a line says that the test failed. */
export function looksLikeFailure(line: string): boolean {
  return /\b(FAIL(ED|URE)?|ERROR|not ok|panicked at)\b|<<< |^_{2,} /.test(line) || failedSymbols.test(line);
}

const inBytes = (characters: string) => new RegExp([...characters].map((character) => Buffer.from(character).toString("latin1")).join("|"));
const failedSymbols = inBytes("✕✖✗×●");
const symbols = inBytes("✕✖✗×●✓✔•▶❯");

/** A line without colours and other control sequences of terminals (ECMA-48). */
export function withoutEscapes(line: string): string {
  return line.includes("\x1b") ? line.replaceAll(escapes, "") : line;
}

// oxlint-disable-next-line no-control-regex
const escapes = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])/g;

/** Times and names of sources before a line, as CI systems, docker compose and TAP put them; spaces become one. */
export function normalized(line: string): string {
  return line.replaceAll(/\s+/g, " ").replace(prefix, "").trim();
}

const prefix = /^ ?(?:\[?\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?\]? |\[?\d\d:\d\d:\d\d(?:[.,]\d+)?\]? |[a-zA-Z][\w.-]* +\| |# )+/;
