/**
 * `runs-on`: what labels mean here. A job without it runs on Linux, wherever the server's policy puts it; labels can only
 * say the same in the words of GitHub's files, or have a meaning of their own by the configuration ({@link RunsOnRule}). What can not
 * be had is refused, so that no job waits for a runner forever.
 */
import type { HostChoice } from "../resources/host.ts";
import type { ExecutorName } from "../resources/job-run.ts";
import { didYouMean } from "../resources/suggest.ts";

export interface Platform {
  os: "linux";
  /** Absent: any. */
  architecture?: "amd64" | "arm64";
}

const architectures: Readonly<Record<string, Platform["architecture"]>> = { x64: "amd64", arm64: "arm64" };

/** What labels of one's own mean, as the configuration of a server or a user says it. */
export interface RunsOnRule {
  /** A job that asks for all of them gets what follows; one that asks for some does not. Labels have no case. */
  labels: readonly string[];
  /** Default: docker where there is an image, else what a job without labels gets. */
  executor?: ExecutorName | undefined;
  /** Default: all. */
  hosts?: HostChoice | undefined;
  /** Default: the runner's. */
  image?: string | undefined;
}

/** The rule for the labels of a job: of those that it meets the one with the most labels, of several such the first. */
export function ruleFor(labels: readonly string[], rules: readonly RunsOnRule[]): RunsOnRule | undefined {
  const asked = new Set(labels.map((label) => label.toLowerCase()));
  const met = rules.filter((rule) => rule.labels.every((label) => asked.has(label.toLowerCase())));
  return met.toSorted((a, b) => b.labels.length - a.labels.length)[0];
}

/** What is wrong with each label of one `runs-on`; labels have no case. */
export function findLabelMistakes(labels: readonly string[], rules: readonly RunsOnRule[] = []): { index: number; message: string }[] {
  const lower = labels.map((label) => label.toLowerCase());
  const own = lowerLabels(ruleFor(labels, rules)?.labels ?? []);
  const hasSystem = own.length > 0 || lower.some((label) => label === "linux" || label === "self-hosted" || label.startsWith("ubuntu-"));
  return lower.flatMap((label, index) => {
    const message = own.includes(label) ? undefined : mistakeIn(label, hasSystem, own, rules);
    return message ? [{ index, message: `${JSON.stringify(labels[index])} ${message}` }] : [];
  });
}

const systemLabels = ["linux", "ubuntu-*", "self-hosted", "x64", "arm64"];

function mistakeIn(label: string, hasSystem: boolean, own: readonly string[], rules: readonly RunsOnRule[]): string | undefined {
  if (label === "linux" || label === "self-hosted" || /^ubuntu-[\w.-]+$/.test(label)) return undefined;
  if (Object.hasOwn(architectures, label)) return hasSystem ? undefined : "says nothing alone: write it beside linux or self-hosted";
  const all = rules.map((rule) => lowerLabels(rule.labels));
  const fits = [...new Set(all.filter((each) => each.includes(label)).map((each) => each.join(", ")))];
  if (fits.length > 0) {
    const beside = own.length > 0 ? ` beside ${own.join(", ")}` : " alone";
    return `cannot be had${beside}: labels that are known with it are ${fits.map((each) => `[${each}]`).join(", ")}`;
  }
  if (isOtherSystem(label)) return "cannot be had: jobs run on Linux";
  const known = [...new Set([...systemLabels, ...all.flat()])];
  const near = didYouMean(label, [...known, "ubuntu-latest"]);
  return `is not a label that is known here: ${known.join(", ")}${near || "; runsOn of the configuration can give it a meaning"}`;
}

function lowerLabels(labels: readonly string[]): string[] {
  return labels.map((label) => label.toLowerCase());
}

/** Labels of GitHub's for systems that jobs do not run on. */
export function isOtherSystem(label: string): boolean {
  return /^(windows|macos)(-|$)/i.test(label);
}

/** What labels without mistakes ask for. @param rule for them: a label that it names means what it says. */
export function platformOf(labels: readonly string[], rule?: RunsOnRule): Platform {
  const own = lowerLabels(rule?.labels ?? []);
  const lower = lowerLabels(labels).filter((label) => !own.includes(label));
  const named = lower.map((label) => architectures[label]).find((architecture) => architecture !== undefined);
  const architecture = named ?? (lower.some((label) => /^ubuntu-.*-arm$/.test(label)) ? "arm64" : undefined);
  return architecture ? { os: "linux", architecture } : { os: "linux" };
}
