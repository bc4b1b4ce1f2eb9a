/** The tables of all keys of a workflow file and of all properties of contexts, with the conformance cases that prove each: a part of docs/workflow-syntax.md. */
import { caseNames, readCase } from "../test/workflows/case.ts";
import { contextProperties } from "../src/workflows/read/contexts.ts";
import { type KeyState, keys } from "../src/workflows/read/keys.ts";

const states: Readonly<Record<KeyState, string>> = {
  works: "works",
  later: "refused; comes later",
  open: "refused; not planned",
  never: "refused; never",
};

/** Numbers of the cases that prove a key or a property, by its name. @throws Error with what is wrong with a case.yml. */
export function provenKeys(): Map<string, string[]> {
  const proven = new Map<string, string[]>();
  for (const name of caseNames()) {
    for (const key of readCase(name).proves ?? []) proven.set(key, [...(proven.get(key) ?? []), name.slice(0, 3)]);
  }
  return proven;
}

function keyTable(proven: ReadonlyMap<string, readonly string[]>): string {
  const rows = keys.map(({ key, state, note, contexts, functions = [] }) => {
    const names = [...contexts, ...functions.map((name) => `${name}()`)].join(", ");
    return `| \`${key}\` | ${states[state]} | ${note} | ${names} | ${(proven.get(key) ?? []).join(", ")} |`;
  });
  return ["| key | state | note | contexts and functions | cases |", "|---|---|---|---|---|", ...rows].join("\n");
}

function contextTable(proven: ReadonlyMap<string, readonly string[]>): string {
  const rows = contextProperties.map(({ property, variable, note }) => {
    const shown = variable === undefined ? "" : `\`${variable}\``;
    return `| \`${property}\` | ${shown} | ${note} | ${(proven.get(property) ?? []).join(", ")} |`;
  });
  return ["| property | variable | note | cases |", "|---|---|---|---|", ...rows].join("\n");
}

/** The page with the tables as they are now in the place of those that it has. @throws Error when it lacks one. */
export function withKeyTables(page: string): string {
  const proven = provenKeys();
  return [keyTable(proven), contextTable(proven)].reduce((text, table) => {
    const head = table.slice(0, table.indexOf(" |", 2));
    const old = new RegExp(`^${head.replaceAll("|", "\\|")} \\|.*\\n(\\|.*\\n)+`, "m");
    if (!old.test(text)) throw new Error(`docs/workflow-syntax.md has no table that begins with ${head}`);
    return text.replace(old, () => `${table}\n`);
  }, page);
}
