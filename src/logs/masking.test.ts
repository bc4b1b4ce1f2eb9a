import fc from "fast-check";
import { expect, test } from "vitest";
import { limits } from "../base/limits.ts";
import { createMask, formsOf, isMaskable, type Mask } from "./masking.ts";

/** The input pushed in pieces of these lengths (the rest at once), and all that came out. */
function through(mask: Mask, input: Uint8Array, lengths: readonly number[] = []): Buffer {
  const stream = mask.stream();
  const out: Uint8Array[] = [];
  let at = 0;
  for (const length of [...lengths, input.length]) {
    out.push(Buffer.from(stream.push(input.subarray(at, at + length))));
    at = Math.min(input.length, at + length);
  }
  return Buffer.concat([...out, stream.flush()]);
}

/** Masking as one would do it by hand: find every form everywhere, colour what is covered, write each coloured run as stars. */
function byHand(values: readonly string[], input: Buffer): Buffer {
  const isCovered = new Uint8Array(input.length);
  for (const form of values.filter(isMaskable).flatMap(formsOf)) {
    for (let at = input.indexOf(form); at >= 0; at = input.indexOf(form, at + 1)) isCovered.fill(1, at, at + form.length);
  }
  const out: number[] = [];
  for (let i = 0; i < input.length; i++) {
    if (!isCovered[i]) out.push(input[i]!);
    else if (!isCovered[i - 1]) out.push(0x2a, 0x2a, 0x2a);
  }
  return Buffer.from(out);
}

const awkward = `p@ss "w'rd"/+<&>\\ é%`;
const xml = (s: string, double: string, single: string) =>
  s.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', double).replaceAll("'", single);
const multiline = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA7\n+/cab12xyz==\nab\n-----END KEY-----\n";

test.each<[string, string, (secret: string) => string]>([
  ["as it is", "hunter2hunter2", (s) => s],
  ["with characters of regular expressions", "a.*b+(c)[d]^$|?\\", (s) => s],
  ["with an emoji", "pass😀word", (s) => s],
  ["base64", "hunter2hunter2", (s) => Buffer.from(s).toString("base64")],
  ["base64 without padding", "hunter2hunter2", (s) => Buffer.from(s).toString("base64").replaceAll("=", "")],
  ["base64, url-safe", "~~~???>>>~~~", (s) => Buffer.from(s).toString("base64url")],
  ["percent-encoded by JavaScript", awkward, encodeURIComponent],
  ["percent-encoded, lower case", awkward, (s) => encodeURIComponent(s).replaceAll(/%../g, (code) => code.toLowerCase())],
  ["percent-encoded strictly", awkward, (s) => encodeURIComponent(s).replaceAll("'", "%27")],
  ["percent-encoded with slashes kept", awkward, (s) => encodeURIComponent(s).replaceAll("'", "%27").replaceAll("%2F", "/")],
  ["a form's field", awkward, (s) => new URLSearchParams([["", s]]).toString().slice(1)],
  ["the password of a URL", awkward, (s) => Object.assign(new URL("http://u@h"), { password: s.replaceAll("%", "%25") }).password],
  ["JSON", awkward, (s) => JSON.stringify(s).slice(1, -1)],
  ["JSON of Go", awkward, (s) => JSON.stringify(s).slice(1, -1).replace("<", "\\u003c").replace("&", "\\u0026").replace(">", "\\u003e")],
  ["JSON in ASCII", awkward, (s) => JSON.stringify(s).slice(1, -1).replace("é", "\\u00e9")],
  ["JSON of several lines", "one1\ntw\nthree", (s) => JSON.stringify(s).slice(1, -1)],
  ["XML's text", awkward, (s) => s.replaceAll("&", "&amp;").replaceAll("<", "&lt;")],
  ["an attribute of Java's XML", awkward, (s) => xml(s, "&quot;", "&apos;")],
  ["HTML", awkward, (s) => xml(s, "&quot;", "&#39;")],
  ["Go's XML", awkward, (s) => xml(s, "&#34;", "&#39;")],
  ["Python's HTML", awkward, (s) => xml(s, "&quot;", "&#x27;")],
  ["a shell's trace", "it's me, Ann's", (s) => s.replaceAll("'", `'\\''`)],
  ["several lines, whole", multiline, (s) => s.trim()],
  ["a shell's trace of what is no ASCII", "it's\tü\\1", () => "it\\'s\\t\\303\\274\\\\1"],
])("hides: %s", (_name, secret, encode) => {
  const shown = createMask([secret]).text(`before ${encode(secret)} after`);
  expect(shown).toBe("before *** after");
});

