import { expect, test } from "vitest";
import { formatHostChoice, type HostChoice, isChosen } from "./host.ts";
import { repositoryName } from "./repository.ts";

test.each([
  ["gitea", "17", "gitea-17"],
  ["local", "0123456789abcdef", "local-0123456789abcdef"],
  ["a-forge", "9223372036854775807", "a-forge-9223372036854775807"],
])("the Repository of forge %s with id %s is %s", (forge, id, name) => {
  expect(repositoryName({ forge, id })).toBe(name);
});

test.each([
  ["an id with other characters", "gitea", "owner/project"],
  ["a long forge", "f".repeat(63), "1"],
  ["a long id", "gitea", "1".repeat(128)],
  ["upper case", "Gitea", "1"],
  ["a dash at the end", "gitea-", "1"],
])("%s: a name that is a label, and nobody else's", (_, forge, id) => {
  const name = repositoryName({ forge, id });
  expect(name).toMatch(/^repository-[0-9a-f]{24}$/);
  expect(repositoryName({ forge, id: `${id}1` })).not.toBe(name);
});

const large = { name: "a", labels: { pool: "large" } };
test.each<[string, HostChoice | undefined, boolean, string]>([
  ["none", undefined, true, ""],
  ["an empty one", {}, true, "any"],
  ["its name", { names: ["b", "a"] }, true, "b or a"],
  ["another name", { names: ["b"] }, false, "b"],
  ["its label", { labels: { pool: "large" } }, true, "any with pool=large"],
  ["a label more than it has", { labels: { pool: "large", gpu: "yes" } }, false, "any with pool=large, gpu=yes"],
  ["its name, and another label", { names: ["a"], labels: { pool: "small" } }, false, "a with pool=small"],
])("a host is chosen by %s: %j", (_, choice, expected, words) => {
  expect(isChosen(large, choice)).toBe(expected);
  expect(choice ? formatHostChoice(choice) : "").toBe(words);
});
