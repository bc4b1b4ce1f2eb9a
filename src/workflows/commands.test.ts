import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InvalidError } from "../base/errors.ts";
import { type Command, CommandReader, readPaths, readVariables } from "./commands.ts";

const annotation = (level: "error" | "warning" | "notice", message: string, rest: object = {}) => ({
  kind: "annotation",
  level,
  message,
  ...rest,
});

describe("commands", () => {
  test.each<[string, object | undefined]>([
    ["::error file=app.js,line=1::Missing semicolon", annotation("error", "Missing semicolon", { file: "app.js", line: 1 })],
    [
      "::warning file=app.js,line=1,col=5,endColumn=7,title=YOUR-TITLE::Missing semicolon",
      annotation("warning", "Missing semicolon", { file: "app.js", line: 1, column: 5, endColumn: 7, title: "YOUR-TITLE" }),
    ],
    ["::notice::hello", annotation("notice", "hello")],
    ["::notice ::hello", annotation("notice", "hello")],
    ["  ::ERROR FILE=a,LINE=3::names have no case", annotation("error", "names have no case", { file: "a", line: 3 })],
    ["::error file=a.go, line=3::a space between", annotation("error", "a space between", { file: "a.go", line: 3 })],
    ["::error::100%25 of%0D%0Atwo lines", annotation("error", "100% of\r\ntwo lines")],
    ["::error::%250A is no line end", annotation("error", "%0A is no line end")],
    ["::error title=a%3Ab%2Cc%25,file=C%3A/x::m", annotation("error", "m", { title: "a:b,c%", file: "C:/x" })],
    ["::error title=%253A::m", annotation("error", "m", { title: "%3A" })],
    ["::error file=a,line=2,endLine=4::m", annotation("error", "m", { file: "a", line: 2, endLine: 4 })],
    [
      "::error file=a,endLine=4::an end without a beginning",
      annotation("error", "an end without a beginning", { file: "a", line: 4, endLine: 4 }),
    ],
    ["::error file=a,line=4,endLine=2::backwards", annotation("error", "backwards", { file: "a" })],
    [
      "::error file=a,line=2,endLine=4,col=1::columns over lines",
      annotation("error", "columns over lines", { file: "a", line: 2, endLine: 4 }),
    ],
    ["::error file=a,line=2,col=9,endColumn=3::columns backwards", annotation("error", "columns backwards", { file: "a", line: 2 })],
    ["::error file=a,col=9::a column without its line", annotation("error", "a column without its line", { file: "a" })],
    ["::error file=a,line=x::no number", annotation("error", "no number", { file: "a" })],
    ["::error file=,line=1::an empty property", annotation("error", "an empty property", { line: 1 })],
    ["::error::a::b", annotation("error", "a::b")],
    ["::debug::Set the Octocat variable", { kind: "debug", message: "Set the Octocat variable" }],
    ["::group::My title", { kind: "group", title: "My title" }],
    ["::endgroup::", { kind: "endgroup" }],
    ["::add-mask::Mona The Octocat", { kind: "mask", value: "Mona The Octocat" }],
    ["::add-mask::", { kind: "invalid", message: "add-mask without a value: nothing was masked" }],
    ["::stop-commands::error", { kind: "invalid", message: "stop-commands needs a token that nothing else prints: make it at random" }],
    ["::stop-commands::", { kind: "invalid", message: "stop-commands needs a token that nothing else prints: make it at random" }],
    ["::set-output name=a::b", { kind: "output", name: "a", value: "b" }],
    ["::save-state name=a::b%0Ac", { kind: "state", name: "a", value: "b\nc" }],
    ["::set-output::b", { kind: "invalid", message: "set-output lacks its name, as in ::set-output name=NAME::VALUE" }],
    ["::set-env name=a::b", { kind: "invalid", message: "set-env is not supported, as on GitHub: write to GITHUB_ENV" }],
    ["::add-path::/x", { kind: "invalid", message: "add-path is not supported, as on GitHub: write to GITHUB_PATH" }],
    ["::add-matcher::.github/go.json", { kind: "add-matcher", file: ".github/go.json" }],
    ["::remove-matcher owner=go::", { kind: "remove-matcher", owner: "go" }],
    ["::remove-matcher::.github/go.json", { kind: "remove-matchers-of", file: ".github/go.json" }],
    ["::remove-matcher::", { kind: "invalid", message: "remove-matcher lacks its owner, as in ::remove-matcher owner=NAME::" }],
    ["::echo::on", { kind: "echo" }],
    ["::echo::loud", { kind: "invalid", message: 'echo must be on or off, and is "loud"' }],
    ["::unknown::x", undefined],
    ["::error no end", undefined],
    ["error ::error::x", undefined],
    [":: error::x", undefined],
    ["plain", undefined],
    ["", undefined],
  ])("%s", (line, expected) => {
    expect(new CommandReader().read(line)).toEqual(expected);
  });

  test("stop-commands, up to its token", () => {
    const reader = new CommandReader();
    const read = ["::warning::a", "::stop-commands::Tok3n", "::warning::b", "::stop-commands::x", "::tok3n::", "::warning::c"].map((line) =>
      reader.read(line),
    );
    expect(read).toEqual([
      annotation("warning", "a"),
      { kind: "stop", token: "Tok3n" },
      undefined,
      undefined,
      { kind: "resume" },
      annotation("warning", "c"),
    ]);
  });

  test("a message has a bound", () => {
    const { message } = new CommandReader().read(`::error::${"x".repeat(100_000)}`) as Command & { message: string };
    expect(message).toHaveLength(65_536);
  });

  test("what the toolkit escapes is read back", () => {
    const data = (text: string) => text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
    const property = (text: string) => data(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
    const text = fc
      .array(fc.constantFrom("%", "\r", "\n", ":", ",", "a", "=", "25", "0A", "3A"), { minLength: 1 })
      .map((all) => all.join(""));
    fc.assert(
      fc.property(text, text, (title, message) => {
        expect(new CommandReader().read(`::error title=${property(title)}::${data(message)}`)).toEqual(
          annotation("error", message, { title }),
        );
      }),
    );
  });

  test("any line is read", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (line) => void new CommandReader().read(`::error ${line}`)));
  });
});

