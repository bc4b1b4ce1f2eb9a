/**
 * `actions/cache` and its two halves. An archive is made and unpacked by `tar` where the steps run, and compressed here on its way to the
 * server, which keeps it. A job does not fail because a cache cannot be had or kept, as on GitHub, unless it asks for that.
 *
 * Names in an archive are relative to the workspace; of paths outside of it they are whole, so that such a cache is only found where
 * those paths are the same. Files between here and there can be read by all: steps may be run by another user, in a container.
 */
import { createHash } from "node:crypto";
import { closeSync, createReadStream, createWriteStream, openSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, relative, resolve, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { ActionContext, BuiltInAction } from "../actions/action.ts";
import { findFiles, isBelow } from "../globs.ts";
import { quoted } from "../steps/step-script.ts";
import type { CacheAnswer, CacheView } from "../storage-protocol.ts";
import { TarCheck } from "../actions/tar-check.ts";
import { homeOf, isYes, linesOf, required } from "./inputs.ts";

/** What a step's main phase tells its post phase. */
const states = { key: "CACHE_KEY", matched: "CACHE_RESULT" } as const;

export const cache: BuiltInAction = {
  name: "actions/cache",
  async main(context) {
    const matched = await restore(context);
    context.setOutput("cache-hit", hitOf(context, matched));
    context.saveState(states.key, required(context, "key"));
    context.saveState(states.matched, matched ?? "");
  },
  // Only what a job made that passed is worth to be kept.
  postCondition: "success()",
  async post(context) {
    const key = context.state[states.key] ?? "";
    if (key === "" || isYes(context, "lookup-only")) return;
    if (context.state[states.matched] === key) return context.say(`cache ${key} was found, and is not saved again`);
    await saveOrTell(context, key);
  },
};

export const cacheRestore: BuiltInAction = {
  name: "actions/cache/restore",
  async main(context) {
    const matched = await restore(context);
    context.setOutput("cache-hit", hitOf(context, matched));
    context.setOutput("cache-primary-key", required(context, "key"));
    context.setOutput("cache-matched-key", matched ?? "");
  },
};

export const cacheSave: BuiltInAction = {
  name: "actions/cache/save",
  async main(context) {
    await saveOrTell(context, required(context, "key"));
  },
};

/** `true` for the key itself, `false` for another that begins alike, and empty for none, as GitHub has it. */
function hitOf(context: ActionContext, matched: string | undefined): string {
  return matched === undefined ? "" : String(matched === context.inputs["key"]);
}

/** @returns the key of what was found. */
async function restore(context: ActionContext): Promise<string | undefined> {
  const key = checkedKey(required(context, "key"));
  const restoreKeys = linesOf(context, "restore-keys").map(checkedKey);
  if (restoreKeys.length > limits.cacheKeys)
    throw new SeatrialError("invalid", `restore-keys has ${restoreKeys.length} keys, and can have ${limits.cacheKeys}`);
  const version = versionOf(context);
  let found: CacheView | undefined;
  try {
    found = (await context.link.ask<CacheAnswer>("POST", "caches/find", { version, key, restoreKeys, isForRestore: true })).body.cache;
    if (found && !isYes(context, "lookup-only") && !(await unpack(context, found))) found = undefined;
  } catch (error) {
    if (!(error instanceof SeatrialError) || context.signal.aborted) throw error;
    context.annotate("warning", `the cache could not be restored: ${error.message}`);
    found = undefined;
  }
  if (!found && isYes(context, "fail-on-cache-miss"))
    throw new SeatrialError("not-found", `there is no cache of key ${[key, ...restoreKeys].join(", ")}, and fail-on-cache-miss is set`);
  if (!found) context.say(`there is no cache of key ${[key, ...restoreKeys].join(", ")}`);
  else context.say(`cache ${found.key}: ${found.size} bytes${isYes(context, "lookup-only") ? ", not restored: lookup-only is set" : ""}`);
  return found?.key;
}

/** @returns false when it is gone by now. */
async function unpack(context: ActionContext, { id, key, digest }: CacheView): Promise<boolean> {
  const { folders, link } = context;
  const [packed, archive] = [join(folders.temp, `cache-${id}.zst`), join(folders.temp, `cache-${id}.tar`)];
  try {
    const came = await link.receive(`caches/${id}`, packed);
    if (came === undefined) return false;
    if (`sha256:${came}` !== digest)
      throw new SeatrialError("internal", `cache ${key} came with digest sha256:${came}, and was stored with ${digest}`);
    const check = new TarCheck(folders.workspace, allowedIn(context));
    let bytes = 0;
    await pipeline(
      createReadStream(packed),
      createZstdDecompress(),
      async function* checked(chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          bytes += chunk.length;
          if (bytes > limits.cacheUnpackedBytes)
            throw new SeatrialError("refused", `cache ${key} has more than ${limits.cacheUnpackedBytes} bytes`);
          check.push(chunk);
          yield chunk;
        }
        check.end();
      },
      createWriteStream(archive, { mode: 0o644 }),
    );
    const code = await context.run(`tar -xPf ${quoted(archive)} -C ${quoted(folders.workspace)}`, { shell: "sh", isInContainer: true });
    if (code !== 0) throw new SeatrialError("command-failed", `tar could not unpack cache ${key}, exit code ${code}`);
    return true;
  } finally {
    for (const file of [packed, archive]) rmSync(file, { force: true });
  }
}

/** What goes wrong is told, and the step goes on. */
async function saveOrTell(context: ActionContext, key: string): Promise<void> {
  const version = versionOf(context);
  checkedKey(key);
  try {
    await save(context, key, version);
  } catch (error) {
    if (!(error instanceof SeatrialError) || context.signal.aborted) throw error;
    context.annotate("warning", `cache ${key} was not saved: ${messageOf(error)}`);
  }
}

