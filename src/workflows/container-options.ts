/**
 * What `jobs.<job_id>.container` and `services` say in Docker's own words: `options`, `ports`, `volumes`. Options are an allow-list:
 * those that change what is in the container, or what it may use; none that reaches the host or another network.
 *
 * Read where a workflow is checked, where a job is planned, and again by the server before a container is made: what asks it for
 * one is a job. The runner's bundle has it too, so it needs nothing.
 */
import { SeatrialError } from "../base/errors.ts";

/** Durations in nanoseconds, sizes in bytes, as Docker's API has them. */
export interface ContainerOptions {
  health?: { Test?: string[]; Interval?: number; Timeout?: number; Retries?: number; StartPeriod?: number };
  env: Record<string, string>;
  memoryBytes?: number;
  cpus?: number;
  shmBytes?: number;
  user?: string;
  workdir?: string;
  hostname?: string;
  aliases: string[];
  ulimits: { Name: string; Soft: number; Hard: number }[];
  tmpfs: Record<string, string>;
  capDrop: string[];
  isReadOnly?: boolean;
  hasInit?: boolean;
  entrypoint?: string;
}

export type ContainerRole = "job" | "service";

interface Option {
  /** Absent: it takes no value. */
  take?: (options: ContainerOptions, value: string) => void;
  set?: (options: ContainerOptions) => void;
  /** Of services alone: the job's container has the network, and the name, of its runner. */
  isOfServices?: boolean;
}

const known: Readonly<Record<string, Option>> = {
  "health-cmd": { take: (options, value) => void ((options.health ??= {}).Test = value === "none" ? ["NONE"] : ["CMD-SHELL", value]) },
  "health-interval": { take: (options, value) => void ((options.health ??= {}).Interval = nanoseconds(value)) },
  "health-timeout": { take: (options, value) => void ((options.health ??= {}).Timeout = nanoseconds(value)) },
  "health-start-period": { take: (options, value) => void ((options.health ??= {}).StartPeriod = nanoseconds(value)) },
  "health-retries": { take: (options, value) => void ((options.health ??= {}).Retries = count(value)) },
  "no-healthcheck": { set: (options) => void (options.health = { Test: ["NONE"] }) },
  env: {
    take: (options, value) => {
      const at = value.indexOf("=");
      if (at < 1) throw new Error("must be NAME=VALUE");
      options.env[value.slice(0, at)] = value.slice(at + 1);
    },
  },
  memory: { take: (options, value) => void (options.memoryBytes = bytes(value)) },
  cpus: { take: (options, value) => void (options.cpus = positive(value)) },
  "shm-size": { take: (options, value) => void (options.shmBytes = bytes(value)) },
  user: { take: (options, value) => void (options.user = value) },
  workdir: { take: (options, value) => void (options.workdir = absolute(value)) },
  hostname: { take: (options, value) => void (options.hostname = value), isOfServices: true },
  "network-alias": { take: (options, value) => void options.aliases.push(value), isOfServices: true },
  ulimit: {
    take: (options, value) => {
      const [, name = "", soft = "", hard = soft] = /^(\w+)=(-?\d+)(?::(-?\d+))?$/.exec(value) ?? [];
      if (name === "") throw new Error("must be NAME=SOFT or NAME=SOFT:HARD");
      options.ulimits.push({ Name: name, Soft: Number(soft), Hard: Number(hard) });
    },
  },
  tmpfs: {
    take: (options, value) => {
      const [path = "", settings = ""] = value.split(":");
      options.tmpfs[absolute(path)] = settings;
    },
  },
  "cap-drop": { take: (options, value) => void options.capDrop.push(value) },
  "read-only": { set: (options) => void (options.isReadOnly = true), isOfServices: true },
  init: { set: (options) => void (options.hasInit = true), isOfServices: true },
  entrypoint: { take: (options, value) => void (options.entrypoint = value), isOfServices: true },
};

const short: Readonly<Record<string, string>> = {
  e: "env",
  m: "memory",
  u: "user",
  w: "workdir",
  h: "hostname",
  v: "volume",
  p: "publish",
};

