import { expect, test } from "vitest";
import { readLock, writeLock } from "./actions-lock.ts";

const [a, b] = ["a".repeat(40), "b".repeat(40)];

test("what is written is read again, sorted", () => {
  const text = writeLock(
    new Map([
      ["o/z@v1", a],
      ["o/a@release/v2", b],
    ]),
  );
  expect(text.split("\n").slice(1)).toEqual([`o/a@release/v2 ${b}`, `o/z@v1 ${a}`, ""]);
  expect([...readLock(text)]).toEqual([
    ["o/a@release/v2", b],
    ["o/z@v1", a],
  ]);
});

test("all that is wrong, each with its line", () => {
  const text = `# fine\no/a@v1 ${a}\no/a@v1 ${b}\no/b@v1 abc\no/b/path@v1 ${a}\n./local ${a}\no/c ${a}\no/d@v1 ${a} more\n`;
  expect(() => readLock(text, "l")).toThrow(
    [
      "l:3:1: o/a@v1 is there twice",
      "l:4:1: o/b@v1 must be followed by a commit, 40 digits",
      "l:5:1: o/b/path@v1 must be owner/repo@ref",
      "l:6:1: ./local must be owner/repo@ref",
      "l:7:1: o/c: lacks its version, as in o/c@v1; owner/repo@ref, owner/repo/path@ref, ./path or docker://image",
      "l:8:1: o/d@v1 must be followed by a commit, 40 digits",
    ].join("\n"),
  );
});