async function save(context: ActionContext, key: string, version: string): Promise<void> {
  const { folders, link } = context;
  // Before the work.
  const { isSaved } = (await link.ask<CacheAnswer>("POST", "caches/find", { version, key, restoreKeys: [] })).body;
  if (isSaved) return context.say(`there is a cache of key ${key} already: it is not saved`);
  const unique = createHash("sha256").update(key).digest("hex").slice(0, 16);
  const file = (kind: string) => join(folders.temp, `cache-save-${unique}.${kind}`);
  const files = ["list", "tar", "zst"].map(file);
  try {
    const members = membersOf(context);
    writeFileSync(file("list"), members.map((path) => `${path}\n`).join(""), { mode: 0o644 });
    const code = await context.run(packScript(folders.workspace, file("list"), file("tar")), { shell: "sh", isInContainer: true });
    if (code === nothingThere) throw new SeatrialError("not-found", "none of its paths is there");
    if (code !== 0) throw new SeatrialError("command-failed", `tar could not pack it, exit code ${code}`);
    const { size } = statSync(file("tar"));
    if (size > limits.cacheUnpackedBytes)
      throw new SeatrialError("invalid", `it has ${size} bytes, and can have ${limits.cacheUnpackedBytes}`);
    const level = { params: { [constants.ZSTD_c_compressionLevel]: 3 } };
    await pipeline(createReadStream(file("tar")), createZstdCompress(level), createWriteStream(file("zst"), { mode: 0o600 }));
    const length = statSync(file("zst")).size;
    const fd = openSync(file("zst"), "r");
    try {
      const query = new URLSearchParams({ version, key }).toString();
      const answer = await link.send<{ isSaved: boolean; why?: string }>(`caches?${query}`, fd, length);
      context.say(answer.isSaved ? `cache ${key} saved: ${length} bytes` : `cache ${key} was not saved: ${answer.why}`);
    } finally {
      closeSync(fd);
    }
  } finally {
    for (const path of files) rmSync(path, { force: true });
  }
}

/** Exit code of {@link packScript} when there is nothing to pack. */
const nothingThere = 66;

/** Paths that are not there are left out: those outside of the workspace are seen by the step's shell alone. */
function packScript(workspace: string, list: string, archive: string): string {
  const there = quoted(`${list}.there`);
  return [
    `cd ${quoted(workspace)} || exit 1`,
    `while IFS= read -r path; do if [ -e "$path" ]; then printf '%s\\n' "$path"; fi; done <${quoted(list)} >${there}`,
    `if [ ! -s ${there} ]; then rm -f ${there}; exit ${nothingThere}; fi`,
    `tar -cPf ${quoted(archive)} -T ${there}`,
    "code=$?",
    `rm -f ${there}`,
    "exit $code",
    "",
  ].join("\n");
}

/** What `path` names: of patterns what they find, of the rest each line, whether it is there or not. */
function membersOf(context: ActionContext): string[] {
  const { inputs, folders } = context;
  const home = homeOf(context);
  const options = { cwd: folders.workspace, home, isWhole: true };
  const lines = patternsIn(inputs["path"] ?? "");
  const hasSigns = lines.some((line) => /[*?[]|^!/.test(line));
  const paths = hasSigns ? findFiles(lines, options).paths : lines.map((line) => absolute(line, folders.workspace, home));
  const broken = paths.find((path) => path.includes("\n"));
  if (broken !== undefined) throw new SeatrialError("invalid", `${JSON.stringify(broken)} has a line break in its name`);
  return [...new Set(paths)].map((path) => (isBelow(path, folders.workspace) ? `./${relative(folders.workspace, path)}` : path));
}

/** Where members of an archive may lie: what the patterns begin with. */
function allowedIn(context: ActionContext): string[] {
  const { inputs, folders } = context;
  return patternsIn(inputs["path"] ?? "")
    .filter((line) => !line.startsWith("!"))
    .map((line) => {
      const parts = absolute(line, folders.workspace, homeOf(context)).split(sep);
      const sign = parts.findIndex((part) => /[*?[]/.test(part));
      return (sign === -1 ? parts : parts.slice(0, sign)).join(sep) || sep;
    });
}

function patternsIn(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
}

function absolute(path: string, workspace: string, home = ""): string {
  if (/^~(\/|$)/.test(path) && home === "") throw new SeatrialError("invalid", `path ${path}: there is no home folder, HOME is not set`);
  return resolve(workspace, path.replace(/^~(?=\/|$)/, home));
}

/** Of what a cache holds; paths outside of the workspace as they are on this machine. */
function versionOf(context: ActionContext): string {
  const { folders } = context;
  const paths = patternsIn(required(context, "path")).map((line) => {
    const [, not, path] = /^(!*)(.*)$/s.exec(line)!;
    const whole = absolute(path!.trim(), folders.workspace, homeOf(context));
    return not! + (isBelow(whole, folders.workspace) ? `./${relative(folders.workspace, whole)}` : whole);
  });
  return createHash("sha256")
    .update(JSON.stringify([...paths.toSorted(), "tar zstd 1"]))
    .digest("hex");
}

function checkedKey(key: string): string {
  if (key.length > limits.cacheKeyCharacters)
    throw new SeatrialError("invalid", `key ${key.slice(0, 50)}… has more than ${limits.cacheKeyCharacters} characters`);
  if (key.includes(",")) throw new SeatrialError("invalid", `key ${key} has a comma, which keys cannot have`);
  return key;
}
