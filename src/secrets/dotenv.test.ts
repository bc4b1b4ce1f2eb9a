import { expect, test } from "vitest";
import { InvalidError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { parseDotenv } from "./dotenv.ts";

const parse = (text: string) => Object.fromEntries(parseDotenv(text, "my.env"));

test.each<[string, string, Record<string, string>]>([
  ["nothing", "", {}],
  ["comments and empty lines", "# A=b\n\n   \n  # more", {}],
  ["a plain line, without a newline at the end", "TOKEN=abc", { TOKEN: "abc" }],
  ["no value", "EMPTY=\nNEXT=1", { EMPTY: "", NEXT: "1" }],
  ["spaces around", "  A = b c  \n", { A: "b c" }],
  ["export", "export A=b", { A: "b" }],
  ["names in any case", "my_Token=x", { MY_TOKEN: "x" }],
  ["a comment after a value, and a # inside one", "A=b # c\nD=e#f\nG=#h", { A: "b", D: "e#f", G: "" }],
  ["= and quotes inside a value", `A=b=c\nD=it's "so"`, { A: "b=c", D: `it's "so"` }],
  ["single quotes", `A='b # \\n $C'  # comment`, { A: "b # \\n $C" }],
  ["double quotes", `A="b # c"\nD="\\n\\t\\"\\\\\\$\\x"`, { A: "b # c", D: '\n\t"\\$\\x' }],
  ["several lines", `KEY="-----BEGIN\nab=c\n\nEND"\nB='x\ny'\n`, { KEY: "-----BEGIN\nab=c\n\nEND", B: "x\ny" }],
  ["Windows' ends of lines and mark", '\uFEFFA=b\r\nC="d\r\ne"\r\n', { A: "b", C: "d\ne" }],
  ["names of an object's own", "constructor=a\n__proto__=b", { CONSTRUCTOR: "a", __PROTO__: "b" }],
])("reads %s", (_name, text, values) => {
  expect(parse(text)).toEqual(values);
});

test("tells every problem with its place, and never a value", () => {
  const text = [
    "GOOD=hunter2",
    "  hunter2",
    "9LIVES=hunter2",
    "GITHUB_TOKEN=hunter2",
    'A="hunter2" hunter2',
    "hunter2 hunter2=hunter2",
    "good=hunter2",
    "=hunter2",
    `LONG=${"hunter2".repeat(limits.secretValueBytes)}`,
    'B="hunter2',
    "C=hunter2",
  ].join("\n");
  const thrown = (() => {
    try {
      return parse(text);
    } catch (error) {
      return error;
    }
  })();
  expect(thrown).toBeInstanceOf(InvalidError);
  expect((thrown as Error).message.split("\n")).toEqual([
    "my.env:2:3: is not NAME=value",
    "my.env:3:1: 9LIVES: must not begin with a digit",
    "my.env:4:1: GITHUB_TOKEN: must not begin with GITHUB_: these are the forge's own",
    "my.env:5:12: A: something follows the closing quote",
    "my.env:6:1: a name must have letters, digits and _ only",
    "my.env:7:1: good: is set on line 1 already",
    "my.env:8:1: a name must not be empty",
    `my.env:9:6: LONG: has more than ${limits.secretValueBytes} bytes`,
    'my.env:10:3: B: the " that begins here is never closed',
  ]);
});
