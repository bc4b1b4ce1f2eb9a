import fc from "fast-check";
import { expect, test } from "vitest";
import { codeSpan } from "./markdown.ts";

test.for([
  ["plain", "TestWidget", "`TestWidget`"],
  ["a mention, HTML, a link", "@all <img src=x> [a](b)", "`@all <img src=x> [a](b)`"],
  ["ticks inside", "a `b` ``c``", "``` a `b` ``c`` ```"],
  ["a tick alone", "`", "`` ` ``"],
  ["lines, that would end the paragraph", "a\n\n<script>\r\n\tb", "`a <script> b`"],
  ["text that runs backwards, and half a character", "a\u202Eb\uD83D", "`a b\uFFFD`"],
  ["nothing", " \n", "`?`"],
])("%s", ([, text, span]) => expect(codeSpan(text!, 100)).toBe(span));

test("any text is one span in one line, and no longer than allowed", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("`", "``", "a", " ", "\n", "<", "]", "\u2028", "\u0000", "🚢") }), (text) => {
      const span = codeSpan(text, 20);
      const [fence] = /^`+/.exec(span)!;
      expect(span.endsWith(fence)).toBe(true);
      const inside = span.slice(fence.length, -fence.length);
      expect(inside.match(/`+/g)?.some((ticks) => ticks.length === fence.length) ?? false).toBe(false);
      for (const breaking of ["\n", "\r", "\u2028", "\0"]) expect(inside).not.toContain(breaking);
      expect(inside.trim().length).toBeLessThanOrEqual(20);
    }),
  );
});
