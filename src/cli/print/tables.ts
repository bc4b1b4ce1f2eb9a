/** Tables for people: ctlptl's as ctlptl prints them, and ours, both aligned as kubectl aligns. */
import { type Cluster, contextNameOf } from "../../resources/cluster.ts";
import type { Registry } from "../../resources/registry.ts";

/** kubectl's rule: a column is as wide as its longest cell and three spaces, at least six; the last is not filled up. */
export function table(header: string[], rows: string[][]): string {
  const lines = [header, ...rows.map((row) => row.map(oneLine))];
  const widths = header.map((_, column) => Math.max(6, ...lines.map((line) => letters(line[column]!) + 3)));
  const last = header.length - 1;
  const aligned = (line: string[]) => line.map((cell, i) => (i === last ? cell : cell + " ".repeat(widths[i]! - letters(cell)))).join("");
  return lines.map((line) => `${aligned(line)}\n`).join("");
}

/** A cell of several lines would break the table: its first is shown. */
function oneLine(cell: string): string {
  const [first = "", ...more] = cell.split(/[\r\n]/);
  return more.length > 0 ? `${first}...` : first;
}

function letters(text: string): number {
  return [...text].length;
}

export function clustersTable(clusters: readonly Cluster[], nowMs: number): string {
  return table(
    ["NAME", "PROVIDER", "VERSION", "PHASE", "OWNER", "AGE", "REGISTRY"],
    clusters.map(({ metadata, spec, status }) => [
      metadata.name,
      spec.provider,
      status?.kubernetesVersion ?? spec.kubernetesVersion ?? "unknown",
      status?.phase ?? "Pending",
      status?.owner ?? "unknown",
      ageOf(status?.creationTimestamp, nowMs, humanDuration),
      status?.localRegistryHosting?.host ?? spec.registry ?? "none",
    ]),
  );
}

/** `ctlptl get clusters`. */
export function ctlptlClustersTable(clusters: readonly Cluster[], nowMs: number): string {
  return table(
    ["CURRENT", "NAME", "PRODUCT", "AGE", "REGISTRY"],
    clusters.map((cluster) => [
      cluster.status?.current ? "*" : "",
      contextNameOf(cluster),
      cluster.spec.provider,
      ageOf(cluster.status?.creationTimestamp, nowMs, shortDuration),
      cluster.status?.localRegistryHosting?.host || "none",
    ]),
  );
}

/** `ctlptl get registries`, which is also ours: newest first, as `docker ps` lists them. */
export function registriesTable(registries: readonly Registry[], nowMs: number): string {
  const newestFirst = registries.toSorted((a, b) => createdMs(b) - createdMs(a));
  return table(
    ["NAME", "HOST ADDRESS", "CONTAINER ADDRESS", "AGE"],
    newestFirst.map(({ metadata, status = {} }) => [
      metadata.name,
      address(status.listenAddress, status.hostPort),
      address(status.ipAddress, status.containerPort),
      ageOf(status.creationTimestamp, nowMs, shortDuration),
    ]),
  );
}

function createdMs({ status }: Registry): number {
  return status?.creationTimestamp ? Date.parse(status.creationTimestamp) : 0;
}

function address(host: string | undefined, port: number | undefined): string {
  return host && port ? `${host}:${port}` : "none";
}

function ageOf(since: string | undefined, nowMs: number, format: (ms: number) => string): string {
  return since === undefined ? "unknown" : format(nowMs - Date.parse(since));
}

/** kubectl's AGE: two or three digits that say something, as in `5m12s`, `3h`, `2d`. */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  // Clocks of two machines may differ by a little; by more, it is not our place to guess.
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  const years = Math.floor(days / 365);
  const two = (many: number, unit: string, few: number, part: string) => `${many}${unit}${few === 0 ? "" : `${few}${part}`}`;
  if (seconds < 120) return `${seconds}s`;
  if (minutes < 10) return two(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  if (hours < 8) return two(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  if (days < 8) return two(days, "d", hours % 24, "h");
  if (years < 2) return `${days}d`;
  if (years < 8) return two(years, "y", days % 365, "d");
  return `${years}y`;
}

/** ctlptl's AGE: the largest unit alone. */
export function shortDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h`;
  const days = Math.floor(hours / 24);
  return days < 365 ? `${days}d` : `${Math.floor(days / 365)}y`;
}
