/**
 * The rules of the house that no linter has: links of the docs lead somewhere, examples load, names say what a file holds,
 * and nothing tells where it was written (a mirror of packages, somebody's folder).
 */
import { readFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { parse } from "yaml";
import { messageOf } from "../src/base/errors.ts";
import { run } from "../src/process/run.ts";
import { loadDocuments } from "../src/resources/documents.ts";
import { hostKind } from "../src/resources/host.ts";
import { jobRunKind } from "../src/resources/job-run.ts";
import { repositoryKind } from "../src/resources/repository.ts";
import { runKind } from "../src/resources/run.ts";

/** What belongs to the project: what git has, or would take. Files that were deleted and not yet committed are left out. */
export async function projectFiles(root: string): Promise<string[]> {
  const { stdout } = await run("git", ["ls-files", "--cached", "--others", "--exclude-standard", "-z"], {
    cwd: root,
    env: { PATH: process.env["PATH"] },
  });
  return stdout.split("\0").filter((file) => file !== "" && existsSync(join(root, file)));
}

/** All violations, each as `file:line: what`. */
export async function houseRuleFindings(root: string, files: readonly string[]): Promise<string[]> {
  const findings: string[] = [];
  const places = await privatePlaces(root);
  for (const file of files) {
    const text = await readFile(join(root, file), "utf8");
    if (text.includes("\0")) continue; // Not text.
    findings.push(...nameFindings(file), ...placeFindings(file, text, places));
    if (file.endsWith(".md")) findings.push(...(await linkFindings(root, file, text)), ...snippetFindings(file, text));
    if (/^examples\/.*\.ya?ml$/.test(file)) findings.push(...yamlFindings(file, text, 0));
    if (file === "package-lock.json") findings.push(...lockFindings(text));
    if (/^src\/.*\.ts$/.test(file)) findings.push(...barrelFindings(file, text));
  }
  return findings;
}

function nameFindings(file: string): string[] {
  const isVague = /^(index|utils?|common|helpers?|misc|shared)\.(ts|tsx)$/.test(basename(file));
  return isVague ? [`${file}:1: a file is named by the noun that it holds, not ${basename(file)}`] : [];
}

/** A file that only passes on what others export. */
function barrelFindings(file: string, text: string): string[] {
  const code = text.replaceAll(/\/\*[^]*?\*\/|\/\/.*$/gm, "").trim();
  const rest = code.replaceAll(/export\s+(type\s+)?(\*(\s+as\s+\w+)?|\{[^}]*\})\s+from\s+["'][^"']+["'];?/g, "").trim();
  return code !== "" && rest === "" ? [`${file}:1: a barrel file: import from the files themselves`] : [];
}

/** Text that only makes sense on the machine where it was written. */
interface PrivatePlace {
  text: string;
  what: string;
}

const noHosts = new Set(["off", "direct"]);
const sharedFolders = new Set([
  "/",
  "/home",
  "/Users",
  "/opt",
  "/root",
  "/srv",
  "/tmp",
  "/usr",
  "/usr/src",
  "/var",
  "/var/tmp",
  tmpdir(),
  homedir(),
]);

async function privatePlaces(root: string): Promise<PrivatePlace[]> {
  const env = {
    PATH: process.env["PATH"],
    HOME: homedir(),
    GOPROXY: process.env["GOPROXY"],
    npm_config_registry: process.env["npm_config_registry"],
  };
  const ask = async (command: string, args: string[]) =>
    await run(command, args, { env, cwd: root }).then(
      ({ stdout }) => stdout,
      () => "",
    );
  const sources = await Promise.all(
    ["/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources"].map(async (path) => await readFile(path, "utf8").catch(() => "")),
  );
  const urls = [
    await ask("npm", ["config", "get", "registry"]),
    ...(await ask("go", ["env", "GOPROXY"])).split(/[,|]/),
    ...sources.join("\n").split(/\s+/),
  ];
  const hosts = new Set(
    urls.flatMap((url) => (/^https?:\/\//.test(url.trim()) && URL.canParse(url.trim()) ? [new URL(url.trim()).hostname] : [])),
  );
  return [
    ...[...hosts]
      .filter((host) => !noHosts.has(host) && host !== "localhost")
      .map((text) => ({ text, what: "the name of a mirror that this machine uses" })),
    ...[root, dirname(root)]
      .filter((folder) => !sharedFolders.has(folder))
      .map((folder) => ({ text: `${folder}/`, what: "the folder of this checkout" })),
  ];
}

function placeFindings(file: string, text: string, places: readonly PrivatePlace[]): string[] {
  return places.flatMap((place) =>
    // `/x/` of a longer path, as in `node_modules/x/`, is another one.
    [...text.matchAll(new RegExp(`(?<![\\w.@-])${place.text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}`, "g"))].map(
      ({ index }) => `${file}:${lineAt(text, index)}: ${place.what}`,
    ),
  );
}

/** Whoever installs by the lock file must not be sent to a mirror that is not theirs. */
function lockFindings(text: string): string[] {
  const hosts = new Set([...text.matchAll(/"resolved": "https?:\/\/([^/"]+)/g)].map(([, host]) => host!));
  return [...hosts].filter((host) => !noHosts.has(host)).map((host) => `package-lock.json:1: packages are taken from ${host}`);
}

