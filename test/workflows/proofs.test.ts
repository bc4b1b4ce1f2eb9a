/** Every key that works is proven by a case; src/workflows/read/keys.test.ts sees to those that are refused, by name and place. */
import { expect, test } from "vitest";
import { provenKeys } from "../../scripts/key-table.ts";
import { contextProperties } from "../../src/workflows/read/contexts.ts";
import { keys } from "../../src/workflows/read/keys.ts";
import { caseNames, parseCase, readCase } from "./case.ts";

const proven = provenKeys();

test.each(keys.filter(({ state }) => state === "works"))("$key is proven by a case", ({ key }) => {
  expect(proven.get(key) ?? [], "name it in `proves` of a case that would fail without it").not.toEqual([]);
});

test.each(contextProperties)("$property is proven by a case", ({ property }) => {
  expect(proven.get(property) ?? [], "name it in `proves` of a case that would fail without it").not.toEqual([]);
});

test("what cases prove is in the table, and works", () => {
  const working = new Set([
    ...keys.filter(({ state }) => state === "works").map(({ key }) => key),
    ...contextProperties.map(({ property }) => property),
  ]);
  expect([...proven.keys()].filter((key) => !working.has(key))).toEqual([]);
});

test("a case has the keys that it proves", () => {
  const without = caseNames().flatMap((name) => {
    const { proves = [], files } = readCase(name);
    const all = Object.values(files).join("\n");
    const missing = proves.filter(
      (key) =>
        !all.includes(
          key
            .replaceAll("[*]", "")
            .split(".")
            .findLast((segment) => !segment.startsWith("<"))!,
        ),
    );
    return missing.map((key) => `${name}: ${key}`);
  });
  expect(without).toEqual([]);
});

test("each case has a number of its own", () => {
  const numbers = caseNames().map((name) => name.slice(0, 3));
  expect(numbers.filter((number, i) => numbers.indexOf(number) !== i)).toEqual([]);
});

test("what is wrong with a case.yml is told with its place", () => {
  const text =
    "title: a\ndocs: b\nevent: {name: push, reff: refs/heads/a}\nexpect:\n  verdict: passed\n  jobs:\n    a: {verdict: pased}\nnone: 1\n";
  expect(() => parseCase(text, "case.yml")).toThrow(
    [
      "case.yml:3:21: event.reff: is not a known key",
      'case.yml:7:9: expect.jobs.a.verdict: Invalid option: expected one of "passed"|"failed"|"error"|"timed-out"|"aborted"|"skipped"',
      "case.yml:8:1: none: is not a known key",
    ].join("\n"),
  );
  expect(() => parseCase("title: a\ndocs: b\nexpect: {problems: [a], verdict: passed, jobs: {}}\n", "c.yml")).toThrow(
    "c.yml:3:1: expect: must be `no run`, or have either problems or a verdict",
  );
  expect(() => parseCase("title: a\ndocs: b\nevent: {name: pull_request, fork: true}\nexpect: no run\n", "c.yml")).toThrow(
    "c.yml:1:1: needs: must be docker",
  );
});