test("hides base64 wherever it stands in something longer", () => {
  const secret = "s3cr3t-t0ken/é!";
  for (let before = 0; before < 7; before++) {
    for (let after = 0; after < 4; after++) {
      for (const encoding of ["base64", "base64url"] as const) {
        const text = Buffer.from(`${"x".repeat(before)}${secret}${"y".repeat(after)}`).toString(encoding);
        const shown = createMask([secret]).text(text);
        // What is left tells less than two of its characters: those that share bits with what stands beside it.
        expect(shown.replaceAll("*", "").length, text).toBeLessThanOrEqual(text.length - Math.floor(((secret.length + 1) * 8 - 10) / 6));
        expect(shown).toContain("***");
      }
    }
  }
});

test("hides base64 that is broken into lines, but for a few last characters", () => {
  const secret = Array.from({ length: 40 }, (_, i) => `part${i}`).join("-");
  const lines = (width: number) =>
    Buffer.from(secret)
      .toString("base64")
      .replaceAll(new RegExp(`.{${width}}`, "g"), "$&\n");
  for (const width of [64, 76])
    expect(
      createMask([secret])
        .text(lines(width))
        .replaceAll(/\*\*\*\n?/g, "").length,
    ).toBeLessThan(8);
});

test("each line of a value is hidden, but for very short ones", () => {
  expect(createMask([multiline]).text("MIIEpAIBAAKCAQEA7 ab +/cab12xyz==\n-----END KEY-----")).toBe("*** ab ***\n***");
});

test.each([
  ["one inside another", ["secret", "my-secret-key"], "a my-secret-key, a secret", "a ***, a ***"],
  ["two that overlap", ["abcdef", "defghi"], "xabcdefghix", "x***x"],
  ["two that touch", ["abcdef"], "abcdefabcdef", "***"],
  ["one that repeats itself", ["abab"], "xabababx", "x***x"],
  ["the longer one breaks off", ["abcd", "abcdefgh"], "abcdefgx", "***efgx"],
  ["a false start inside the true one", ["aabaac"], "aabaabaac", "aab***"],
  ["nothing to hide", [], "anything", "anything"],
])("%s", (_name, values, input, output) => {
  const mask = createMask(values);
  expect(mask.text(input)).toBe(output);
  expect(through(mask, Buffer.from(input), Array<number>(input.length).fill(1)).toString()).toBe(output);
});

test("who listens is told of each value that comes later, once, and of none that cannot be masked", () => {
  const mask = createMask(["before"]);
  const told: string[] = [];
  mask.onAdded((value) => told.push(value));
  for (const value of ["before", "later", "later", "abc"]) mask.add(value);
  expect(told).toEqual(["later"]);
});

test("a value that is too short is not masked, and add says so", () => {
  const mask = createMask(["", "a", "abc", "  abc \n"]);
  expect(mask.text("a abc")).toBe("a abc");
  expect(mask.add("abc")).toBe(false);
  expect(mask.add("abcd")).toBe(true);
  expect(isMaskable(" abc ")).toBe(false);
});

test("only what may become a secret is held back", () => {
  const stream = createMask(["secret-token"]).stream();
  const push = (text: string) => Buffer.from(stream.push(Buffer.from(text))).toString();
  expect(push("Password: ")).toBe("Password: ");
  expect(push("a sec")).toBe("a ");
  expect(push("ond; secret-tok")).toBe("second; ");
  expect(push("en\n")).toBe("***\n");
  expect(push("secret-toke")).toBe("");
  expect(Buffer.from(stream.flush()).toString()).toBe("secret-toke");
  expect(push("n")).toBe("n");
});

