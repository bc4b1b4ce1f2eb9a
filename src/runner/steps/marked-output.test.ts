import fc from "fast-check";
import { expect, test } from "vitest";
import { MarkedOutput, markStart } from "./marked-output.ts";

const mark = `${markStart}abc-def`;

/** What came out, in order: text joined, marks as objects. */
function read(chunks: readonly Buffer[]): (string | { ended: string })[] {
  const seen: (string | { ended: string })[] = [];
  const output = new MarkedOutput(
    mark,
    (bytes) => {
      const last = seen.at(-1);
      if (typeof last === "string") seen[seen.length - 1] = last + bytes.toString("latin1");
      else seen.push(bytes.toString("latin1"));
    },
    (name) => seen.push({ ended: name }),
  );
  for (const chunk of chunks) output.push(chunk);
  output.flush();
  return seen;
}

test.each([
  ["output alone", "hello\n", ["hello\n"]],
  ["a mark behind a line", `hello\n${mark} 0\n`, ["hello\n", { ended: "0" }]],
  ["a mark behind an unfinished line", `hello${mark} 0\n`, ["hello", { ended: "0" }]],
  ["output of what still runs behind a mark", `${mark} 0\nmore`, [{ ended: "0" }, "more"]],
  ["two marks", `a${mark} 0\nb${mark} 1\n`, ["a", { ended: "0" }, "b", { ended: "1" }]],
  ["the beginning of a mark is output in the end", `a${mark.slice(0, 4)}`, [`a${mark.slice(0, 4)}`]],
  ["something else that begins like a mark", `${markStart}abx`, [`${markStart}abx`]],
  ["a mark without a line's end is output", `${mark} ${"x".repeat(200)}\n`, [`${mark} ${"x".repeat(200)}\n`]],
])("%s", (_, input, expected) => {
  expect(read([Buffer.from(input, "latin1")])).toEqual(expected);
});

test("how the output is cut into pieces changes nothing", () => {
  const piece = fc.constantFrom("a\n", "\n", markStart, mark.slice(0, 5), `${mark} 7\n`, `${mark} `, mark, "x".repeat(70));
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), fc.array(fc.nat(9), { maxLength: 40 }), (pieces, cuts) => {
      const whole = Buffer.from(pieces.join(""), "latin1");
      const chunks: Buffer[] = [];
      let at = 0;
      for (const cut of cuts) {
        chunks.push(whole.subarray(at, at + cut));
        at += cut;
      }
      chunks.push(whole.subarray(at));
      expect(read(chunks)).toEqual(read([whole]));
    }),
  );
});
