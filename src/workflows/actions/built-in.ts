/**
 * The actions that are part of Seatrial: what each takes and gives. The reader asks this table for each `uses` and `with`, the runner
 * for defaults and notices; the code of each is in runner/built-in/. It is bundled with the runner, so it imports nothing heavy.
 *
 * Inputs and outputs are those of the actions' own documentation.
 */
import { didYouMean } from "../../resources/suggest.ts";
import { holdsExpression } from "../expressions/expressions.ts";

/**
 * `works`; `ignored`: it means nothing here, and the log says so; `refused`: only values by which it asks for nothing are taken.
 */
export type InputState = "works" | "ignored" | "refused";

export interface BuiltInInput {
  state: InputState;
  /** Values that are taken. Default: any; of one that is refused, none. */
  values?: readonly string[];
  default?: string;
  isRequired?: true;
  /** For people: why it is ignored or refused, what to do instead. */
  note?: string;
  /** A part of one that works which means nothing here, and what is said of it. */
  leavesOut?: { part: RegExp; note: string };
}

export interface BuiltIn {
  /** Without its version. */
  name: string;
  inputs: Readonly<Record<string, BuiltInInput>>;
  outputs: readonly string[];
  /** Major versions that mean something else, and why they are refused. */
  refusedVersions?: { versions: readonly string[]; why: string };
  /** It becomes a cluster of the job, Ready before the first step. */
  isHoisted?: true;
  /** For people: what it does here. */
  note: string;
}

const input: BuiltInInput = { state: "works" };
const required: BuiltInInput = { state: "works", isRequired: true };
const flag = (byDefault?: boolean): BuiltInInput => ({
  state: "works",
  values: ["true", "false"],
  ...(byDefault === undefined ? {} : { default: String(byDefault) }),
});
const withDefault = (value: string): BuiltInInput => ({ state: "works", default: value });
const ignored = (note: string): BuiltInInput => ({ state: "ignored", note });
const refused = (note: string, ...values: string[]): BuiltInInput => ({ state: "refused", values, note });

const noToken = ignored("nothing is downloaded from GitHub");
const noDownload = ignored("a version that is not there is not downloaded");
const noCache = ignored("use actions/cache in a step of its own");
const noArchitecture = ignored("programs are those of the machine that the job runs on");
const noWait = ignored("the cluster is Ready before the first step");
const latest = { ...flag(false), state: "ignored", note: "the newest that is there is taken anyway" } as const;

const cacheInputs: BuiltIn["inputs"] = {
  path: required,
  key: required,
  "restore-keys": input,
  "upload-chunk-size": ignored("a cache is sent in one piece"),
  enableCrossOsArchive: { ...flag(false), state: "ignored", note: "caches are plain archives" },
  "fail-on-cache-miss": flag(false),
  "lookup-only": flag(false),
};

