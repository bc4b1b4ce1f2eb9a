/**
 * Kubeconfig files: one for each cluster, ours; and the user's, which is changed only when asked, under the lock that
 * kubectl and kind use (a file NAME.lock, made exclusively), and keeps its comments and unknown fields.
 */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, open, readFile, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Document, isMap, isSeq, parseDocument, type YAMLMap } from "yaml";
import type { Environment } from "../base/environment.ts";
import { SeatrialError, messageOf, systemCodeOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { waitFor } from "../base/wait.ts";
import { parseKubeconfig } from "../kube/client.ts";

const sections = ["clusters", "users", "contexts"] as const;

/** The file that kubectl would write to: the first of KUBECONFIG that exists, else its first, else ~/.kube/config. */
export function userKubeconfigPath(environment: Environment): string {
  const listed = (environment.variables["KUBECONFIG"] ?? "").split(":").filter((path) => path !== "");
  return listed.find((path) => existsSync(path)) ?? listed[0] ?? join(environment.homeDir, ".kube", "config");
}

/** Writes a file whole or not at all, readable by its user alone. */
export async function writeFileWhole(path: string, text: string): Promise<void> {
  // A link is followed: replacing it would cut off what the user made of it.
  const target = await realpath(path).catch(() => path);
  const temporary = `${target}.${randomUUID().slice(0, 8)}.tmp`;
  try {
    await mkdir(dirname(target), { recursive: true, mode: 0o700 });
    await writeFile(temporary, text, { mode: 0o600, flag: "wx" });
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    const code = systemCodeOf(error);
    const why = code === "ENOSPC" ? "the disk is full" : messageOf(error);
    throw new SeatrialError("command-failed", `could not write ${path}: ${why}; the file is as it was`, {
      ...(code === "ENOSPC" ? { hint: `free some space on the disk of ${dirname(path)}, then run the same command again` } : {}),
      cause: error,
    });
  }
}

/** The one cluster, user and context of a kubeconfig under one name, with the server's address as seen from here. */
export function renameKubeconfig(text: string, name: string, server: string): string {
  const given = parseDocument(text);
  const part = (section: (typeof sections)[number], field: string) => {
    const value = entriesOf(given, section)[0]?.get(field);
    return isMap(value) ? (value.toJSON() as Record<string, unknown>) : {};
  };
  return new Document({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name, cluster: { ...part("clusters", "cluster"), server } }],
    users: [{ name, user: part("users", "user") }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    "current-context": name,
  }).toString();
}

/** Whether a file is there and has this context, whole: one that a person emptied or damaged is written anew. */
export async function isUsableKubeconfig(path: string, context: string): Promise<boolean> {
  try {
    return parseKubeconfig(await readFile(path, "utf8"), path).context === context;
  } catch {
    return false;
  }
}

/** Adds a cluster's kubeconfig to the user's file and makes it current. Entries of the same name are replaced. */
export async function mergeKubeconfig(source: string, userPath: string, signal?: AbortSignal): Promise<void> {
  const added = parseDocument(await readFile(source, "utf8"));
  await changeUserFile(userPath, signal, (document) => {
    for (const section of sections) {
      for (const item of entriesOf(added, section)) replaceEntry(document, section, item);
    }
    document.set("current-context", added.get("current-context"));
    return true;
  });
}

/**
 * Takes a cluster's context, cluster and user out of the user's file. An entry of the same name that leads to another
 * cluster stays, and so does a file that has none.
 * @param own the cluster's own kubeconfig: its CA tells whether an entry is this cluster's.
 */
export async function unmergeKubeconfig(context: string, own: string, userPath: string, signal?: AbortSignal): Promise<void> {
  if (!existsSync(userPath)) return;
  const ca = caOf(parseDocument(await readFile(own, "utf8")), context);
  await changeUserFile(userPath, signal, (document) => {
    if (ca === undefined || caOf(document, context) !== ca) return false;
    for (const section of sections) removeEntry(document, section, context);
    if (document.get("current-context") === context) document.set("current-context", "");
    return true;
  });
}

function caOf(document: Document, cluster: string): unknown {
  const entry = entriesOf(document, "clusters").find((item) => item.get("name") === cluster);
  return entry?.getIn(["cluster", "certificate-authority-data"]);
}

/** The user's current context, if their file has one. */
export async function currentContext(userPath: string): Promise<string | undefined> {
  try {
    const value = parseDocument(await readFile(userPath, "utf8")).get("current-context");
    return typeof value === "string" && value !== "" ? value : undefined;
  } catch {
    return undefined; // No file, or one that we cannot read: then no context is current.
  }
}

async function changeUserFile(path: string, signal: AbortSignal | undefined, change: (document: Document) => boolean): Promise<void> {
  await using _lock = await lockLikeKubectl(path, signal);
  const text = existsSync(path) ? await readFile(path, "utf8") : "";
  const document = text.trim() === "" ? new Document({ apiVersion: "v1", kind: "Config" }) : parseDocument(text);
  if (document.errors.length > 0) {
    throw new SeatrialError("invalid", `${path} is not a kubeconfig: ${document.errors[0]!.message}`, {
      hint: "mend the file, or set KUBECONFIG to another one; it was not changed",
    });
  }
  if (change(document)) await writeFileWhole(path, document.toString());
}

/** kubectl never looks whether the holder of its lock still lives; a lock older than any write takes is not held. */
const staleLockMs = 30_000;

async function lockLikeKubectl(path: string, signal: AbortSignal | undefined): Promise<AsyncDisposable> {
  const lockPath = `${path}.lock`;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await waitFor(
    `${lockPath}`,
    async () => {
      try {
        await (await open(lockPath, "wx", 0o600)).close();
        return true;
      } catch (error) {
        if (systemCodeOf(error) !== "EEXIST")
          throw new SeatrialError("command-failed", `could not lock ${path}: ${messageOf(error)}`, { cause: error });
        const age =
          Date.now() -
          (await stat(lockPath).then(
            ({ mtimeMs }) => mtimeMs,
            () => Date.now(),
          ));
        if (age > staleLockMs) await rm(lockPath, { force: true });
        return undefined;
      }
    },
    { timeoutMs: staleLockMs * 2, pollMs: limits.lockPollMs, signal },
    () => "another program holds it",
  );
  return { [Symbol.asyncDispose]: async () => await rm(lockPath, { force: true }) };
}

function entriesOf(document: Document, section: string): YAMLMap[] {
  const list = document.get(section);
  return isSeq(list) ? list.items.filter((item): item is YAMLMap => isMap(item)) : [];
}

function removeEntry(document: Document, section: string, name: string): void {
  const list = document.get(section);
  if (isSeq(list)) list.items = list.items.filter((item) => !(isMap(item) && item.get("name") === name));
}

function replaceEntry(document: Document, section: string, entry: YAMLMap): void {
  removeEntry(document, section, String(entry.get("name")));
  const list = document.get(section);
  if (isSeq(list)) list.items.push(entry);
  else document.set(section, document.createNode([entry]));
}
