/**
 * Reads the keys that a workflow and its jobs share, and those of a job that say where and under what it runs: `concurrency`,
 * `permissions`, `environment`, `defaults`, `runs-on` as a map. What is wrong is reported to the reader.
 */
import type { Place } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { Path } from "../../resources/finding.ts";
import { anyOf, shown } from "../../resources/schema.ts";
import { didYouMean } from "../../resources/suggest.ts";
import { holdsExpression } from "../expressions/expressions.ts";
import type { Node, Scalar } from "./tree.ts";
import type { ValueReader } from "./values.ts";
import type { Concurrency, Environment, Permissions, RunDefaults } from "../workflow.ts";

/** @param key `concurrency` or `jobs.<job_id>.concurrency`. */
export function readConcurrency(reader: ValueReader, node: Node, path: Path, place: Place, key: string): Concurrency | undefined {
  let group: Scalar | undefined;
  let cancelInProgress: Scalar | undefined;
  let queue = "single" as Concurrency["queue"];
  const readGroup = (value: Node, at: Path) => {
    group = reader.scalar(value, at, `${key}.group`, "text");
    const mistake = group && !holdsExpression(group.text) ? groupMistake(group.text) : undefined;
    if (mistake) reader.report(value.place, at, mistake);
  };
  if (node.kind === "scalar") readGroup(node, path);
  else {
    const seen = reader.keys(node, key, path, place, {
      group: readGroup,
      "cancel-in-progress": (value, at) => (cancelInProgress = reader.scalar(value, at, `${key}.cancel-in-progress`, "boolean")),
      queue: (value, at) => {
        const text = reader.text(value, at, `${key}.queue`);
        if (text === "single" || text === "max") queue = text;
        else reader.report(value.place, at, `must be single or max, and is ${shown(text)}`);
      },
    });
    if (node.kind === "map" && !seen.has("group")) reader.report(place, [...path, "group"], "is required");
    if (queue === "max" && cancelInProgress?.value === true)
      reader.report(seen.get("queue")!, [...path, "queue"], "cannot be max where each cancels the one before it");
  }
  return group && { place, group, ...(cancelInProgress && { cancelInProgress }), queue };
}

/** What is wrong with the name of a group, as the end of a sentence. */
export function groupMistake(group: string): string | undefined {
  if (group.trim() === "") return "must not be empty";
  const most = limits.concurrencyGroupCharacters;
  return group.length > most ? `has ${group.length} characters, and can have at most ${most}` : undefined;
}

/** GitHub's scopes, and which levels each has. */
const scopes: Readonly<Record<string, readonly string[]>> = {
  actions: ["read", "write", "none"],
  "artifact-metadata": ["read", "write", "none"],
  attestations: ["read", "write", "none"],
  checks: ["read", "write", "none"],
  "code-quality": ["read", "write", "none"],
  contents: ["read", "write", "none"],
  "copilot-requests": ["write", "none"],
  deployments: ["read", "write", "none"],
  discussions: ["read", "write", "none"],
  drives: ["read", "write", "none"],
  "id-token": ["write", "none"],
  issues: ["read", "write", "none"],
  metadata: ["read", "none"],
  models: ["read", "none"],
  packages: ["read", "write", "none"],
  pages: ["read", "write", "none"],
  "pull-requests": ["read", "write", "none"],
  "repository-projects": ["read", "write", "none"],
  "security-events": ["read", "write", "none"],
  statuses: ["read", "write", "none"],
  "vulnerability-alerts": ["read", "none"],
};
/** What the token of a job is good for anyway. */
const given = new Set(["contents", "metadata"]);

export function readPermissions(reader: ValueReader, node: Node, path: Path, place: Place): Permissions {
  const own: Permissions = { place, path: path.join("."), all: undefined, scopes: {} };
  if (node.kind === "scalar") {
    const text = node.text;
    if (text === "read-all" || text === "write-all") own.all = text === "read-all" ? "read" : "write";
    else reader.report(node.place, path, `must be read-all, write-all or a map of scopes, and is ${shown(node.value)}`);
    if (own.all) reader.notice(place, path, `${text}: ${tokenReads}`);
    return own;
  }
  for (const { key, value, place: at } of reader.entries(node, path, place)) {
    const levels = Object.hasOwn(scopes, key) ? scopes[key]! : undefined;
    const text = value.kind === "scalar" ? value.text : "";
    if (!levels) reader.report(at, [...path, key], `is not a scope that is known${didYouMean(key, Object.keys(scopes))}`);
    else if (!levels.includes(text)) reader.report(value.place, [...path, key], `must be ${anyOf(levels)}, and is ${shown(text)}`);
    else {
      own.scopes[key] = text as "read" | "write" | "none";
      if (text === "none" || (text === "read" && given.has(key))) continue;
      const why = key === "id-token" ? "there is no OpenID Connect provider here" : tokenReads;
      reader.notice(at, [...path, key], `${text}: ${why}`);
    }
  }
  return own;
}

const tokenReads = "the token of a job reads the repository, and nothing else at the forge";

/** Which scopes one asks for above what another allows. */
export function findExcess(asked: Permissions, allowed: Permissions): { scope: string; asked: string; allowed: string }[] {
  const rank = { none: 0, read: 1, write: 2 };
  const levelOf = ({ all, scopes: own }: Permissions, scope: string) => own[scope] ?? all ?? "none";
  return Object.keys(scopes).flatMap((scope) => {
    const [wanted, may] = [levelOf(asked, scope), levelOf(allowed, scope)];
    return rank[wanted] > rank[may] ? [{ scope, asked: wanted, allowed: may }] : [];
  });
}

export function readEnvironment(reader: ValueReader, node: Node, path: Path, place: Place): Environment | undefined {
  const prefix = "jobs.<job_id>.environment";
  let name: Scalar | undefined;
  let url: Scalar | undefined;
  if (node.kind === "scalar") name = reader.scalar(node, path, `${prefix}.name`, "text");
  else {
    const seen = reader.keys(node, prefix, path, place, {
      name: (value, at) => (name = reader.scalar(value, at, `${prefix}.name`, "text")),
      url: (value, at) => (url = reader.scalar(value, at, `${prefix}.url`, "text")),
      deployment: (value, at) => void reader.scalar(value, at, `${prefix}.deployment`, "boolean"),
    });
    if (node.kind === "map" && !seen.has("name")) reader.report(place, [...path, "name"], "is required");
  }
  if (!name || name.text === "") return undefined;
  reader.notice(place, path, "is shown, and no more: protection rules, secrets and deployments of environments are not known here");
  return { name, ...(url && { url }) };
}

/** `defaults`: what steps with `run` have that do not say it themselves. @param key `defaults` or `jobs.<job_id>.defaults`. */
export function readDefaults(
  reader: ValueReader,
  node: Node,
  path: Path,
  place: Place,
  key: string,
  shellMistake: (shell: string) => string | undefined,
): RunDefaults {
  const defaults: RunDefaults = {};
  reader.keys(node, key, path, place, {
    run: (value, at, where) =>
      reader.keys(value, `${key}.run`, at, where, {
        shell: (each, below) => {
          defaults.shell = reader.text(each, below, `${key}.run.shell`);
          const mistake = shellMistake(defaults.shell);
          if (mistake) reader.report(each.place, below, mistake);
        },
        "working-directory": (each, below) => {
          defaults.workingDirectory = reader.text(each, below, `${key}.run.working-directory`);
        },
      }),
  });
  return defaults;
}
