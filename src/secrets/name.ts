/** Names of secrets and variables, by GitHub's rules: letters, digits and `_`, no digit first, no `GITHUB_` first; case does not count. */

/** What is wrong with a name, as the rest of a sentence about it; undefined when nothing is. */
export function nameProblem(name: string): string | undefined {
  if (name === "") return "must not be empty";
  if (name.length > 255) return "must not be longer than 255 characters";
  if (!/^\w+$/.test(name)) return "must have letters, digits and _ only";
  if (/^\d/.test(name)) return "must not begin with a digit";
  if (/^github_/i.test(name)) return "must not begin with GITHUB_: these are the forge's own";
  return undefined;
}

/** The one way to write a name, by which it is kept and compared. */
export function canonicalName(name: string): string {
  return name.toUpperCase();
}
