/** Which files of a repository are workflows. */

const folders = [".seatrial/", ".github/workflows/"];

/** Those directly in `.seatrial`, when there are any; else those in `.github/workflows`. Paths are relative to the root, with `/`. */
export function workflowFiles(paths: Iterable<string>): string[] {
  const files = [...paths].filter((path) => /\.ya?ml$/.test(path)).sort();
  const found = folders.map((folder) => files.filter((path) => path.startsWith(folder) && !path.includes("/", folder.length)));
  return found.find((each) => each.length > 0) ?? [];
}
