/**
 * `actions/upload-artifact` and `actions/download-artifact`, as version 4 has them: artifacts with a name, for other jobs of the run.
 * Files are kept one by one, so that they can be looked at; they lose their permissions, as on GitHub.
 */
import { randomUUID } from "node:crypto";
import { closeSync, constants, fstatSync, mkdirSync, openSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { SeatrialError, systemCodeOf } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { ActionContext, BuiltInAction } from "../actions/action.ts";
import { uploadFile } from "../artifact-upload.ts";
import { commonFolder, findFiles, isBelow, readNamePattern } from "../globs.ts";
import type { UploadView } from "../storage-protocol.ts";
import { homeOf, isYes, required } from "./inputs.ts";

export const uploadArtifact: BuiltInAction = {
  name: "actions/upload-artifact",
  async main(context) {
    const { inputs, folders, link } = context;
    const name = inputs["name"] || "artifact";
    const patterns = required(context, "path");
    const found = findFiles(patterns, { cwd: folders.workspace, home: homeOf(context), hasHidden: isYes(context, "include-hidden-files") });
    if (found.paths.length === 0) return sayNone(context, patterns);
    const [only] = found.roots;
    const root = found.roots.length > 1 ? commonFolder(found.roots) : only === found.paths[0] ? dirname(only!) : only!;
    const files = found.paths.map((file) => ({ file, path: relative(root, file).split(sep).join("/") }));
    for (const { path } of files) {
      const character = /[":<>|*?\r\n]/.exec(path)?.[0];
      if (character !== undefined)
        throw new SeatrialError(
          "invalid",
          `${JSON.stringify(path)} holds ${JSON.stringify(character)}, which some systems do not take in names`,
        );
    }
    const asked = { name, overwrite: isYes(context, "overwrite"), ...retentionOf(context), request: randomUUID() };
    const begun = await link.ask<{ id?: number; error?: string }>("POST", "uploads", asked, [400, 409]);
    if (begun.body.id === undefined)
      throw new SeatrialError(begun.status === 409 ? "conflict" : "invalid", begun.body.error ?? "the artifact was refused", {
        hint: begun.status === 409 ? "names are given once in a run: put something of the job into it, or set overwrite" : undefined,
      });
    const server = {
      artifact: async (path: string, fd: number, length: number) =>
        void (await link.send(`uploads/${begun.body.id}/files/${encoded(path)}`, fd, length)),
    };
    const masked: string[] = [];
    await inParallel(files, context.signal, async ({ file, path }) => {
      const fd = openRegular(file);
      try {
        if (await uploadFile(path, { fd, length: fstatSync(fd).size }, server, context.masking)) masked.push(path);
      } finally {
        closeSync(fd);
      }
    });
    if (masked.length > 0)
      context.annotate("warning", `secrets were masked in ${listed(masked.toSorted())}: artifacts can be read by others`);
    const { body } = await link.ask<UploadView>("POST", `uploads/${begun.body.id}/finish`);
    context.say(`artifact ${name}: ${files.length} files, ${body.size} bytes, SHA-256 ${body.digest}`);
    context.setOutput("artifact-id", String(body.id));
    context.setOutput("artifact-digest", body.digest);
    context.setOutput("artifact-url", body.url ?? "");
  },
};

export const downloadArtifact: BuiltInAction = {
  name: "actions/download-artifact",
  async main(context) {
    const { inputs, folders, link } = context;
    const [name, pattern] = [inputs["name"] ?? "", inputs["pattern"] ?? ""];
    const ids = (inputs["artifact-ids"] ?? "").split(/[\s,]+/).filter((id) => id !== "");
    if (name !== "" && ids.length > 0) throw new SeatrialError("invalid", "name and artifact-ids cannot stand together");
    const target = resolve(folders.workspace, (inputs["path"] ?? "").replace(/^~(?=\/|$)/, homeOf(context)));
    const { items } = (await link.ask<{ items: UploadView[] }>("GET", "uploads")).body;
    const isOfPattern = readNamePattern(pattern.replace(/^!/, ""));
    const chosen = items.filter((item) => {
      if (name !== "") return item.name === name;
      if (ids.length > 0) return ids.includes(String(item.id));
      return pattern === "" || isOfPattern(item.name) !== pattern.startsWith("!");
    });
    const known = items.length === 0 ? "there are none in this run" : `there are ${listed(items.map((item) => item.name))}`;
    if (name !== "" && chosen.length === 0) throw new SeatrialError("not-found", `there is no artifact ${name}: ${known}`);
    const missing = ids.filter((id) => !chosen.some((item) => String(item.id) === id));
    if (missing.length > 0) throw new SeatrialError("not-found", `there is no artifact of id ${missing.join(", ")}`);
    if (chosen.length === 0) context.say(`no artifact was downloaded: ${known}`);
    const isInOne = name !== "" || isYes(context, "merge-multiple") || (ids.length > 0 && chosen.length === 1);
    mkdirSync(target, { recursive: true });
    for (const item of chosen) {
      const folder = isInOne ? target : join(target, item.name);
      await download(context, item, folder);
    }
    await context.takeOver?.();
    context.setOutput("download-path", target);
  },
};

async function download(context: ActionContext, { id, name }: UploadView, folder: string): Promise<void> {
  const { link, signal } = context;
  const { body } = await link.ask<UploadView>("GET", `uploads/${id}`);
  const files = body.files ?? [];
  await inParallel(files, signal, async ({ path, digest }) => {
    const to = resolve(folder, path);
    if (!isBelow(to, folder)) throw new SeatrialError("refused", `artifact ${name}: ${path} leads out of ${folder}`);
    mkdirSync(dirname(to), { recursive: true });
    const came = await link.receive(`uploads/${id}/files/${encoded(path)}`, to);
    if (came === undefined) throw new SeatrialError("not-found", `artifact ${name}: ${path} is gone`);
    if (`sha256:${came}` !== digest)
      sayMismatch(context, `artifact ${name}: ${path} came with digest sha256:${came}, and was stored with ${digest}`);
  });
  context.say(`artifact ${name}: ${files.length} files, ${body.size} bytes, to ${folder}`);
}

function sayMismatch(context: ActionContext, message: string): void {
  const how = context.inputs["digest-mismatch"] || "error";
  if (how === "error") throw new SeatrialError("internal", message);
  if (how === "warn") context.annotate("warning", message);
  else if (how === "info") context.say(message);
}

function sayNone(context: ActionContext, patterns: string): void {
  const message = `no file was found for ${patterns.trim().split("\n").join(", ")}: there is no artifact`;
  switch (context.inputs["if-no-files-found"] || "warn") {
    case "error":
      throw new SeatrialError("not-found", message, { hint: "names that begin with a point are found with include-hidden-files: true" });
    case "warn":
      return context.annotate("warning", message);
    default:
      return context.say(message);
  }
}

function retentionOf({ inputs }: ActionContext): { retentionDays?: number } {
  const text = inputs["retention-days"] ?? "";
  if (text === "" || text === "0") return {};
  const days = Number(text);
  if (!Number.isInteger(days) || days < 1 || days > limits.retainRunsDays)
    throw new SeatrialError(
      "invalid",
      `retention-days must be a whole number from 1 to ${limits.retainRunsDays}, and is ${JSON.stringify(text)}`,
    );
  return { retentionDays: days };
}

/** Links were followed by whoever asked for them; a pipe would never end. */
function openRegular(path: string): number {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw new SeatrialError("invalid", `${path} cannot be read: ${systemCodeOf(error)}`, { cause: error });
  }
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw new SeatrialError("invalid", `${path} is no regular file`);
}

/** {@link limits.artifactsAtOnce} at once; what fails first ends the rest. */
async function inParallel<T>(items: readonly T[], signal: AbortSignal, work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  let hasFailed = false;
  const worker = async () => {
    for (const item of queue) {
      signal.throwIfAborted();
      if (hasFailed) return;
      await work(item).catch((error: unknown) => {
        hasFailed = true;
        throw error;
      });
    }
  };
  const done = await Promise.allSettled(Array.from({ length: limits.artifactsAtOnce }, worker));
  const failed = done.find((one) => one.status === "rejected");
  if (failed) throw failed.reason;
}

function encoded(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

/** The first of them. */
function listed(names: readonly string[]): string {
  const shown = names.slice(0, 10).join(", ");
  return names.length > 10 ? `${shown} and ${names.length - 10} more` : shown;
}
