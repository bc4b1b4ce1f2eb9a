/** The table of all keys of a workflow file, with the conformance cases that prove each: a part of docs/workflow-syntax.md. */
import { caseNames, readCase } from "../test/workflows/case.ts";
import { type KeyState, keys } from "../src/workflows/read/keys.ts";

const states: Readonly<Record<KeyState, string>> = {
  works: "works",
  later: "refused; comes later",
  open: "refused; not planned",
  never: "refused; never",
};

/** Numbers of the cases that prove a key, by the key. @throws Error with what is wrong with a case.yml. */
export function provenKeys(): Map<string, string[]> {
  const proven = new Map<string, string[]>();
  for (const name of caseNames()) {
    for (const key of readCase(name).proves ?? []) proven.set(key, [...(proven.get(key) ?? []), name.slice(0, 3)]);
  }
  return proven;
}

function keyTable(): string {
  const proven = provenKeys();
  const rows = keys.map(({ key, state, note, contexts, functions = [] }) => {
    const names = [...contexts, ...functions.map((name) => `${name}()`)].join(", ");
    return `| \`${key}\` | ${states[state]} | ${note} | ${names} | ${(proven.get(key) ?? []).join(", ")} |`;
  });
  return ["| key | state | note | contexts and functions | cases |", "|---|---|---|---|---|", ...rows].join("\n");
}

/** The page with the table as it is now in the place of the one that it has. @throws Error when it has none. */
export function withKeyTable(page: string): string {
  const table = /^\| key \|.*\n(\|.*\n)+/m;
  if (!table.test(page)) throw new Error("docs/workflow-syntax.md has no table of keys");
  return page.replace(table, () => `${keyTable()}\n`);
}
