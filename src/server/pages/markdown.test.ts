import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { markdown } from "./markdown.ts";

const link = (target: string, text: string) => `<a href="${target}" rel="nofollow noreferrer">${text}</a>`;

describe("what is rendered", () => {
  test.each<[name: string, text: string, markup: string]>([
    ["a heading", "### Tests :rocket: ###", "<h5>Tests :rocket:</h5>"],
    ["paragraphs", "one\ntwo\n\nthree", "<p>one\ntwo</p><p>three</p>"],
    ["emphasis", "**bold** *it* _it_ ~~no~~ a_b_c 2*3*4", "<p><strong>bold</strong> <em>it</em> <em>it</em> <del>no</del> a_b_c 2*3*4</p>"],
    ["code", "run `go test <x>`", "<p>run <code>go test &lt;x&gt;</code></p>"],
    ["a block of code", "```go\na < b\n# no heading\n```\nafter", "<pre><code>a &lt; b\n# no heading</code></pre><p>after</p>"],
    ["a block that does not end", "~~~\nrest", "<pre><code>rest</code></pre>"],
    [
      "lists",
      "- one\n- [x] done\n- [ ] not\n\n1. first\n2. second",
      "<ul><li>one</li><li>☑ done</li><li>☐ not</li></ul><ol><li>first</li><li>second</li></ol>",
    ],
    [
      "a table",
      "| a | b \\| c |\n|---|:-:|\n| 1 | **2** |\nafter",
      "<table><thead><tr><th>a</th><th>b | c</th></tr></thead><tbody><tr><td>1</td><td><strong>2</strong></td></tr></tbody></table><p>after</p>",
    ],
    ["a quote", "> said\n> so", "<blockquote>said<br>so<br></blockquote>"],
    ["a line", "---", "<hr>"],
    [
      "links",
      '[docs](https://example.org/a?b=1&c=2 "t") https://example.org',
      `<p>${link("https://example.org/a?b=1&amp;c=2", "docs")} ${link("https://example.org", "https://example.org")}</p>`,
    ],
    ["a picture is a link", "![logo](https://example.org/x.png)", `<p>${link("https://example.org/x.png", "logo")}</p>`],
    ["tags of core.summary", '<table><tr><th colspan="2">h</th></tr></table>', "<table><tr><th>h</th></tr></table>"],
    [
      "details",
      "<details><summary>More</summary>\n\n- in it\n\n</details>",
      "<details><summary>More</summary><ul><li>in it</li></ul></details>",
    ],
  ])("%s", (_, text, markup) => {
    expect(markdown(text).text).toBe(markup);
  });
});

describe("what is not", () => {
  test.each<[name: string, text: string, markup: string]>([
    ["a script", "<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"],
    ["attributes", '<b onclick="x">t</b><td style="x">', "<b>t</b><td></td>"],
    ["a link that runs", "[x](javascript:alert(1)) <a href='javascript:x'>y</a>", "<p>[x](javascript:alert(1)) <a>y</a></p>"],
    ["a link with quotes", '[x](https://a"onclick=b)', `<p>${link("https://a&quot;onclick=b", "x")}</p>`],
    ["what ends the page", "</main></body></section></table>text", "&lt;/main&gt;&lt;/body&gt;&lt;/section&gt;text"],
    ["what is not ended", "<details><table>", "<details><table></table></details>"],
    ["what is ended in the wrong order", "<b><i>x</b></i>", "<b><i>x</i></b>"],
  ])("%s", (_, text, markup) => {
    expect(markdown(text).text).toBe(markup);
  });
});

test("any text: every tag is one of ours, and each that is opened is closed", () => {
  const piece = fc.constantFrom(
    "<b>",
    "</b>",
    "<table>",
    "</td>",
    "<script>",
    "|",
    "|-|",
    "\n",
    "```",
    "- ",
    "> ",
    "**",
    "`",
    "[a](",
    "https://x",
    ")",
    "<a href=",
    "'",
    '"',
    ">",
    "#",
    " ",
    "x",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      const { text } = markdown(pieces.join(""));
      const open: string[] = [];
      for (const [, end, tag] of text.matchAll(/<(\/?)([a-z0-9]+)(?: href="https?:[^"<>]*" rel="nofollow noreferrer")?>/g)) {
        if (tag === "br" || tag === "hr") continue;
        if (end === "") open.push(tag!);
        else expect(open.includes(tag!)).toBe(true);
        if (end !== "") open.splice(open.lastIndexOf(tag!), 1);
      }
      expect(open).toEqual([]);
      expect(text.replaceAll(/<\/?[a-z0-9]+(?: href="https?:[^"<>]*" rel="nofollow noreferrer")?>/g, "")).not.toMatch(/[<>]/);
    }),
  );
});

test.each(["- a\rb", "1. a\u2028b", "> a\u2029b", "- [x] a\u2028b", "# a\u2028b"])(
  "a line is not ended by what other programs end lines with: %j",
  (text) => {
    expect(markdown(text).text).toMatch(/b</);
  },
);

test("much of it takes no time", () => {
  const startedMs = performance.now();
  for (const text of [
    "**".repeat(200_000),
    "`".repeat(400_000),
    "[".repeat(400_000),
    "<b>".repeat(200_000),
    "_a".repeat(200_000),
    "| ".repeat(200_000),
    "|".repeat(400_000) + "\n-|-",
    `# x${" ".repeat(200_000)}y`,
    `a|b\n${" ".repeat(200_000)}x`,
    `[](${"a".repeat(2300)}`.repeat(100),
  ])
    markdown(text);
  expect(performance.now() - startedMs).toBeLessThan(4_000);
});
