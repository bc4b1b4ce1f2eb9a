import { describe, expect, test } from "vitest";
import type { LogLine } from "../../logs/lines.ts";
import type { JobView, RunBody } from "../api/schemas.ts";
import { markdown } from "./markdown.ts";
import { type JobPage, jobTop, lineRange, LogRenderer } from "./job.ts";

const at = "2026-11-01T12:00:00.000Z";

function attempt(number: number, more: Partial<JobView["attempts"][number]> = {}): JobView["attempts"][number] {
  return { uid: `a-${number}`, number, executor: "host", host: "local", startedAt: at, steps: [], tests: {}, ...more };
}

function page(more: Partial<JobPage> = {}, job: Partial<JobView> = {}): JobPage {
  return {
    job: {
      name: "run-e2e-0",
      phase: "Finished",
      verdict: "failed",
      createdAt: at,
      run: "run",
      job: "e2e",
      jobName: "e2e (a/b)",
      needs: [],
      clusters: [],
      attempts: [attempt(1)],
      link: "/jobs/run-e2e-0",
      ...job,
    },
    run: {
      name: "run",
      repository: "owner/project",
      workflow: { path: "ci.yml", name: "ci" },
      event: "push",
      ref: "refs/heads/main",
    } as RunBody,
    origin: "http://ci.example:7357",
    attempt: 1,
    tests: [],
    artifacts: [],
    events: [],
    ...more,
  };
}

function shown(more: Partial<JobPage> = {}, job: Partial<JobView> = {}): string {
  const given = page(more, job);
  return jobTop({ ...given, run: { ...given.run, sha: "0123456789abcdef" } }).text;
}

function line(number: number, text = `line ${number}`, more: Partial<LogLine> = {}): LogLine {
  return { number, text, bytes: text.length, isCut: false, time: new Date(at), ...more };
}

/** Texts of lines, as they are shown. */
function texts(...lines: string[]): string[] {
  const renderer = new LogRenderer(page(), undefined);
  const { text } = renderer.lines(lines.map((each, index) => line(index + 1, each)));
  return Array.from(text.matchAll(/<span>(.*?)<\/span><\/div>/gs), ([, inner]) => inner!);
}

test.each([
  ["120", { from: 120, to: 120 }],
  ["L120", { from: 120, to: 120 }],
  ["120-130", { from: 120, to: 130 }],
  ["L120-L130", { from: 120, to: 130 }],
  ["7-7", { from: 7, to: 7 }],
  [undefined, undefined],
  ["", undefined],
  ["0", undefined],
  ["130-120", undefined],
  ["-5", undefined],
  ["12x", undefined],
  ["1e3", undefined],
  ["9".repeat(13), undefined],
])("line=%s", (text, range) => {
  expect(lineRange(text)).toEqual(range);
});

test.each([
  ["colours go", "\u001b[1;31mError:\u001b[0m \u001b[38;5;12mx\u001b[K", "Error: x"],
  ["titles and links of terminals go", "\u001b]0;title\u0007a\u001b]8;;https://x\u001b\\b", "ab"],
  ["of a line that was written over the last text stays", "10%\r50%\r100%", "100%"],
  ["a line end of Windows is none of the text", "text\r", "text"],
  ["what only looks like an escape stays", "[31mred", "[31mred"],
  ["markup is text", "<img src=x onerror=alert(1)> & more", "&lt;img src=x onerror=alert(1)&gt; &amp; more"],
  ["markup between colours is text, too", "<\u001b[0mscript>", "&lt;script&gt;"],
  ["blanks at the start stay", "    indented\tx", "    indented\tx"],
])("%s", (_name, printed, expected) => {
  expect(texts(printed)).toEqual([expected]);
});

test("a line that is cut says how long it is", () => {
  const { text } = new LogRenderer(page(), undefined).lines([line(1, "begins", { isCut: true, bytes: 10 * 1024 ** 2 })]);
  expect(text).toContain("begins");
  expect(text).toContain("10.0 MiB in this line");
});

