/**
 * `actions/setup-go` and its kin: a program of the asked version is found where the job runs, and put first on PATH. Nothing is
 * downloaded: what is not there is told, with what there is.
 *
 * Looked for: on PATH, and in folders of tools in the layout of GitHub's tool cache, `NAME/VERSION/ARCH`: the job's own
 * (RUNNER_TOOL_CACHE), AGENT_TOOLSDIRECTORY, the folders of SEATRIAL_TOOLS, /opt/hostedtoolcache.
 */
import { readFileSync, rmSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { ActionContext, BuiltInAction } from "../actions/action.ts";
import { quoted } from "../steps/step-script.ts";
import { compareVersions, isInRange, parseVersion, type Version } from "./versions.ts";
import { isYes } from "./inputs.ts";

/** A kind of program. */
interface Tool {
  /** The action. */
  name: string;
  /** For messages. */
  title: string;
  program: string;
  /** Also tried, when the first is not there. */
  others?: readonly string[];
  /** Arguments that make it print its version. */
  versionArguments: string;
  /** The version in what it printed. */
  versionIn: RegExp;
  /** Names of its folders in a tool cache, as shell patterns; and where the program is below VERSION/ARCH. */
  cacheFolders: readonly string[];
  cachePaths: readonly string[];
  /** Inputs with the version, and with the file that says it. */
  input: string;
  fileInput?: string;
  /** Words for versions, as ranges; undefined is one that cannot be known here. */
  words: Readonly<Record<string, string>>;
  /** What a version file says; undefined when it says nothing. */
  versionOf?(file: string, text: string): string | undefined;
  /** What is set for the program that was chosen. */
  use(context: ActionContext, found: Found): void;
}

interface Found {
  path: string;
  /** As it was printed. */
  text: string;
  version: Version;
}

const anyStable = { latest: "*", stable: "*" };

/** `NAME version` lines of asdf and mise. */
const toolVersions = (text: string, ...names: string[]): string | undefined =>
  text
    .split("\n")
    .map((line) => line.split("#")[0]!.trim().split(/\s+/))
    .find(([name]) => names.includes(name!))?.[1];

const firstLine = (text: string): string | undefined =>
  text
    .split("\n")
    .map((line) => line.split("#")[0]!.trim())
    .find((line) => line !== "");

const go: Tool = {
  name: "actions/setup-go",
  title: "Go",
  program: "go",
  versionArguments: "version",
  versionIn: /go version go(\S+)/,
  cacheFolders: ["go"],
  cachePaths: ["bin/go"],
  input: "go-version",
  fileInput: "go-version-file",
  words: anyStable,
  versionOf(file, text) {
    if (/^go\.(mod|work)$/.test(basename(file))) {
      const toolchain = /^toolchain\s+go(\S+)/m.exec(text)?.[1];
      return toolchain === undefined || toolchain === "default" ? /^go\s+(\S+)/m.exec(text)?.[1] : toolchain;
    }
    return basename(file) === ".tool-versions" ? toolVersions(text, "golang", "go") : firstLine(text);
  },
  use(context, { path, text }) {
    context.addPath(dirname(path));
    // As the action does: the version that was asked for, and no other by what go.mod says.
    context.addVariable("GOTOOLCHAIN", "local");
    context.setOutput("go-version", text);
    context.setOutput("cache-hit", "false");
  },
};

const node: Tool = {
  name: "actions/setup-node",
  title: "Node",
  program: "node",
  versionArguments: "--version",
  versionIn: /v(\S+)/,
  cacheFolders: ["node"],
  cachePaths: ["bin/node"],
  input: "node-version",
  fileInput: "node-version-file",
  // Even majors become long-term; those up to 24 have by now. Names are GitHub's and Node's own.
  words: {
    ...anyStable,
    current: "*",
    node: "*",
    "lts/*": "24 || 22 || 20 || 18 || 16",
    "lts/gallium": "16",
    "lts/hydrogen": "18",
    "lts/iron": "20",
    "lts/jod": "22",
    "lts/krypton": "24",
  },
  versionOf(file, text) {
    if (basename(file) === ".tool-versions") return toolVersions(text, "nodejs", "node");
    if (basename(file) !== "package.json") return firstLine(text);
    const json = JSON.parse(text) as {
      volta?: { node?: string };
      engines?: { node?: string };
      devEngines?: { runtime?: { name?: string; version?: string } | { name?: string; version?: string }[] };
    };
    const runtimes = [json.devEngines?.runtime ?? []].flat();
    return json.volta?.node ?? runtimes.find(({ name }) => name === "node")?.version ?? json.engines?.node;
  },
  use(context, { path, text }) {
    context.addPath(dirname(path));
    context.setOutput("node-version", `v${text}`);
    context.setOutput("cache-hit", "false");
  },
};

const python: Tool = {
  name: "actions/setup-python",
  title: "Python",
  program: "python3",
  others: ["python"],
  versionArguments: "--version",
  versionIn: /Python (\S+)/,
  cacheFolders: ["Python"],
  cachePaths: ["bin/python3", "python"],
  input: "python-version",
  fileInput: "python-version-file",
  words: { ...anyStable, "3.x": "3" },
  versionOf(file, text) {
    if (basename(file) === ".tool-versions") return toolVersions(text, "python");
    if (basename(file) === "pyproject.toml")
      return /^\s*requires-python\s*=\s*["']([^"']+)["']/m.exec(text)?.[1] ?? /^\s*python\s*=\s*["']([^"']+)["']/m.exec(text)?.[1];
    return firstLine(text);
  },
  use(context, { path, text }) {
    if (isYes({ inputs: { "update-environment": "true", ...context.inputs } }, "update-environment")) {
      const root = dirname(dirname(path));
      context.addPath(dirname(path));
      for (const name of ["pythonLocation", "Python_ROOT_DIR", "Python3_ROOT_DIR"]) context.addVariable(name, root);
    }
    context.setOutput("python-version", text);
    context.setOutput("python-path", path);
    context.setOutput("cache-hit", "false");
  },
};

const java: Tool = {
  name: "actions/setup-java",
  title: "Java",
  program: "java",
  versionArguments: "-version",
  versionIn: /version "([^"]+)"/,
  cacheFolders: ["Java_*_jdk"],
  cachePaths: ["bin/java", "Contents/Home/bin/java"],
  input: "java-version",
  fileInput: "java-version-file",
  words: anyStable,
  versionOf(file, text) {
    if (basename(file) === ".tool-versions") return toolVersions(text, "java")?.replace(/^[a-z-]+-/, "");
    if (basename(file) === ".sdkmanrc") return /^java=(\d[\d.]*)/m.exec(text)?.[1];
    return firstLine(text)?.replace(/^[a-z-]+-/, "");
  },
  use(context, { path, text, version }) {
    const home = dirname(dirname(path));
    context.addPath(dirname(path));
    context.addVariable("JAVA_HOME", home);
    context.addVariable(`JAVA_HOME_${version.numbers[0]}_${process.arch === "arm64" ? "ARM64" : "X64"}`, home);
    context.setOutput("distribution", context.inputs["distribution"] ?? "");
    context.setOutput("version", text);
    context.setOutput("path", home);
    context.setOutput("cache-hit", "false");
  },
};