const toTheHost = "it would give the job a part of its host";
/** Refused with a reason; all others because they are not known here. */
const refused: Readonly<Record<string, string>> = {
  privileged: toTheHost,
  "cap-add": toTheHost,
  device: toTheHost,
  "device-cgroup-rule": toTheHost,
  gpus: toTheHost,
  "security-opt": toTheHost,
  pid: toTheHost,
  ipc: toTheHost,
  uts: toTheHost,
  userns: toTheHost,
  cgroupns: toTheHost,
  "cgroup-parent": toTheHost,
  sysctl: toTheHost,
  runtime: toTheHost,
  "oom-kill-disable": toTheHost,
  network: "a job has its own network, and so have its services; GitHub refuses it too",
  net: "a job has its own network, and so have its services; GitHub refuses it too",
  volume: "write it under `volumes`",
  mount: "write it under `volumes`",
  "volumes-from": toTheHost,
  publish: "write it under `ports`",
  "publish-all": "write the ports under `ports`",
  name: "names are given by Seatrial; a service is reached by its id, or by --network-alias",
};

/** @throws SeatrialError `invalid` for the first option that is not taken, with its name and why. */
export function parseContainerOptions(text: string, role: ContainerRole): ContainerOptions {
  const options: ContainerOptions = { env: {}, aliases: [], ulimits: [], tmpfs: {}, capDrop: [] };
  const words = splitWords(text);
  while (words.length > 0) {
    const word = words.shift()!;
    const [, long, letter, rest] = /^(?:--([a-z][a-z-]*)(?==|$)|-([a-z]))([^]*)$/.exec(word) ?? [];
    const name = long ?? (letter === undefined ? undefined : Object.hasOwn(short, letter) ? short[letter]! : letter);
    if (name === undefined) throw invalid(`${JSON.stringify(word)} is no option`);
    const shown = long === undefined ? `-${letter}` : `--${long}`;
    const reason = Object.hasOwn(refused, name) ? refused[name] : undefined;
    if (reason !== undefined) throw invalid(`${shown} is refused: ${reason}`);
    const option = Object.hasOwn(known, name) ? known[name] : undefined;
    if (!option)
      throw invalid(
        `${shown} is not supported`,
        `${Object.keys(known)
          .map((each) => `--${each}`)
          .join(", ")}`,
      );
    if (option.isOfServices && role === "job")
      throw invalid(`${shown} is of services alone: the job's container shares the network, the name and the processes of its runner`);
    const given = valueWithin(rest ?? "", long !== undefined);
    if (option.set) {
      if (given === undefined || given === "true") option.set(options);
      else if (given !== "false") throw invalid(`${shown} takes no value`);
      continue;
    }
    const value = given ?? words.shift();
    if (value === undefined) throw invalid(`${shown} lacks its value`);
    try {
      option.take!(options, value);
    } catch (error) {
      throw invalid(`${shown} ${(error as Error).message}, and is ${JSON.stringify(value)}`);
    }
  }
  return options;
}

/** What stands behind an option in the same word: `--user=x`, `-ux`, `-u=x`. */
function valueWithin(rest: string, isLong: boolean): string | undefined {
  if (rest.startsWith("=")) return rest.slice(1);
  return rest === "" || isLong ? undefined : rest;
}

/** As a shell does it, with quotes and backslashes and nothing else. */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!;
    if (quote !== "") {
      if (char === quote) quote = "";
      else if (char === "\\" && quote === '"' && /["\\$`]/.test(text[i + 1] ?? "")) word += text[++i]!;
      else word += char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= "";
    } else if (char === "\\" && i + 1 < text.length) word = (word ?? "") + text[++i]!;
    else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? "") + char;
  }
  if (quote !== "") throw invalid(`a ${quote} is not closed`);
  if (word !== undefined) words.push(word);
  return words;
}

export interface ContainerPort {
  /** On localhost of the job; 0: any that is free. */
  job: number;
  container: number;
}