describe("marked lines", () => {
  const rendered = (marked: { from: number; to: number } | undefined, ...pieces: number[][]) => {
    const renderer = new LogRenderer(page(), marked);
    const text = pieces.map((numbers) => renderer.lines(numbers.map((number) => line(number))).text).join("") + renderer.end().text;
    return {
      marked: Array.from(text.matchAll(/<div id="L(\d+)" class="marked">/g), ([, number]) => Number(number)),
      range: /<div class="range" id="([^"]+)">/.exec(text)?.[1],
      isBalanced: text.split("<div").length === text.split("</div>").length,
      insideRange: Array.from((/<div class="range".*?>(.*)<\/div>/s.exec(text)?.[1] ?? "").matchAll(/id="L(\d+)"/g)).length,
    };
  };

  test("one line is marked, and has its own anchor alone", () => {
    expect(rendered({ from: 2, to: 2 }, [1, 2, 3])).toMatchObject({ marked: [2], range: undefined, isBalanced: true });
  });

  test("a range has an anchor around all of it, also when its lines come in pieces", () => {
    expect(rendered({ from: 2, to: 4 }, [1, 2], [3], [4, 5])).toMatchObject({ marked: [2, 3, 4], range: "L2-L4", isBalanced: true });
  });

  test("one that begins before what is shown is open from the first line on; one that ends after it is closed", () => {
    expect(rendered({ from: 1, to: 4 }, [3, 4, 5])).toMatchObject({ marked: [3, 4], range: "L1-L4", isBalanced: true });
    expect(rendered({ from: 2, to: 9 }, [1, 2, 3])).toMatchObject({ marked: [2, 3], range: "L2-L9", isBalanced: true });
  });

  test("one that is not there marks nothing", () => {
    expect(rendered({ from: 7, to: 9 }, [1, 2, 3])).toMatchObject({ marked: [], range: undefined, isBalanced: true });
  });
});

test("what tests, steps, artifacts and events say is text", () => {
  const evil = "<b>evil</b>";
  const text = shown(
    {
      tests: [{ suite: evil, className: evil, name: `${evil} test`, verdict: "failed", message: evil, logLine: 3 }],
      artifacts: [{ path: `${evil}?path=x&attempt=9`, size: 2048, digest: "", contentType: "", key: "" }],
      events: [{ cluster: evil, uid: "1", time: new Date(at), type: evil, reason: evil, object: evil, message: evil, count: 3 }],
    },
    {
      jobName: evil,
      message: evil,
      attempts: [attempt(1, { steps: [{ name: evil, state: "finished", verdict: "failed", message: evil, startedAt: at, firstLine: 2 }] })],
    },
  );
  expect(text).not.toContain("<b>");
  expect(text).toContain("&lt;b&gt;evil&lt;/b&gt; test</a>");
  expect(text).toContain("/artifact?path=%3Cb%3Eevil%3C%2Fb%3E%3Fpath%3Dx%26attempt%3D9&amp;attempt=1");
  expect(text).toContain("2.0 KiB");
  expect(text).toContain("×3");
});

test("failing tests lead to their lines, others are not listed; one without a line has no link", () => {
  const of = (name: string, verdict: "failed" | "error" | "passed" | "skipped", logLine?: number) => ({
    suite: "s",
    className: "c",
    name,
    verdict,
    logLine,
  });
  const text = shown({ tests: [of("one", "failed", 12), of("two", "error"), of("three", "passed", 4), of("four", "skipped")] });
  expect(text).toContain('<a href="/jobs/run-e2e-0?attempt=1&amp;line=12#L12">c one</a>');
  expect(text).toContain('<span class="error">c two</span>');
  expect(text).not.toMatch(/three|four/);
});

