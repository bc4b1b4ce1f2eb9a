import fc from "fast-check";
import { expect, test } from "vitest";
import { limits } from "../../base/limits.ts";
import { CommandLines } from "./command-lines.ts";

function read(chunks: readonly string[]): { all: string; commands: string[]; atOnce: string } {
  let all = "";
  const commands: string[] = [];
  const lines = new CommandLines(
    (bytes) => (all += bytes.toString("latin1")),
    (line) => {
      commands.push(line.toString("latin1"));
      all += line.toString("latin1");
    },
  );
  for (const chunk of chunks) lines.push(Buffer.from(chunk, "latin1"));
  const atOnce = all;
  lines.flush();
  return { all, commands, atOnce };
}

test.each([
  ["a command", "::error::x\n", ["::error::x\n"]],
  ["behind blanks", "a\n \t::error::x\r\nb", ["::error::x\r\n"]],
  ["not in the middle of a line", "std::string\na ::error::x\n", []],
  ["two in a row", "::a::\n::b::\n", ["::a::\n", "::b::\n"]],
  ["the last line has no end", "x\n::a::b", ["::a::b"]],
  ["a lone colon is text", "x\n:", []],
  ["three colons", ":::a\n", [":::a\n"]],
])("%s", (_, input, commands) => {
  const seen = read([input]);
  expect(seen.commands).toEqual(commands);
  expect(seen.all).toBe(input);
});

test("what is no command is not kept back", () => {
  expect(read(["Password: "]).atOnce).toBe("Password: ");
  expect(read(["a\n  "]).atOnce).toBe("a\n  ");
  expect(read(["::add-ma"]).atOnce).toBe("");
});

test("a line that never ends is text", () => {
  const line = `::${"x".repeat(limits.commandLineBytes)}`;
  const seen = read([line, "y"]);
  expect(seen.commands).toEqual([]);
  expect(seen.atOnce).toBe(`${line}y`);
});

test("how the output is cut into pieces changes nothing", () => {
  const piece = fc.constantFrom(":", "::", "::a::b\n", "\n", " ", "\t", "x", "\r\n");
  fc.assert(
    fc.property(fc.array(fc.array(piece, { maxLength: 5 }), { maxLength: 8 }), (chunks) => {
      const texts = chunks.map((pieces) => pieces.join(""));
      const { all, commands } = read(texts);
      const whole = read([texts.join("")]);
      expect({ all, commands }).toEqual({ all: whole.all, commands: whole.commands });
    }),
  );
});