const helm: Tool = {
  name: "azure/setup-helm",
  title: "helm",
  program: "helm",
  versionArguments: "version --short",
  versionIn: /v(\d\S*)/,
  cacheFolders: ["helm"],
  cachePaths: ["*/helm", "helm"],
  input: "version",
  words: anyStable,
  use(context, { path }) {
    context.addPath(dirname(path));
    context.setOutput("helm-path", path);
  },
};

const kubectl: Tool = {
  name: "azure/setup-kubectl",
  title: "kubectl",
  program: "kubectl",
  versionArguments: "version --client",
  // What vendors add to a release (`-eks-5e0fdde`, `-dispatcher`) would make it one before it.
  versionIn: /(?:Client Version: |GitVersion:")v(\d+\.\d+\.\d+(?:-(?:alpha|beta|rc)\.\d+)?)/,
  cacheFolders: ["kubectl"],
  cachePaths: ["kubectl"],
  input: "version",
  words: anyStable,
  use(context, { path }) {
    context.addPath(dirname(path));
    context.setOutput("kubectl-path", path);
  },
};

export const setupActions: readonly BuiltInAction[] = [go, node, python, java, helm, kubectl].map((tool) => ({
  name: tool.name,
  main: async (context) => await setUp(tool, context),
}));

async function setUp(tool: Tool, context: ActionContext): Promise<void> {
  const wanted = wantedIn(tool, context);
  const known = await findTools(tool, context);
  const fits = known.filter(({ version }) => wanted.some((range) => isInRange(version, range)));
  // The order of the search counts among equals: what is on PATH is what others use, too.
  const [best] = fits.toSorted((a, b) => compareVersions(b.version, a.version));
  if (!best) throw notThere(tool, context, known);
  tool.use(context, best);
  context.say(`${tool.title} ${best.text}: ${best.path}`);
}

/** Ranges, of which one is enough. @throws SeatrialError `invalid` */
function wantedIn(tool: Tool, context: ActionContext): string[] {
  const given = context.inputs[tool.input] ?? "";
  const file = tool.fileInput === undefined ? "" : (context.inputs[tool.fileInput] ?? "");
  if (given !== "" && file !== "") context.annotate("warning", `${tool.input} counts, and ${tool.fileInput} does not`);
  const text = given === "" && file !== "" ? fromFile(tool, context, file) : given;
  const lines = text.split("\n").flatMap((line) => line.trim() || []);
  if (lines.length === 0) return ["*"];
  return lines.map((line) => rangeOf(tool, line));
}

function rangeOf(tool: Tool, line: string): string {
  const word = tool.words[line.toLowerCase()];
  if (word !== undefined) return word;
  const range = line
    .replace(/^v(?=\d)/, "")
    .replace(/^go(?=\d)/, "")
    .replaceAll("==", "=");
  // What programs call a version before a release is not how ranges write it.
  const exact = parseVersion(range);
  const written = exact?.prerelease ? `${exact.numbers.join(".")}-${exact.prerelease}` : range;
  if (isInRange({ numbers: [0, 0, 0], prerelease: "" }, written) !== undefined) return written;
  throw new SeatrialError("invalid", `${tool.name}: ${JSON.stringify(line)} is no version and no range of versions that is known here`);
}

function fromFile(tool: Tool, { folders, inputs }: ActionContext, name: string): string {
  const path = resolve(folders.workspace, name);
  let text: string;
  try {
    text = readFileSync(path, "utf8").slice(0, limits.commandFileCharacters);
  } catch (error) {
    throw new SeatrialError("invalid", `${tool.name}: ${tool.fileInput} ${inputs[tool.fileInput!]} is not there`, { cause: error });
  }
  let version: string | undefined;
  try {
    version = tool.versionOf!(path, text);
  } catch {
    version = undefined; // No JSON, for one.
  }
  if (!version) throw new SeatrialError("invalid", `${tool.name}: ${name} says no version of ${tool.title}`);
  return version;
}

/** All that there are, in the order in which they are looked for. */
async function findTools(tool: Tool, context: ActionContext): Promise<Found[]> {
  const { folders, env } = context;
  const file = join(folders.temp, `tools-${tool.program}`);
  const caches = [
    ...new Set([folders.tools, env["AGENT_TOOLSDIRECTORY"], ...(env["SEATRIAL_TOOLS"] ?? "").split(":"), "/opt/hostedtoolcache"]),
  ];
  const patterns = caches
    .filter((cache) => cache !== undefined && cache !== "")
    .flatMap((cache) => tool.cacheFolders.flatMap((folder) => tool.cachePaths.map((path) => `${quoted(cache!)}/${folder}/*/*/${path}`)));
  const script = [
    // A JDK is known by where it really lies.
    `look() { if [ -f "$1" ] && [ -x "$1" ]; then printf '%s\\t' "${tool === java ? '$(readlink -f "$1")' : "$1"}"; "$1" ${tool.versionArguments} 2>&1 | head -n 1; fi; }`,
    "{",
    ...[tool.program, ...(tool.others ?? [])].map(
      (program) => `(IFS=:; for folder in $PATH; do look "$folder/${program}" </dev/null; done)`,
    ),
    ...(patterns.length > 0 ? [`for file in ${patterns.join(" ")}; do look "$file" </dev/null; done`] : []),
    `} >${quoted(file)}`,
    "",
  ].join("\n");
  try {
    await context.run(script, { shell: "sh", isInContainer: true });
    const lines = readFileSync(file, "utf8").split("\n");
    const found = lines.flatMap((line): Found[] => {
      const [path = "", ...printed] = line.split("\t");
      const text = tool.versionIn.exec(printed.join("\t"))?.[1];
      const version = text === undefined ? undefined : parseVersion(text);
      return version ? [{ path, text: text!, version }] : [];
    });
    return [...new Map(found.map((each) => [each.path, each])).values()];
  } finally {
    rmSync(file, { force: true });
  }
}

function notThere(tool: Tool, context: ActionContext, known: readonly Found[]): SeatrialError {
  const asked = (context.inputs[tool.input] || context.inputs[tool.fileInput ?? ""] || "any version").split("\n").join(", ");
  const there = known
    .map(({ text, path }) => `${text} (${path})`)
    .slice(0, 10)
    .join(", ");
  return new SeatrialError("missing-program", `there is no ${tool.title} ${asked} here: there is ${there || "none at all"}`, {
    hint: `put it on PATH of the job's image or machine, or into a folder of tools as ${tool.cacheFolders[0]}/VERSION/ARCH, named by SEATRIAL_TOOLS`,
  });
}
