/**
 * `actions/checkout`, as a script that is run like any other step: it can be stopped, and its output is in the log.
 *
 * The commit is the run's own. From the server it comes over git's HTTP, with the attempt's token in a header that only
 * git's environment holds; from a folder of this machine nothing is copied: its objects are borrowed (`alternates`), so that
 * a large repository costs no more than its files.
 */
import { join, resolve, sep } from "node:path";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { Json } from "../../workflows/expressions/expressions.ts";
import { ActionError, type BuiltInAction } from "./action.ts";
import type { AssignmentMessage } from "../protocol.ts";
import { quoted } from "../steps/step-script.ts";

export interface Checkout {
  script: string;
  /** Of git alone; holds the token. */
  variables: Record<string, string>;
  outputs: Record<string, string>;
}

export interface CheckoutOptions {
  checkout: AssignmentMessage["checkout"];
  /** The step's `with`, expanded. */
  inputs: Readonly<Record<string, string>>;
  /** Commits by the names that a `ref` may say: the head and the base of a pull request. */
  known?: Readonly<Record<string, string>>;
  /** Its own name, which `repository` may say. */
  repository?: string;
  workspace: string;
  /** Value of the header by which the server knows the attempt. */
  authorization: string;
}

export const checkoutAction: BuiltInAction = {
  name: "actions/checkout",
  main: async (context) => {
    const { assignment, inputs, github, folders, link, run } = context;
    const { workspace } = folders;
    const { script, variables, outputs } = checkoutScript({
      checkout: assignment.checkout,
      inputs,
      known: commitsIn(github),
      repository: textOf(github["repository"]),
      workspace,
      // The steps' own token, where there is one: what git runs may be of their making, and that can do nothing else.
      authorization: textOf(github["token"]) === "" ? link.authorization : `Bearer ${textOf(github["token"])}`,
    });
    const exitCode = await run(script, { shell: "sh", env: variables, workingDirectory: workspace });
    if (exitCode !== 0) throw new ActionError("checkout", `git failed, exit code ${exitCode}`);
    for (const [name, value] of Object.entries(outputs)) context.setOutput(name, value);
  },
};

/** @throws SeatrialError `invalid` for inputs that are wrong, or that ask for what the server does not give. */
export function checkoutScript({ checkout, inputs, known = {}, repository = "", workspace, authorization }: CheckoutOptions): Checkout {
  const { sha, ref, from } = checkout;
  if (!sha || !from) throw new SeatrialError("invalid", "actions/checkout: this run has no commit that could be checked out");
  const other = inputs["repository"] ?? "";
  if (other !== "" && other.toLowerCase() !== repository.toLowerCase())
    throw new SeatrialError(
      "invalid",
      `actions/checkout: repository ${other} is not the run's own (${repository}), which alone can be checked out`,
    );
  const directory = directoryIn(workspace, inputs["path"] ?? "");
  const depth = depthOf(inputs["fetch-depth"] ?? "");
  const isLocal = !/^https?:/.test(from);
  const commit = commitOf(inputs["ref"] ?? "", sha, ref, known);
  const isOwn = commit === sha;
  const branch = isOwn ? /^refs\/heads\/(.+)$/.exec(ref ?? "")?.[1] : undefined;
  const all = depth === 0 ? "'+refs/heads/*:refs/remotes/origin/*' '+refs/tags/*:refs/tags/*'" : "";
  // Another commit is in the history of the run's own, nobody knows how deep.
  const fetch = `git fetch --quiet ${depth === 0 ? "--tags" : `--no-tags${isOwn ? ` --depth=${depth}` : ""}`} origin ${all}`;
  const lines = [
    "set -e",
    `git init --quiet ${quoted(directory)}`,
    `cd ${quoted(directory)}`,
    `git remote add origin ${quoted(from)} 2>/dev/null || git remote set-url origin ${quoted(from)}`,
  ];
  if ((inputs["clean"] || "true").toLowerCase() === "true")
    lines.push("if git rev-parse --quiet --verify HEAD >/dev/null; then git clean -ffdxq; git reset --hard --quiet; fi");
  if (isLocal) {
    lines.push(`objects=$(git -C ${quoted(from)} rev-parse --path-format=absolute --git-path objects)`);
    lines.push(`echo "$objects" >.git/objects/info/alternates`);
    if (depth === 1) lines.push(`echo ${commit} >.git/shallow`);
    else lines.push(fetch.trim() + (depth === 0 ? "" : ` ${commit}`));
  } else {
    lines.push("try=1");
    lines.push(`until ${fetch} ${sha}; do`);
    lines.push(`  [ $try -lt ${limits.checkoutTries} ] || exit 1`);
    lines.push("  sleep $try");
    lines.push("  try=$((try + 1))");
    lines.push("done");
  }
  if (!isOwn) {
    const words = `the history of ${sha} has no commit ${commit}: no other can be checked out`;
    lines.push(`git cat-file -e ${commit}^{commit} 2>/dev/null || { echo ${quoted(words)} >&2; exit 1; }`);
  }
  const sparse = sparseLines(inputs);
  lines.push(...(sparse.length > 0 ? sparse : sizeLines(commit)));
  lines.push(
    branch === undefined
      ? `git -c advice.detachedHead=false checkout --quiet --force --detach ${commit}`
      : `git checkout --quiet --force -B ${quoted(branch)} ${commit}`,
  );
  if (branch !== undefined) lines.push(`git update-ref ${quoted(`refs/remotes/origin/${branch}`)} ${commit}`);
  lines.push("git --no-pager log -1 --format='%H %s'");
  const shownRef = isOwn ? ref : inputs["ref"];
  const outputs = { commit, ...(shownRef === undefined ? {} : { ref: shownRef }) };
  return { script: `${lines.join("\n")}\n`, variables: gitVariables(from, isLocal, authorization), outputs };
}