test("stars are written once for a run that never ends, and nothing of it is held", () => {
  const stream = createMask(["aaaa"]).stream();
  const out = Array.from({ length: 100 }, () => Buffer.from(stream.push(Buffer.from("a".repeat(1000)))).toString()).join("");
  expect(out).toBe("***");
  expect(Buffer.from(stream.push(Buffer.from("b"))).toString()).toBe("b");
});

test("a value that is added counts from the next byte on, also for what is held back", () => {
  const mask = createMask(["first-secret"]);
  const stream = mask.stream();
  const push = (text: string) => Buffer.from(stream.push(Buffer.from(text))).toString();
  expect(push("second fir")).toBe("second ");
  mask.add("second");
  mask.add("fire");
  expect(push("e second first-secret")).toBe("*** *** ***");
  expect(push("first-secretfir")).toBe("");
  mask.add("firm");
  expect(push("m!")).toBe("!");
});

test("bytes that are no text pass as they are", () => {
  const bytes = Buffer.from(Array.from({ length: 1024 }, (_, i) => (i * 7) & 255));
  expect(through(createMask(["secret", "p\0ss"]), bytes, [1, 2, 3, 500]).equals(bytes)).toBe(true);
});

test("a text without secrets comes back itself, also where it is not valid Unicode", () => {
  expect(createMask(["secret"]).text("\ud800 half")).toBe("\ud800 half");
});

test("more to mask than memory bears is refused, without a word of it", () => {
  const mask = createMask(["kept-secret"]);
  const huge = "topsecret".repeat(limits.maskFormsBytes / 9);
  expect(() => mask.add(huge)).toThrow(/^the values to mask are too long/);
  expect(mask.text("topsecret kept-secret")).toBe("topsecret ***");
});

test("neither secrets nor input can make it slow", () => {
  const mask = createMask([`${"a".repeat(20_000)}b`, `${"ab".repeat(10_000)}c`]);
  const before = performance.now();
  const input = Buffer.concat([Buffer.alloc(1 << 20, "a"), Buffer.from("-"), Buffer.alloc(1 << 20, "ab")]);
  expect(through(mask, input).length).toBe(input.length);
  // A search that begins anew at each byte makes 20,000 steps for each: minutes.
  expect(performance.now() - before).toBeLessThan(5_000);
});

// Few letters make matches, false starts and overlaps likely.
const letters = fc.constantFrom("a", "b", "c", "=", " ", "\n", "'", "é");
const secrets = fc.array(fc.string({ unit: letters, minLength: 1, maxLength: 12 }), { maxLength: 5 });
const inputFor = (values: string[]) =>
  fc
    .array(
      fc.oneof(
        fc.string({ unit: letters, maxLength: 6 }).map((text) => Buffer.from(text)),
        fc.uint8Array({ maxLength: 4 }).map((bytes) => Buffer.from(bytes)),
        fc.constantFrom(...values.flatMap((value) => formsOf(value)), Buffer.from("x")),
        fc.constantFrom(...values.flatMap((value) => formsOf(value)), Buffer.from("x")).map((form) => form.subarray(0, form.length - 1)),
      ),
      { maxLength: 12 },
    )
    .map((parts) => Buffer.concat(parts));
const cases = secrets.chain((values) =>
  fc.record({ values: fc.constant(values), input: inputFor(values), lengths: fc.array(fc.nat(9), { maxLength: 40 }) }),
);

test("is what one would do by hand, however the input is cut, and leaves no form of any value", () => {
  fc.assert(
    fc.property(cases, ({ values, input, lengths }) => {
      const masked = through(createMask(values), input, lengths);
      expect(masked.toString("latin1")).toBe(byHand(values, input).toString("latin1"));
      for (const form of values.filter(isMaskable).flatMap(formsOf)) expect(masked.includes(form)).toBe(false);
    }),
    { numRuns: 500 },
  );
});
