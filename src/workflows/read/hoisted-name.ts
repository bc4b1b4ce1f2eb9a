/** The name of a cluster that a step asked for, among the clusters of its job. Bundled with the runner, which finds it again by that. */

/** @param asked what the step calls it; may be empty. */
export function hoistedName(asked: string): string {
  const label = asked
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, "-")
    .replaceAll(/^-+|-+$/g, "");
  return label === "" ? "cluster" : label;
}
