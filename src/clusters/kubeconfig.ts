/**
 * Kubeconfig files: one for each cluster, ours; and the user's, which is changed only when asked, under the lock that
 * kubectl and kind use (a file NAME.lock, made exclusively), and keeps its comments and unknown fields.
 */
import { existsSync } from "node:fs";
import { open, readFile, realpath, rm, stat } from "node:fs/promises";
import { devNull } from "node:os";
import { dirname, join } from "node:path";
import { Document, isMap, isSeq, parse, parseDocument, type YAMLMap } from "yaml";
import type { Environment } from "../base/environment.ts";
import { SeatrialError, messageOf, systemCodeOf } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { limits } from "../base/limits.ts";
import { waitFor } from "../base/wait.ts";
import { parseKubeconfig } from "../kube/client.ts";
import { statIfThere, writeFileWhole } from "../process/whole-file.ts";

const sections = ["clusters", "users", "contexts"] as const;

/** The file that kubectl would add a cluster to: the first of KUBECONFIG that exists, else its last, else ~/.kube/config. */
export function userKubeconfigPath(environment: Environment): string {
  const listed = (environment.variables["KUBECONFIG"] ?? "").split(":").filter((path) => path !== "");
  return listed.find((path) => existsSync(path)) ?? listed.at(-1) ?? join(environment.homeDir, ".kube", "config");
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

/**
 * What of a kubeconfig opens its cluster, to be masked: keys as the text that they are, which masks them in base64 too, as the
 * file holds them. The address, the CA and certificates open nothing.
 */
export function secretsInKubeconfig(text: string): string[] {
  const { users } = (parse(text) ?? {}) as { users?: { user?: Record<string, unknown> }[] };
  return (users ?? []).flatMap(({ user = {} }) => {
    const key = user["client-key-data"];
    const values = [user["token"], user["password"], typeof key === "string" ? Buffer.from(key, "base64").toString("utf8") : undefined];
    return values.filter((value): value is string => typeof value === "string");
  });
}

/** Whether a file is there and has this context, whole: one that a person emptied or damaged is written anew. */
export async function isUsableKubeconfig(path: string, context: string): Promise<boolean> {
  try {
    return parseKubeconfig(await readFile(path, "utf8"), path).context === context;
  } catch {
    return false;
  }
}

/**
 * Whether a cluster can be merged into the user's file: looked at before the boot, which takes longer.
 * @returns false for the null device: whoever names it wants no kubeconfig.
 * @throws SeatrialError `invalid` for any other thing that is no file, and for a file that is no kubeconfig.
 */
export async function isMergeable(userPath: string): Promise<boolean> {
  if ((await realpath(userPath).catch(() => userPath)) === devNull) return false;
  await readUserFile(userPath);
  return true;
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
 * cluster stays, and so does a file that has none: it is not even locked.
 * @param own the cluster's own kubeconfig: its CA tells whether an entry is this cluster's.
 */
export async function unmergeKubeconfig(context: string, own: string, userPath: string, signal?: AbortSignal): Promise<void> {
  const ca = caOf(parseDocument(await readFile(own, "utf8")), context);
  const isIn = (document: Document) => ca !== undefined && caOf(document, context) === ca;
  const text = (await statIfThere(userPath))?.isFile() ? await readFile(userPath, "utf8") : "";
  if (!text.includes(context) || !isIn(parseUserFile(text, userPath))) return;
  await changeUserFile(userPath, signal, (document) => {
    if (!isIn(document)) return false;
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
    if (!(await stat(userPath)).isFile()) return undefined; // Reading a pipe would wait for its writer.
    const value = parseDocument(await readFile(userPath, "utf8")).get("current-context");
    return typeof value === "string" && value !== "" ? value : undefined;
  } catch {
    return undefined; // No file, or one that we cannot read: then no context is current.
  }
}

async function changeUserFile(path: string, signal: AbortSignal | undefined, change: (document: Document) => boolean): Promise<void> {
  await using _lock = await lockLikeKubectl(path, signal);
  const document = await readUserFile(path);
  if (change(document)) await writeFileWhole(path, document.toString());
}

/** The user's file; a new document where there is none. @throws SeatrialError `invalid` for what is no kubeconfig. */
async function readUserFile(path: string): Promise<Document> {
  let text = "";
  try {
    const found = await statIfThere(path);
    if (found && !found.isFile()) throw new Error("it is not a regular file");
    if (found) text = await readFile(path, "utf8");
  } catch (error) {
    throw new SeatrialError("invalid", `${path} cannot be used as a kubeconfig: ${messageOf(error)}`, {
      hint: "set KUBECONFIG to a file; nothing was changed",
      cause: error,
    });
  }
  return parseUserFile(text, path);
}

function parseUserFile(text: string, path: string): Document {
  const document = text.trim() === "" ? new Document({ apiVersion: "v1", kind: "Config" }) : parseDocument(text);
  const why = document.errors[0]?.message ?? whyNoKubeconfig(document);
  if (why === undefined) return document;
  throw new SeatrialError("invalid", `${path} is not a kubeconfig: ${why}`, {
    hint: "mend the file, or set KUBECONFIG to another one; it was not changed",
  });
}

function whyNoKubeconfig(document: Document): string | undefined {
  if (document.contents === null) return undefined;
  if (!isMap(document.contents)) return "it is not a map with clusters, users and contexts";
  const odd = sections.find((section) => (document.get(section) ?? null) !== null && !isSeq(document.get(section)));
  return odd && `its ${odd} are not a list`;
}

/** kubectl never looks whether the holder of its lock still lives; a lock older than any write takes is not held. */
const staleLockMs = 30_000;

async function lockLikeKubectl(path: string, signal: AbortSignal | undefined): Promise<AsyncDisposable> {
  const lockPath = `${path}.lock`;
  makeFolder(dirname(path), 0o700);
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
