import { expect, test } from "vitest";
import { compileRule } from "./cel.ts";
import { allKinds } from "./kinds.ts";

test.for<{ rule: string; self: unknown; oldSelf?: unknown; holds: boolean }>([
  { rule: "self == oldSelf", self: { a: [1, { b: "c" }] }, oldSelf: { a: [1, { b: "c" }] }, holds: true },
  { rule: "self == oldSelf", self: { a: [1, 2] }, oldSelf: { a: [2, 1] }, holds: false },
  { rule: "self.a != 'x'", self: { a: "y" }, holds: true },
  { rule: "has(self.a)", self: {}, holds: false },
  { rule: "has(self.a.b)", self: { a: {} }, holds: false },
  { rule: "!has(self.a) || self.a == 1", self: {}, holds: true },
  { rule: "has(self.a) && self.a == 1 || self.b", self: { b: true }, holds: true },
  { rule: "has(self.a) && (self.a == 1 || self.b)", self: { b: true }, holds: false },
  { rule: "has(self.a) == (has(self.b) && self.b == 'x')", self: { a: 0, b: "x" }, holds: true },
  { rule: "has(self.a) == (has(self.b) && self.b == 'x')", self: { a: 0, b: "y" }, holds: false },
  // A field that is not there is an error, and a rule with an error does not hold.
  { rule: "self.a == 1", self: {}, holds: false },
  { rule: "self.a != 1", self: {}, holds: false },
  { rule: "'kwok' in self.a", self: { a: ["x", "kwok"] }, holds: true },
  { rule: "'kwok' in self.a", self: { a: { kwok: 1 } }, holds: true },
  { rule: "self.a in ['x', \"y\"]", self: { a: "z" }, holds: false },
  { rule: "size(self.a) <= 2 && self.a.size() > 1", self: { a: "ab" }, holds: true },
  { rule: "size(self.a) == 1", self: { a: "😀" }, holds: true },
  { rule: "self.a.matches('^v[0-9]+$')", self: { a: "v10" }, holds: true },
  { rule: "self.a.startsWith('it\\'s')", self: { a: "it's so" }, holds: true },
  { rule: "self.all(x, x < 3 && x >= 0)", self: [0, 1, 2], holds: true },
  { rule: "self.exists(x, x.name == 'b')", self: [{ name: "a" }], holds: false },
  { rule: "self.exists(key, self[key] == 'b')", self: { a: "b" }, holds: true },
  { rule: "self[0] == 1", self: [1], holds: true },
  { rule: "!!true && !false", self: {}, holds: true },
])("$rule is $holds of $self", ({ rule, self, oldSelf, holds }) => {
  expect(compileRule(rule).holds(self, oldSelf)).toBe(holds);
});

test.for(["self.a +", "self.a + 1 == 2", "self ? 1 : 2", "self.all(x)", "unknown(self)", "(self", "self self", "size(self", "self.a.b()"])(
  "%s is not understood, and says so",
  (rule) => expect(() => compileRule(rule)).toThrow(`cannot read the rule ${JSON.stringify(rule)} at `),
);

test("every rule of every kind is understood", () => {
  const rules = allKinds.flatMap((kind) => kind.rules.map(({ rule }) => rule));
  expect(rules.length).toBeGreaterThan(0);
  for (const rule of rules) expect(compileRule(rule).isTransition).toBe(rule.includes("oldSelf"));
});
