/**
 * What a step's `uses` names: a folder of the workspace, an image, or an action of a repository at a ref. GitHub's "Workflow
 * syntax", `jobs.<job_id>.steps[*].uses`. The reader of workflows, the server and the runner ask here; the runner bundles it.
 */
import { SeatrialError } from "../../base/errors.ts";

export type Uses = LocalUses | ImageUses | RepositoryUses;

/** `./.github/actions/build`: a folder of the workspace, as it is when the step runs. */
export interface LocalUses {
  kind: "local";
  /** Below the workspace; "" is the workspace itself. */
  path: string;
}

/** `docker://alpine:3.22`. */
export interface ImageUses {
  kind: "image";
  image: string;
}

/** `owner/repo/path@ref`. */
export interface RepositoryUses {
  kind: "repository";
  /** `owner/repo`. */
  repository: string;
  /** Folder of the action in it; "" is its root. */
  path: string;
  ref: string;
}

const hint = "owner/repo@ref, owner/repo/path@ref, ./path or docker://image";

/** @throws SeatrialError `invalid` for what is none of the three; the message does not begin with the text. */
export function parseUses(text: string): Uses {
  if (text.startsWith("./") || text === ".") return { kind: "local", path: localPath(text) };
  if (text.startsWith("docker://")) {
    const image = text.slice("docker://".length);
    if (!/^[\w][\w.:/@-]*$/.test(image)) throw new SeatrialError("invalid", "docker:// must be followed by an image", { hint });
    return { kind: "image", image };
  }
  const at = text.indexOf("@");
  const [name, ref] = at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
  const parts = name.split("/");
  if (parts.length < 2 || parts.some((part) => !/^[\w.-]+$/.test(part) || part === "." || part === "..")) {
    const isPath = text.startsWith("../") || text.startsWith("/");
    const message = isPath ? "must be inside the workspace, and begin with ./" : "is no action: an action has an owner and a repository";
    throw new SeatrialError("invalid", message, { hint });
  }
  const repository = parts.slice(0, 2).join("/");
  if (ref === "") throw new SeatrialError("invalid", `lacks its version, as in ${name}@v1`, { hint });
  if (!/^[^\s\p{Cc}~^:?*[\\@]+$/u.test(ref) || /\.\.|\/\/|^[-/]|\/\.|\.lock(\/|$)|[./]$/.test(ref)) {
    throw new SeatrialError("invalid", `${JSON.stringify(ref)} cannot be the name of a branch or a tag`, { hint });
  }
  if (/^(?=.*\d)(?=.*[a-f])[0-9a-f]{7,39}$/.test(ref)) {
    throw new SeatrialError("invalid", `${ref} is the beginning of a commit id, which can become another's`, {
      hint: `write all 40 digits of it, or a tag: ${repository}@v1`,
    });
  }
  return { kind: "repository", repository, path: parts.slice(2).join("/"), ref };
}

/** Why it cannot be what a step uses; undefined when it can. */
export function usesMistake(text: string): string | undefined {
  try {
    parseUses(text);
    return undefined;
  } catch (error) {
    if (!(error instanceof SeatrialError)) throw error;
    return [error.message, error.hint].filter(Boolean).join("; ");
  }
}

/** How the lock file and the server name the repository of an action at a ref: whatever the folder, it is one commit. */
export function pinOf({ repository, ref }: RepositoryUses): string {
  return `${repository}@${ref}`;
}

export function isCommitId(ref: string): boolean {
  return /^[0-9a-f]{40}$/.test(ref);
}

function localPath(text: string): string {
  const parts = text.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..") || text.includes("\0")) {
    throw new SeatrialError("invalid", "must stay inside the workspace: .. is not possible in it", { hint });
  }
  return parts.join("/");
}
