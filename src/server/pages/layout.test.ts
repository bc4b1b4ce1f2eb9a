import { expect, test } from "vitest";
import { badge, duration, escapeText, html, Html, pageHeaders, pageTop } from "./layout.ts";

test("what comes from outside is escaped, wherever it stands; what is markup is not", () => {
  const name = `<script>alert("1")</script> & 'x'`;
  const escaped = "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;x&#39;";
  expect(html`<a title="${name}">${name}</a>`.text).toBe(`<a title="${escaped}">${escaped}</a>`);
  expect(html`${html`<b>${name}</b>`}${[new Html("<i>"), name]}`.text).toBe(`<b>${escaped}</b><i>${escaped}`);
  expect(pageTop(name, [{ text: name, href: `/?text=${name}` }, { text: name }]).text).not.toContain("<script");
});

test("nothing is shown of what is not there; a zero is", () => {
  expect(html`[${undefined}${false}${[]}${0}]`.text).toBe("[0]");
});

test.each([
  ["a bell and a nul are pictures of themselves", "a\u0007b\u0000c", "a␇b␀c"],
  ["delete, too", "\u007f", "␡"],
  ["tabs and line ends stay", "a\tb\nc\rd", "a\tb\nc\rd"],
  ["other scripts stay", "ü 漢 🚢", "ü 漢 🚢"],
])("%s", (_name, text, shown) => {
  expect(escapeText(text)).toBe(shown);
});

test("a verdict is told by a mark and a word, and the mark is not read out", () => {
  expect(badge("Finished", "timed-out").text).toBe('<span class="badge timed-out"><span aria-hidden="true">◷</span> timed-out</span>');
  expect(badge("Running", undefined).text).toContain("</span> Running</span>");
});

test.each([
  [0, "0 ms"],
  [-5, "0 ms"],
  [12.4, "12 ms"],
  [1_000, "1.0 s"],
  [59_949, "59.9 s"],
  [60_000, "1 min 0 s"],
  [3_725_000, "1 h 2 min"],
])("%s milliseconds are %s", (ms, shown) => {
  expect(duration(ms)).toBe(shown);
});

test("a page runs nothing, loads nothing from elsewhere, and is framed by nobody", () => {
  const policy = Object.fromEntries(
    pageHeaders["content-security-policy"]!.split("; ").map((directive) => {
      const [name, ...sources] = directive.split(" ");
      return [name, sources.join(" ")];
    }),
  );
  expect(policy).toMatchObject({ "default-src": "'none'", "style-src": "'self'", "frame-ancestors": "'none'", "base-uri": "'none'" });
  expect(policy).not.toHaveProperty("script-src");
});