/** @throws SeatrialError `invalid` for what only names a commit that we do not know. */
function commitOf(wanted: string, sha: string, ref: string | undefined, known: Readonly<Record<string, string>>): string {
  const short = (name: string | undefined) => name?.replace(/^refs\/(heads|tags)\//, "");
  if (wanted === "" || wanted === sha || wanted === ref || wanted === short(ref)) return sha;
  if (/^[0-9a-f]{40}([0-9a-f]{24})?$/.test(wanted)) return wanted;
  const found = Object.hasOwn(known, short(wanted)!) ? known[short(wanted)!] : undefined;
  if (found !== undefined) return found;
  const names = Object.keys(known).length === 0 ? "" : `, ${Object.keys(known).join(", ")}`;
  throw new SeatrialError(
    "invalid",
    `actions/checkout: ref ${wanted} is not known here: there are ${short(ref) ?? sha}${names}, and commits by their whole id`,
  );
}

/** Head and base of a pull request, by the names of their branches. */
function commitsIn(github: Readonly<Record<string, Json>>): Record<string, string> {
  const pull = objectIn(objectIn(github["event"])["pull_request"]);
  const named = (["head", "base"] as const).map((side) => {
    const { sha } = objectIn(pull[side]);
    return [textOf(github[`${side}_ref`]), textOf(sha)] as const;
  });
  return Object.fromEntries(named.filter(([name, sha]) => name !== "" && sha !== ""));
}

/**
 * A few kilobytes of a repository can be a tree of a million gigabytes, of which git would first fill the memory, and then the disk. An
 * image without awk goes without.
 */
function sizeLines(commit: string): string[] {
  const { checkoutEntries, checkoutBytes } = limits;
  const most = `${checkoutEntries} files and folders, or ${checkoutBytes / 1024 ** 3} GiB`;
  const words = `${commit} has more than ${most}, which is all that is checked out at once: sparse-checkout takes a part`;
  const count = `{ entries++; bytes += $4 } entries > ${checkoutEntries} || bytes > ${checkoutBytes} { exit 1 }`;
  const isFit = `git ls-tree -r -t -l --full-tree ${commit} | awk '${count}'`;
  return [`if command -v awk >/dev/null; then ${isFit} || { echo ${quoted(words)} >&2; exit 1; }; fi`];
}

/** Only some folders, or what patterns find. */
function sparseLines(inputs: Readonly<Record<string, string>>): string[] {
  const patterns = (inputs["sparse-checkout"] ?? "").split("\n").flatMap((line) => line.trim() || []);
  if (patterns.length === 0) return [];
  const isCone = (inputs["sparse-checkout-cone-mode"] || "true").toLowerCase() === "true";
  return [`git sparse-checkout set ${isCone ? "--cone" : "--no-cone"} -- ${patterns.map(quoted).join(" ")}`];
}

function objectIn(value: Json | undefined): Readonly<Record<string, Json>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, Json>>) : {};
}

function textOf(value: Json | undefined): string {
  return typeof value === "string" ? value : "";
}

function directoryIn(workspace: string, path: string): string {
  const directory = resolve(workspace, path);
  if (directory !== workspace && !directory.startsWith(workspace + sep)) {
    throw new SeatrialError("invalid", `actions/checkout: path ${path} leads out of the workspace`);
  }
  return join(directory);
}

/** 0 is all of the history. */
function depthOf(text: string): number {
  if (text === "") return 1;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new SeatrialError("invalid", `actions/checkout: fetch-depth must be a number from 0 on, and is ${text}`);
}

/** Settings of git that no file holds; see "GIT_CONFIG_COUNT" in git-config(1). */
function gitVariables(from: string, isLocal: boolean, authorization: string): Record<string, string> {
  const settings: [string, string][] = isLocal
    ? // The folder may be another user's; it is what the server named.
      [["safe.directory", "*"]]
    : [[`http.${from}.extraHeader`, `Authorization: ${authorization}`]];
  return {
    GIT_TERMINAL_PROMPT: "0",
    GIT_CONFIG_COUNT: String(settings.length),
    ...Object.fromEntries(
      settings.flatMap(([key, value], index) => [
        [`GIT_CONFIG_KEY_${index}`, key],
        [`GIT_CONFIG_VALUE_${index}`, value],
      ]),
    ),
  };
}
