/**
 * Versions and ranges of them, as actions that set up programs take them: `1.22`, `1.x`, `^1.2.3`, `~1.2`, `>=1.20 <1.23`, `1.2 - 1.4`,
 * `a || b`. The meaning is npm's (semver.org and node-semver's README); `1.22` alone means `1.22.x`.
 */

export interface Version {
  numbers: readonly [major: number, minor: number, patch: number];
  /** `rc.1`; empty for a release. */
  prerelease: string;
}

/** Reads `1.2.3`, `v1.2`, `1.2.3-rc.1`, and as programs write it: `go1.22rc1`, `17.0.9+9`. Undefined when it is none. */
export function parseVersion(text: string): Version | undefined {
  const match =
    /^(?:v|go|=)?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:\.\d+)*(?:-?((?:alpha|beta|rc|a|b|c|dev)[\w.-]*|(?<=-)[0-9A-Za-z][\w.-]*))?(?:[+_]\S*)?$/i.exec(
      text.trim(),
    );
  if (!match) return undefined;
  const [, major, minor = "0", patch = "0", prerelease = ""] = match;
  return { numbers: [Number(major), Number(minor), Number(patch)], prerelease };
}

/** Negative when `a` is the older. */
export function compareVersions(a: Version, b: Version): number {
  const at = [0, 1, 2].find((i) => a.numbers[i] !== b.numbers[i]);
  if (at !== undefined) return a.numbers[at]! - b.numbers[at]!;
  if (a.prerelease === b.prerelease) return 0;
  if (a.prerelease === "") return 1;
  return b.prerelease === "" ? -1 : a.prerelease.localeCompare(b.prerelease, "en", { numeric: true });
}

/** Whether a version is in a range; undefined when that is no range. */
export function isInRange(version: Version, range: string): boolean | undefined {
  const sets = range.split("||").map((part) => boundsOf(part.trim()));
  if (sets.some((set) => set === undefined)) return undefined;
  return sets.some((bounds) => bounds!.every((bound) => holds(version, bound)) && mayBePrerelease(version, bounds!));
}

interface Bound {
  operator: "<" | "<=" | ">" | ">=" | "=";
  version: Version;
}

function holds(version: Version, { operator, version: bound }: Bound): boolean {
  const order = compareVersions(version, bound);
  switch (operator) {
    case "<":
      return order < 0;
    case "<=":
      return order <= 0;
    case ">":
      return order > 0;
    case ">=":
      return order >= 0;
    case "=":
      return order === 0;
  }
}

/** A version before a release is in a range only when that names one of the same release. */
function mayBePrerelease({ numbers, prerelease }: Version, bounds: readonly Bound[]): boolean {
  return prerelease === "" || bounds.some(({ version }) => version.prerelease !== "" && version.numbers.join() === numbers.join());
}

/** All must hold. */
function boundsOf(text: string): Bound[] | undefined {
  const [, from, to] = /^(\S+)\s+-\s+(\S+)$/.exec(text) ?? [];
  if (from !== undefined && to !== undefined) {
    const [low, high] = [partial(from), partial(to)];
    return low && high ? [{ operator: ">=", version: low.version }, below(high)] : undefined;
  }
  const words = text
    .replaceAll(/(>=|<=|>|<|=|~>?|\^)\s+/g, "$1")
    .split(/[\s,]+/)
    .filter((word) => word !== "");
  const bounds = words.map(wordBounds);
  return bounds.some((each) => each === undefined) ? undefined : bounds.flatMap((each) => each!);
}

interface Partial {
  version: Version;
  /** How many numbers are given: 0 for `*`. */
  given: number;
}

function partial(text: string): Partial | undefined {
  const match = /^v?(?:[x*]|(\d+)(?:\.(?:[x*]|(\d+)(?:\.(?:[x*]|(\d+)(?:-([0-9A-Za-z.-]+))?))?))?)(?:\.[x*])*(?:\+\S*)?$/i.exec(text);
  if (!match) return undefined;
  const numbers = [match[1], match[2], match[3]];
  const given = numbers.findIndex((number) => number === undefined);
  const [major = 0, minor = 0, patch = 0] = numbers.map((number) => Number(number ?? 0));
  return { version: { numbers: [major, minor, patch], prerelease: match[4] ?? "" }, given: given === -1 ? 3 : given };
}

function wordBounds(word: string): Bound[] | undefined {
  const [, operator = "", text = ""] = /^(>=|<=|>|<|=|~>?|\^)?(.*)$/.exec(word)!;
  const read = partial(text);
  if (!read) return undefined;
  const { version, given } = read;
  const from: Bound = { operator: ">=", version };
  if (given === 0) return operator === "<" || operator === ">" ? [{ operator: "<", version }] : [];
  switch (operator) {
    case "^": {
      const [major, minor] = version.numbers;
      const fixed = major > 0 || given === 1 ? 1 : minor > 0 || given === 2 ? 2 : 3;
      return [from, { operator: "<", version: next(version, fixed) }];
    }
    case "~":
    case "~>":
      return [from, { operator: "<", version: next(version, Math.min(given, 2)) }];
    case ">=":
      return [from];
    case "<":
      return [{ operator: "<", version }];
    case ">":
      return given === 3 ? [{ operator: ">", version }] : [{ operator: ">=", version: next(version, given) }];
    case "<=":
      return [below(read)];
    default:
      return given === 3 ? [{ operator: "=", version }] : [from, below(read)];
  }
}

/** Up to it and all that it begins. */
function below({ version, given }: Partial): Bound {
  return given === 3 ? { operator: "<=", version } : { operator: "<", version: next(version, given) };
}

/** The first version that does not share so many numbers. */
function next({ numbers }: Version, fixed: number): Version {
  if (fixed === 0) return { numbers: [Infinity, 0, 0], prerelease: "" };
  const raised = numbers.map((number, i) => (i < fixed - 1 ? number : i === fixed - 1 ? number + 1 : 0));
  return { numbers: raised as unknown as Version["numbers"], prerelease: "" };
}