function problemsOf(text: string): string {
  try {
    return JSON.stringify([...readVariables(text, "GITHUB_OUTPUT")]);
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidError);
    return (error as InvalidError).message;
  }
}

describe("files of variables", () => {
  test.each<[string, string, Record<string, string>]>([
    ["empty", "", {}],
    ["a line", "a=b\n", { a: "b" }],
    ["without an end", "a=b", { a: "b" }],
    ["= in the value", "a=b=c\n\n", { a: "b=c" }],
    ["an empty value", "a=\n", { a: "" }],
    ["the last one wins", "a=1\na=2\n", { a: "2" }],
    ["lines", "JSON<<EOF\n{\n  x=y<<z\n}\nEOF\nb=1\n", { JSON: "{\n  x=y<<z\n}", b: "1" }],
    ["no lines", "a<<EOF\nEOF\n", { a: "" }],
    ["one empty line", "a<<EOF\n\nEOF\n", { a: "" }],
    ["a delimiter with spaces is as it is", "a<<E F\nx\n E F\nE F\n", { a: "x\n E F" }],
    ["= before <<", "a=b<<c\n", { a: "b<<c" }],
    ["<< before =", "a<<b=c\nx\nb=c\n", { a: "x" }],
    ["the delimiter at the end of the file", "a<<EOF\nx\nEOF", { a: "x" }],
    ["a byte order mark", "\uFEFFa=b\n", { a: "b" }],
  ])("%s", (_, text, expected) => {
    expect(Object.fromEntries(readVariables(text, "GITHUB_OUTPUT"))).toEqual(expected);
  });

  test.each([
    ["neither", "a=1\nsecret\n", "GITHUB_OUTPUT:2:1: is neither NAME=value nor NAME<<DELIMITER"],
    ["no name", "=x\n", "GITHUB_OUTPUT:1:1: has no name"],
    ["no delimiter", "a<<\n", "GITHUB_OUTPUT:1:1: a: there is no delimiter after <<"],
    [
      "the delimiter does not come",
      "x\na<<EOF\nsecret\n EOF\n",
      "GITHUB_OUTPUT:1:1: is neither NAME=value nor NAME<<DELIMITER\nGITHUB_OUTPUT:2:1: a: the delimiter does not come again: it must stand alone in a line",
    ],
    ["too large", `a=${"x".repeat(1_100_000)}`, "GITHUB_OUTPUT:1:1: is larger than 1 MiB"],
  ])("%s", (_, text, expected) => {
    expect(problemsOf(text)).toBe(expected);
  });

  test("what is written in either form is read back", () => {
    const name = fc.stringMatching(/^[A-Za-z_]\w*$/);
    fc.assert(
      fc.property(fc.dictionary(name, fc.string({ unit: "binary" })), (variables) => {
        const text = Object.entries(variables).map(([key, value]) =>
          /[\n]/.test(value) || value.startsWith("<") ? `${key}<<--end--\n${value}\n--end--\n` : `${key}=${value}\n`,
        );
        expect(Object.fromEntries(readVariables(text.join(""), "f"))).toEqual({ ...variables });
      }),
    );
  });
});

test("paths: each once, the last first", () => {
  expect(readPaths("/a\n\n/b\n/a\n", "GITHUB_PATH")).toEqual(["/a", "/b"]);
  expect(() => readPaths("x".repeat(2_000_000), "GITHUB_PATH")).toThrow("GITHUB_PATH:1:1: is larger than 1 MiB");
});
