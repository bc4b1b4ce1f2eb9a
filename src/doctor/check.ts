/** What `seatrial doctor` says: a finding for each thing that it looked at, and what they come to. Pure. */
import { messageOf, SeatrialError, systemCodeOf } from "../base/errors.ts";
import { type Provider, providers } from "../resources/cluster.ts";

export interface Check {
  /** What was looked at. Example: `docker`. */
  name: string;
  /**
   * - `ok`: as it should be, or not needed here;
   * - `warning`: works, but not always, not at once, or not for long;
   * - `missing`: not to be had, or does not work as it is: `needed` says for which providers that is the end;
   * - `unknown`: cannot be seen from here.
   */
  state: "ok" | "warning" | "missing" | "unknown";
  /** What there is, and what is wrong with it. */
  found: string;
  /** Providers that cannot work when it is missing. Absent: all can. */
  needed?: readonly Provider[];
  /** Lines to paste into a shell; those that begin with # are for the reader. */
  fix?: string;
}

export interface Report {
  apiVersion: "seatrial.dev/v1alpha1";
  kind: "DoctorReport";
  checks: Check[];
  /** The names of the checks that keep each provider from working; none, when it works. */
  providers: Record<Provider, { ok: boolean; missing: string[] }>;
  /** True when the provider that was asked about works; when none was, at least one of them. */
  ok: boolean;
}

export function reportOf(checks: Check[], asked: Provider | undefined): Report {
  const judged = Object.fromEntries(
    providers.map((provider) => {
      const missing = checks.filter(({ state, needed }) => state === "missing" && needed?.includes(provider)).map(({ name }) => name);
      return [provider, { ok: missing.length === 0, missing }];
    }),
  ) as Report["providers"];
  const ok = asked === undefined ? Object.values(judged).some((provider) => provider.ok) : judged[asked].ok;
  return { apiVersion: "seatrial.dev/v1alpha1", kind: "DoctorReport", checks, providers: judged, ok };
}

/** What a look brought: the thing, or why it could not be seen. */
export type Seen<T> = { value: T } | Trouble;

export interface Trouble {
  trouble: string;
  /** The system's error code. Example: `EACCES`. */
  code?: string | undefined;
  hint?: string | undefined;
}

export function troubleOf(error: unknown): Trouble {
  return { trouble: messageOf(error), code: systemCodeOf(error), hint: error instanceof SeatrialError ? error.hint : undefined };
}

/** What of this machine decides how its findings are mended. */
export interface Machine {
  platform: NodeJS.Platform;
  isRoot: boolean;
  /** True where `systemctl` starts services. */
  hasSystemd: boolean;
  /** The package manager that was found first. */
  installer: Installer | undefined;
}

export const installers = ["apt-get", "dnf", "zypper", "pacman", "apk", "brew"] as const;
export type Installer = (typeof installers)[number];

/** The command as this user has to give it. */
export function asRoot(command: string, { isRoot }: Pick<Machine, "isRoot">): string {
  return isRoot ? command : `sudo ${command}`;
}

/** `1.4 GB`, `320 MB`: two digits that say something. */
export function bytes(count: number): string {
  const mebi = count / 1024 ** 2;
  if (mebi < 1000) return `${Math.round(mebi)} MB`;
  const gibi = mebi / 1024;
  return `${gibi < 10 ? gibi.toFixed(1) : Math.round(gibi).toLocaleString("en")} GB`;
}