test("links on the page of an earlier attempt stay with it; which one is shown is said", () => {
  const steps = [{ name: "step", state: "finished" as const, verdict: "failed" as const, startedAt: at, firstLine: 2 }];
  const attempts = [attempt(1, { verdict: "error", steps }), attempt(2, { verdict: "failed", steps })];
  const ofFirst = shown({ attempt: 1 }, { attempts });
  expect(ofFirst).toContain('<a href="/jobs/run-e2e-0?attempt=1&amp;line=2#L2">step</a>');
  expect(ofFirst).toContain('?attempt=1" aria-current="page">1 (error)</a>');
  expect(shown({ attempt: 2 }, { attempts })).toContain('<a href="/jobs/run-e2e-0?attempt=2&amp;line=2#L2">step</a>');
  const first = { job: page({}, { attempts }).job, attempt: 1 };
  expect(new LogRenderer(first, undefined).lines([line(5)]).text).toContain('href="/jobs/run-e2e-0?attempt=1&amp;line=5#L5"');
});

test("a long list of artifacts is closed, and its length is said; a short one is open", () => {
  const artifacts = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ path: `file-${index}`, size: 1, digest: "", contentType: "", key: "" }));
  expect(shown({ artifacts: artifacts(2) })).toContain('<details open><summary><h2>Artifacts</h2> <span class="dim">2</span>');
  expect(shown({ artifacts: artifacts(100) })).toContain('<details><summary><h2>Artifacts</h2> <span class="dim">100</span>');
});

describe("groups", () => {
  const folded = (marked: string | undefined, ...lines: string[]) => {
    const renderer = new LogRenderer(page(), lineRange(marked));
    const text = renderer.lines(lines.map((each, index) => line(index + 1, each))).text + renderer.end().text;
    return text.replaceAll(/<div id="L(\d+)"[^>]*><a[^>]*>\d+<\/a><span>(.*?)<\/span><\/div>/g, "[$2]");
  };

  test.each([
    [
      "fold up to their end",
      undefined,
      ["a", "::group::My title", "b", "::endgroup::", "c"],
      '[a]<details class="group"><summary>[My title]</summary>[b]</details>[::endgroup::][c]',
    ],
    [
      "the next begins where one was not ended",
      undefined,
      ["::group::a", "b", "::group::c"],
      '<details class="group"><summary>[a]</summary>[b]</details><details class="group"><summary>[c]</summary></details>',
    ],
    [
      "and a step ends it",
      undefined,
      ["::group::a", "» Run x", "b"],
      '<details class="group"><summary>[a]</summary></details>[» Run x][b]',
    ],
    [
      "are open where a line is asked for",
      "3",
      ["::group::a", "b", "c"],
      '<details class="group" open><summary>[a]</summary>[b][c]</details>',
    ],
    [
      "a range within one is shown as it is",
      "2-4",
      ["::group::a", "b", "::endgroup::", "::group::c", "d"],
      '<details class="group" open><summary>[a]</summary></details><div class="range" id="L2-L4">[b][::endgroup::][::group::c]</div>[d]',
    ],
    ["an end without a beginning", undefined, ["::endgroup::", "a"], "[::endgroup::][a]"],
    ["titles are text", undefined, ["::group::<b>"], '<details class="group"><summary>[&lt;b&gt;]</summary></details>'],
  ])("%s", (_, marked, lines, markup) => {
    expect(folded(marked, ...lines)).toBe(markup);
  });
});

test("summaries of steps, by their names", () => {
  const summaries = [{ step: 1, content: markdown("### Done\n<script>") }];
  const steps = ["build", "report"].map((name) => ({ name, state: "finished" as const, startedAt: at, firstLine: 1 }));
  const text = shown({ summaries }, { attempts: [attempt(1, { steps })] });
  expect(text).toContain("<summary><h2>report</h2>");
  expect(text).toContain("<h5>Done</h5>&lt;script&gt;");
});