export const builtIns: readonly BuiltIn[] = [
  {
    name: "actions/checkout",
    note: "The commit under test, or another one of the same repository that it contains.",
    outputs: ["ref", "commit"],
    inputs: {
      ref: input,
      repository: input,
      path: input,
      "fetch-depth": withDefault("1"),
      "fetch-tags": { ...flag(false), state: "ignored", note: "tags come where a repository of this machine is checked out whole" },
      clean: flag(true),
      "sparse-checkout": input,
      "sparse-checkout-cone-mode": flag(true),
      "persist-credentials": { ...flag(true), state: "ignored", note: "git gets no credentials that could be kept" },
      "show-progress": { ...flag(true), state: "ignored", note: "the log shows no progress" },
      "set-safe-directory": { ...flag(true), state: "ignored", note: "the folder belongs to the job" },
      token: ignored("the server gives the commit"),
      submodules: refused("jobs are given the run's own repository alone: fetch them in a step", "false"),
      lfs: refused("the server keeps no large files: fetch them in a step", "false"),
      filter: refused("the server gives whole commits"),
      "ssh-key": refused("the server gives the commit"),
      "ssh-known-hosts": refused("the server gives the commit"),
      "ssh-strict": refused("the server gives the commit", "true"),
      "ssh-user": refused("the server gives the commit", "git"),
      "github-server-url": refused("only the repository of the run can be checked out"),
    },
  },
  {
    name: "actions/upload-artifact",
    note: "As version 4: a name is given once in a run; its files are beside those of ARTIFACTS on the job's page.",
    refusedVersions: { versions: ["v1", "v2", "v3"], why: "they merged artifacts of one name, which v4 and later do not" },
    outputs: ["artifact-id", "artifact-digest", "artifact-url"],
    inputs: {
      name: withDefault("artifact"),
      path: required,
      "if-no-files-found": { state: "works", values: ["warn", "error", "ignore"], default: "warn" },
      "retention-days": input,
      "compression-level": ignored("files are kept as they are"),
      overwrite: flag(false),
      "include-hidden-files": flag(false),
      archive: refused("files are kept as they are, and need no archive", "true"),
    },
  },
  {
    name: "actions/download-artifact",
    note: "Artifacts of the same run, of the newest attempt.",
    refusedVersions: { versions: ["v1", "v2", "v3"], why: "they merged artifacts of one name, which v4 and later do not" },
    outputs: ["download-path"],
    inputs: {
      name: input,
      "artifact-ids": input,
      path: input,
      pattern: input,
      "merge-multiple": flag(false),
      "digest-mismatch": { state: "works", values: ["ignore", "info", "warn", "error"], default: "error" },
      "skip-decompress": { ...flag(false), state: "ignored", note: "files are kept as they are" },
      "github-token": refused("artifacts of other runs cannot be had"),
      repository: refused("artifacts of other repositories cannot be had", "${{ github.repository }}"),
      "run-id": refused("artifacts of other runs cannot be had", "${{ github.run_id }}"),
    },
  },
  {
    name: "actions/cache",
    note: "Of the repository, by branch: a branch sees its own, those of the branch that it goes to, and of the default branch.",
    outputs: ["cache-hit"],
    inputs: { ...cacheInputs, "save-always": ignored("a job that failed saves nothing: use actions/cache/save with `if: always()`") },
  },
  {
    name: "actions/cache/restore",
    note: "The first half of `actions/cache`.",
    outputs: ["cache-hit", "cache-primary-key", "cache-matched-key"],
    inputs: cacheInputs,
  },
  {
    name: "actions/cache/save",
    note: "The second half of `actions/cache`.",
    outputs: [],
    inputs: {
      path: required,
      key: required,
      "upload-chunk-size": cacheInputs["upload-chunk-size"]!,
      enableCrossOsArchive: cacheInputs["enableCrossOsArchive"]!,
    },
  },
  {
    name: "actions/setup-go",
    note: "A Go of that version that is there: on PATH, or in a folder of tools.",
    outputs: ["go-version", "cache-hit"],
    inputs: {
      "go-version": input,
      "go-version-file": input,
      "check-latest": latest,
      token: noToken,
      cache: { ...flag(), state: "ignored", note: noCache.note! },
      "cache-dependency-path": noCache,
      architecture: noArchitecture,
      "go-download-base-url": noDownload,
    },
  },
  {
    name: "actions/setup-node",
    note: "A Node of that version that is there.",
    outputs: ["cache-hit", "node-version"],
    inputs: {
      "node-version": input,
      "node-version-file": input,
      "check-latest": latest,
      architecture: noArchitecture,
      token: noToken,
      cache: noCache,
      "package-manager-cache": noCache,
      "cache-dependency-path": noCache,
      "registry-url": refused("write .npmrc in a step"),
      scope: refused("write .npmrc in a step"),
      "always-auth": refused("write .npmrc in a step", "false"),
      mirror: noDownload,
      "mirror-token": noDownload,
    },
  },
  {
    name: "actions/setup-python",
    note: "A Python of that version that is there.",
    outputs: ["python-version", "cache-hit", "python-path"],
    inputs: {
      "python-version": input,
      "python-version-file": input,
      cache: noCache,
      "cache-dependency-path": noCache,
      architecture: noArchitecture,
      "check-latest": latest,
      token: noToken,
      "update-environment": flag(true),
      "allow-prereleases": flag(false),
      freethreaded: refused("only the usual build is looked for", "false"),
      "pip-version": refused("install it in a step"),
      "pip-install": refused("install it in a step"),
    },
  },
  {
    name: "actions/setup-java",
    note: "A JDK of that version that is there, of whatever distribution.",
    outputs: ["distribution", "version", "path", "cache-hit"],
    inputs: {
      "java-version": input,
      "java-version-file": input,
      distribution: input,
      "java-package": refused("a JDK is looked for", "jdk"),
      architecture: noArchitecture,
      jdkFile: refused("a JDK that is there is taken"),
      "check-latest": latest,
      token: noToken,
      cache: noCache,
      "cache-dependency-path": noCache,
      "job-status": ignored("it is for the action itself"),
      "server-id": refused("write settings.xml in a step"),
      "server-username": refused("write settings.xml in a step"),
      "server-password": refused("write settings.xml in a step"),
      "settings-path": refused("write settings.xml in a step"),
      "overwrite-settings": ignored("settings.xml is not written"),
      "gpg-private-key": refused("import it in a step"),
      "gpg-passphrase": refused("import it in a step"),
      "mvn-toolchain-id": refused("write toolchains.xml in a step"),
      "mvn-toolchain-vendor": refused("write toolchains.xml in a step"),
    },
  },
  {
    name: "azure/setup-helm",
    note: "A helm of that version that is there.",
    outputs: ["helm-path"],
    inputs: { version: withDefault("latest"), token: noToken, downloadBaseURL: noDownload },
  },
  {
    name: "azure/setup-kubectl",
    note: "A kubectl of that version that is there.",
    outputs: ["kubectl-path"],
    inputs: { version: withDefault("latest"), downloadBaseURL: noDownload },
  },
  {
    name: "helm/kind-action",
    isHoisted: true,
    note: "A cluster of the job, of provider kind; its context has the name that kind would give it.",
    outputs: ["LOCAL_REGISTRY"],
    inputs: {
      node_image: {
        ...input,
        leavesOut: { part: /@sha256:|^\s*\$\{\{/, note: "its digest is ignored: the node image is the server's, of that version" },
      },
      cluster_name: input,
      registry: flag(false),
      version: ignored("the server's kind is used"),
      config: { ...input, note: "a file of the repository, as it is in the commit" },
      wait: noWait,
      verbosity: ignored("the server's log has it"),
      kubectl_version: ignored("kubectl is that on PATH"),
      registry_name: ignored("the registry is named by LOCAL_REGISTRY and REGISTRY"),
      registry_image: ignored("the registry is the server's"),
      registry_port: ignored("the registry is named by LOCAL_REGISTRY and REGISTRY"),
      registry_enable_delete: ignored("the registry goes with the job"),
      install_only: refused("kind itself is not for jobs: they have clusters", "false"),
      ignore_failed_clean: ignored("the cluster is deleted by the server"),
      kubeconfig: ignored("the file is named by KUBECONFIG"),
      cloud_provider: refused("there is none in the cluster", "false"),
    },
  },
  {
    name: "medyagh/setup-minikube",
    isHoisted: true,
    note: "A cluster of the job, of provider kind, with a context minikube.",
    outputs: [],
    inputs: {
      "kubernetes-version": input,
      nodes: input,
      "feature-gates": input,
      "minikube-version": ignored("the cluster is one of kind"),
      driver: ignored("nodes are containers"),
      "container-runtime": ignored("it is containerd"),
      cpus: ignored("nodes share their host's"),
      memory: ignored("nodes share their host's"),
      cache: ignored("the server keeps what it needs"),
      wait: noWait,
      "install-kubectl": ignored("kubectl is that on PATH"),
      addons: refused("install them in a step"),
      "extra-config": refused("write `cluster: {kind: {config: …}}` in the job"),
      "insecure-registry": refused("the cluster has a registry of its own, named by REGISTRY"),
      start: refused("minikube itself is not for jobs: they have clusters", "true"),
      "mount-path": refused("nodes see no folder of the job"),
      "start-args": refused("write `cluster` in the job"),
      cni: refused("write `cluster: {kind: {config: …}}` in the job", "auto", "bridge", "kindnet"),
      "network-plugin": refused("write `cluster: {kind: {config: …}}` in the job", "cni"),
      "listen-address": refused("the API is reached by KUBECONFIG"),
    },
  },
  {
    name: "seatrial/seatrial",
    isHoisted: true,
    note: "A cluster of the job. The same step makes one on GitHub's own runners.",
    outputs: ["kubeconfig", "registry"],
    inputs: {
      provider: { state: "works", values: ["kind", "bare"], default: "kind" },
      "kubernetes-version": input,
      nodes: input,
      "cluster-domain": input,
      name: input,
    },
  },
];

const byName = new Map(builtIns.map((one) => [one.name.toLowerCase(), one]));

/** The action that a `uses` names, whatever its version; undefined when it is none of ours. */
export function builtInOf(uses: string): BuiltIn | undefined {
  return byName.get(uses.split("@")[0]!.toLowerCase());
}

/** Why an action of ours cannot be used in this version; undefined when it can. */
export function versionMistake(uses: string): string | undefined {
  const [name, version = ""] = uses.split("@", 2);
  const builtIn = builtInOf(uses);
  if (!builtIn) return undefined;
  if (version === "") return `lacks its version, as in ${name}@v4`;
  const refusal = builtIn.refusedVersions;
  const major = /^v?(\d+)/.exec(version)?.[1];
  // A commit says nothing of its version.
  const isCommit = /^[0-9a-f]{40}$/.test(version);
  return !isCommit && refusal?.versions.includes(`v${major}`) ? `${version} is not supported: ${refusal.why}` : undefined;
}

/** Inputs have no case. */
function inputOf(builtIn: BuiltIn, name: string): BuiltInInput | undefined {
  const lower = name.toLowerCase();
  return Object.entries(builtIn.inputs).find(([key]) => key.toLowerCase() === lower)?.[1];
}

/** What is wrong with a value, as the end of a message that begins with the input's name; undefined when nothing is, or it is an expression. */
export function inputMistake(builtIn: BuiltIn, name: string, value: string): string | undefined {
  const known = inputOf(builtIn, name);
  if (!known) return `is not an input of ${builtIn.name}${didYouMean(name, Object.keys(builtIn.inputs))}`;
  const { state, values, note } = known;
  const text = value.trim();
  if (text === "" || values?.includes(text) || (state !== "refused" && holdsExpression(text))) return undefined;
  if (state === "refused") return `is not supported: ${note}`;
  const isOk = !values || (isFlag(values) && ["true", "false"].includes(text.toLowerCase()));
  return isOk ? undefined : `must be ${values.slice(0, -1).join(", ")} or ${values.at(-1)}, and is ${JSON.stringify(text.slice(0, 100))}`;
}

function isFlag(values: readonly string[]): boolean {
  return values.join() === "true,false";
}

/** Inputs that an action of ours cannot do without, and that are not given. */
export function missingInputs(builtIn: BuiltIn, given: readonly string[]): string[] {
  const names = new Set(given.map((name) => name.toLowerCase()));
  return Object.entries(builtIn.inputs).flatMap(([name, { isRequired }]) => (isRequired && !names.has(name.toLowerCase()) ? [name] : []));
}

/** What is said of inputs that mean nothing here, a sentence each. */
export function ignoredInputs(builtIn: BuiltIn, given: Readonly<Record<string, string>>): string[] {
  return Object.entries(given).flatMap(([name, value]) => {
    const known = inputOf(builtIn, name);
    const asksNothing = value.trim() === "" || value.trim() === known?.default;
    if (known?.leavesOut?.part.test(value)) return [`${builtIn.name}: input ${name}: ${known.leavesOut.note}`];
    return known?.state === "ignored" && !asksNothing ? [`${builtIn.name}: input ${name} is ignored: ${known.note}`] : [];
  });
}
