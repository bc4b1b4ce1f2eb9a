/**
 * `actions/checkout`, as a script that is run like any other step: it can be stopped, and its output is in the log.
 *
 * The commit is the run's own. From the server it comes over git's HTTP, with the attempt's token in a header that only
 * git's environment holds; from a folder of this machine nothing is copied: its objects are borrowed (`alternates`), so that
 * a large repository costs no more than its files.
 */
import { join, resolve, sep } from "node:path";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { AssignmentMessage } from "./protocol.ts";
import { quoted } from "./step-script.ts";

export interface Checkout {
  script: string;
  /** Of git alone; holds the token. */
  variables: Record<string, string>;
}

export interface CheckoutOptions {
  checkout: AssignmentMessage["checkout"];
  /** The step's `with`, expanded. */
  inputs: Readonly<Record<string, string>>;
  workspace: string;
  /** Value of the header by which the server knows the attempt. */
  authorization: string;
}

/** Inputs that change nothing here, or only what other tools see; any value is taken. */
const ignored = new Set(["token", "persist-credentials", "clean", "show-progress", "set-safe-directory", "fetch-tags"]);
/** Inputs that we do not do yet, and the values by which they ask for nothing. */
const unsupported: Record<string, readonly string[]> = {
  repository: [""],
  submodules: ["", "false"],
  lfs: ["", "false"],
  filter: [""],
  "sparse-checkout": [""],
  "sparse-checkout-cone-mode": ["", "true"],
  "ssh-key": [""],
  "ssh-known-hosts": [""],
  "ssh-strict": ["", "true"],
  "ssh-user": ["", "git"],
  "github-server-url": [""],
};

/** True for `actions/checkout` of any version: what it means here does not depend on it. */
export function isCheckout(uses: string): boolean {
  return /^actions\/checkout(@\S+)?$/.test(uses);
}

/** @throws SeatrialError `invalid` for inputs that are wrong, or that we do not do yet. */
export function checkoutScript({ checkout, inputs, workspace, authorization }: CheckoutOptions): Checkout {
  const { sha, ref, from } = checkout;
  if (!sha || !from) throw new SeatrialError("invalid", "actions/checkout: this run has no commit that could be checked out");
  for (const [name, value] of Object.entries(inputs)) checkInput(name, value, sha, ref);
  const directory = directoryIn(workspace, inputs["path"] ?? "");
  const depth = depthOf(inputs["fetch-depth"] ?? "");
  const isLocal = !/^https?:/.test(from);
  const branch = /^refs\/heads\/(.+)$/.exec(ref ?? "")?.[1];
  const all = depth === 0 ? "'+refs/heads/*:refs/remotes/origin/*' '+refs/tags/*:refs/tags/*'" : "";
  const fetch = `git fetch --quiet ${depth === 0 ? "--tags" : `--no-tags --depth=${depth}`} origin ${all}`;
  const lines = [
    "set -e",
    `git init --quiet ${quoted(directory)}`,
    `cd ${quoted(directory)}`,
    `git remote add origin ${quoted(from)} 2>/dev/null || git remote set-url origin ${quoted(from)}`,
  ];
  if (isLocal) {
    lines.push(`objects=$(git -C ${quoted(from)} rev-parse --path-format=absolute --git-path objects)`);
    lines.push(`echo "$objects" >.git/objects/info/alternates`);
    if (depth === 1) lines.push(`echo ${sha} >.git/shallow`);
    else lines.push(fetch.trim() + (depth === 0 ? "" : ` ${sha}`));
  } else {
    lines.push("try=1");
    lines.push(`until ${fetch} ${sha}; do`);
    lines.push(`  [ $try -lt ${limits.checkoutTries} ] || exit 1`);
    lines.push("  sleep $try");
    lines.push("  try=$((try + 1))");
    lines.push("done");
  }
  lines.push(
    branch === undefined
      ? `git -c advice.detachedHead=false checkout --quiet --force --detach ${sha}`
      : `git checkout --quiet --force -B ${quoted(branch)} ${sha}`,
  );
  if (branch !== undefined) lines.push(`git update-ref ${quoted(`refs/remotes/origin/${branch}`)} ${sha}`);
  lines.push("git --no-pager log -1 --format='%H %s'");
  lines.push(`echo "commit=${sha}" >>"$GITHUB_OUTPUT"`);
  if (ref !== undefined) lines.push(`echo ${quoted(`ref=${ref}`)} >>"$GITHUB_OUTPUT"`);
  return { script: `${lines.join("\n")}\n`, variables: gitVariables(from, isLocal, authorization) };
}

function checkInput(name: string, value: string, sha: string, ref: string | undefined): void {
  if (ignored.has(name) || name === "path" || name === "fetch-depth") return;
  if (name === "ref") {
    const own = ["", sha, ref, ref?.replace(/^refs\/(heads|tags)\//, "")];
    if (own.includes(value)) return;
    throw new SeatrialError("invalid", `actions/checkout: ref ${value} is not this run's own commit, and others cannot be checked out yet`);
  }
  const harmless = unsupported[name];
  if (!harmless) throw new SeatrialError("invalid", `actions/checkout: there is no input ${name}`);
  if (!harmless.includes(value)) throw new SeatrialError("invalid", `actions/checkout: ${name} is not supported yet`);
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
