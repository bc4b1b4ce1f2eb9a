/**
 * `runs-on`: what labels mean here. A job without it runs on Linux, wherever the server's policy puts it; labels can only
 * say the same in the words of GitHub's files. What can not be had is refused, so that no job waits for a runner forever.
 */
import { didYouMean } from "../resources/suggest.ts";

export interface Platform {
  os: "linux";
  /** Absent: any. */
  architecture?: "amd64" | "arm64";
}

const architectures: Readonly<Record<string, Platform["architecture"]>> = { x64: "amd64", arm64: "arm64" };

/** What is wrong with each label of one `runs-on`; labels have no case. */
export function findLabelMistakes(labels: readonly string[]): { index: number; message: string }[] {
  const lower = labels.map((label) => label.toLowerCase());
  const hasSystem = lower.some((label) => label === "linux" || label === "self-hosted" || label.startsWith("ubuntu-"));
  return lower.flatMap((label, index) => {
    const message = mistakeIn(label, hasSystem);
    return message ? [{ index, message: `${JSON.stringify(labels[index])} ${message}` }] : [];
  });
}

function mistakeIn(label: string, hasSystem: boolean): string | undefined {
  if (label === "linux" || label === "self-hosted" || /^ubuntu-[\w.-]+$/.test(label)) return undefined;
  if (Object.hasOwn(architectures, label)) return hasSystem ? undefined : "says nothing alone: write it beside linux or self-hosted";
  if (/^(windows|macos)(-|$)/.test(label)) return "cannot be had: jobs run on Linux";
  return `is not a label that is known here: linux, ubuntu-*, self-hosted, x64, arm64${didYouMean(label, ["linux", "ubuntu-latest", "self-hosted", "x64", "arm64"])}`;
}

/** What labels without mistakes ask for. */
export function platformOf(labels: readonly string[]): Platform {
  const lower = labels.map((label) => label.toLowerCase());
  const named = lower.map((label) => architectures[label]).find((architecture) => architecture !== undefined);
  const architecture = named ?? (lower.some((label) => /^ubuntu-.*-arm$/.test(label)) ? "arm64" : undefined);
  return architecture ? { os: "linux", architecture } : { os: "linux" };
}