/** `6379`, `6379:6379`, `16379:6379/tcp`. @throws SeatrialError `invalid` */
export function parseContainerPort(text: string): ContainerPort {
  const [, first = "", second, protocol] = /^(\d{1,5})(?::(\d{1,5}))?(?:\/(\w+))?$/.exec(text) ?? [];
  if (first === "") throw invalid(`port ${JSON.stringify(text)} must be CONTAINER or JOB:CONTAINER, as in 8080:80`);
  if (protocol !== undefined && protocol !== "tcp") throw invalid(`port ${JSON.stringify(text)}: ${protocol} is not supported, tcp is`);
  const port = { job: second === undefined ? 0 : Number(first), container: Number(second ?? first) };
  if (port.container < 1 || port.container > 65_535 || port.job > 65_535)
    throw invalid(`port ${JSON.stringify(text)} is not from 1 to 65535`);
  return port;
}

export interface ContainerVolume {
  /** Absent: one of the container alone. */
  name?: string;
  path: string;
  isReadOnly: boolean;
}

/** `cache:/var/cache`, `/data`, `cache:/data:ro`. @throws SeatrialError `invalid` for a folder of the host. */
export function parseContainerVolume(text: string): ContainerVolume {
  const parts = text.split(":");
  const [first = "", second, mode] = parts;
  if (parts.length > 3 || (mode !== undefined && !["ro", "rw"].includes(mode)))
    throw invalid(`volume ${JSON.stringify(text)} must be NAME:/PATH or /PATH`);
  if (second !== undefined && /^[./~]/.test(first))
    throw invalid(
      `volume ${JSON.stringify(text)} is refused: it is a folder of the host`,
      "a name in place of the folder makes a volume of the job",
    );
  const name = second === undefined ? undefined : first;
  if (name !== undefined && !/^[A-Za-z0-9][\w.-]{0,62}$/.test(name))
    throw invalid(`volume ${JSON.stringify(text)}: ${JSON.stringify(name)} is no name of a volume`);
  const path = second ?? first;
  if (!path.startsWith("/")) throw invalid(`volume ${JSON.stringify(text)} must name a path that begins with /`);
  if (/\/\.{0,2}\//.test(`${path.replace(/\/$/, "")}/`))
    throw invalid(`volume ${JSON.stringify(text)}: ${path} is to be written without . and ..`);
  if (/^\/(seatrial|github|proc|sys|dev)(\/|$)/.test(path)) throw invalid(`volume ${JSON.stringify(text)}: ${path} is not to be covered`);
  return { ...(name === undefined ? {} : { name }), path, isReadOnly: mode === "ro" };
}

function invalid(message: string, hint?: string): SeatrialError {
  return new SeatrialError("invalid", message, hint === undefined ? {} : { hint });
}

const nanosecondsOf: Readonly<Record<string, number>> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

/** `10s`, `1m30s`, as Go writes durations. */
function nanoseconds(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  const all = parts.map(([part]) => part).join("");
  const sum = parts.reduce((total, [, amount, unit]) => total + Number(amount) * nanosecondsOf[unit!]!, 0);
  if (all !== text || (sum < 1e6 && sum !== 0)) throw new Error("must be a duration of at least 1ms, as in 10s");
  return Math.round(sum);
}

function bytes(text: string): number {
  const [, amount, unit = "b"] = /^(\d+(?:\.\d+)?)\s*([bkmgt])?(?:i?b)?$/i.exec(text) ?? [];
  const size = Math.floor(Number(amount) * 1024 ** "bkmgt".indexOf(unit.toLowerCase()));
  if (amount === undefined || size <= 0) throw new Error("must be a size, as in 512m");
  return size;
}

function count(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new Error("must be a whole number");
  return Number(text);
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1024)) throw new Error("must be a number of CPUs, more than 0");
  return value;
}

function absolute(text: string): string {
  if (!text.startsWith("/")) throw new Error("must be a path that begins with /");
  return text;
}