async function linkFindings(root: string, file: string, text: string): Promise<string[]> {
  const findings: string[] = [];
  const prose = blankCode(text);
  for (const { 1: target = "", index } of prose.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g)) {
    if (/^[a-z][a-z0-9+.-]*:/i.test(target)) continue; // Another site.
    const where = `${file}:${lineAt(text, index)}`;
    const [path = "", anchor] = target.split("#");
    const wanted = path === "" ? file : relative(root, join(root, path.startsWith("/") ? "" : dirname(file), decodeURIComponent(path)));
    if (!existsSync(join(root, wanted))) findings.push(`${where}: a link to ${target}, which is not there`);
    else if (
      anchor !== undefined &&
      wanted.endsWith(".md") &&
      !anchorsOf(await readFile(join(root, wanted), "utf8")).has(anchor.toLowerCase())
    ) {
      findings.push(`${where}: a link to ${target}, and ${wanted} has no such heading`);
    }
  }
  return findings;
}

/** The text with its code made blank: places stay as they are. */
function blankCode(text: string): string {
  return text.replaceAll(/^( *)(```+|~~~+)[^]*?^\1\2 *$|`[^`\n]*`/gm, (code) => code.replaceAll(/[^\n]/g, " "));
}

/** Anchors as GitHub makes them of headings. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  const withoutFences = text.replaceAll(/^( *)(```+|~~~+)[^]*?^\1\2 *$/gm, "");
  for (const [, heading = ""] of withoutFences.matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const plain = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const base = plain.replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(/\s/g, "-");
    for (let n = 0; ; n++) {
      const anchor = n === 0 ? base : `${base}-${n}`;
      if (anchors.has(anchor)) continue;
      anchors.add(anchor);
      break;
    }
  }
  for (const [, id = ""] of text.matchAll(/<a (?:name|id)="([^"]+)"/g)) anchors.add(id.toLowerCase());
  return anchors;
}

/** YAML of ours in a fence: ```yaml. */
function snippetFindings(file: string, text: string): string[] {
  return [...text.matchAll(/^( *)```ya?ml *\n([^]*?)^\1``` *$/gm)].flatMap(({ 1: indent = "", 2: body = "", index }) =>
    yamlFindings(file, indent === "" ? body : body.replaceAll(new RegExp(`^${indent}`, "gm"), ""), lineAt(text, index)),
  );
}

/** Kinds that the server's API alone holds. */
const serverKinds = [runKind, jobRunKind, hostKind, repositoryKind];

/** @param before lines of the file before the text. Documents of Kubernetes and of others are not looked at. */
function yamlFindings(file: string, text: string, before: number): string[] {
  if (!/^apiVersion: *["']?(seatrial|ctlptl)\.dev\//m.test(text)) return [];
  const ofServer = serverKinds.find(({ kind }) => new RegExp(`^kind: *${kind} *$`, "m").test(text));
  if (ofServer) {
    const { spec } = parse(text) as { spec?: unknown };
    const { error } = ofServer.spec.safeParse(spec);
    return (error?.issues ?? []).map(({ path, message }) => `${file}:${before + 1}: spec.${path.join(".")}: ${message}`);
  }
  try {
    loadDocuments("\n".repeat(before) + text, file);
    return [];
  } catch (error) {
    return messageOf(error).split("\n");
  }
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}
