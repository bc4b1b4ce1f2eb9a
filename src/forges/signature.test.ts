import { createHmac } from "node:crypto";
import { expect, test } from "vitest";
import { isSigned } from "./signature.ts";

const body = Buffer.from('{"a": "ü"}');
const sign = (secret: string) => createHmac("sha256", secret).update(body).digest("hex");

test.each([
  ["the secret", sign("one"), ["one"], true],
  ["the secret that comes next", sign("two"), ["one", "two"], true],
  ["capitals", sign("one").toUpperCase(), ["one"], true],
  ["another secret", sign("three"), ["one", "two"], false],
  ["nothing", null, ["one"], false],
  ["an empty signature", "", ["one"], false],
  ["a part of it", sign("one").slice(0, 32), ["one"], false],
  ["more than it", `${sign("one")}00`, ["one"], false],
  ["what is no number", "z".repeat(64), ["one"], false],
  ["the empty secret, which is none", sign(""), [""], false],
  ["anything, where there is no secret", sign("one"), [], false],
])("signed by %s", (_, signature, secrets, isGood) => {
  expect(isSigned(body, signature, secrets)).toBe(isGood);
});
