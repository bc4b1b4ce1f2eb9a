/**
 * Judges the addresses of networks: each kind cluster gets a subnet of its own from 10.213.0.0/16, so that Docker's address
 * pools, which end after about 30 networks, do not matter. Pure.
 */
import { limits } from "../base/limits.ts";
import { networkPool } from "../clusters/networks.ts";
import type { Check, Seen } from "./check.ts";

export interface SeenNetwork {
  name: string;
  /** IPv4 and IPv6, as `10.213.0.0/26`. */
  subnets: string[];
}

/** What this machine itself uses or leads elsewhere: an interface's own addresses, or a route. */
export interface Way {
  kind: "interface" | "route";
  device: string;
  cidr: string;
}

/** @param ways of the Docker host; undefined where they cannot be seen from here. */
export function judgeSubnets(networks: Seen<SeenNetwork[]>, ways: readonly Way[] | undefined): Check {
  const check = { name: "subnets", needed: ["kind"] } as const;
  if ("trouble" in networks) return { ...check, state: "unknown", found: networks.trouble };
  const dockers = rangesOf(networks.value.flatMap(({ subnets }) => subnets));
  // A network's own bridge is an interface as well, and an interface's own network a route: each is told of once.
  const interfaces = crossings(ways, "interface").filter((range) => !dockers.some((own) => isSame(own, range)));
  const routes = crossings(ways, "route").filter((range) => ![...dockers, ...interfaces].some((own) => isSame(own, range)));
  const taken = [...dockers, ...interfaces];
  const subnets = Array.from({ length: networkPool.subnets }, (_, i) => ({
    first: networkPool.first + i * networkPool.size,
    last: networkPool.first + (i + 1) * networkPool.size - 1,
  }));
  const free = subnets.filter((subnet) => !taken.some((range) => overlap(range, subnet))).length;
  const count = networks.value.length;
  const found = [
    `${count} network${count === 1 ? "" : "s"}; ${free.toLocaleString("en")} of our ${networkPool.subnets.toLocaleString("en")} subnets in ${networkPool.text} are free`,
    ...interfaces.map(({ device, cidr }) => `${device} of this machine uses ${cidr}`),
    ...routes.map(
      ({ device, cidr }) => `the route ${cidr} by ${device} meets them: what is behind it is hidden while a cluster has the same addresses`,
    ),
    ...(ways === undefined ? ["the Docker host's own routes cannot be seen from here"] : []),
  ].join("; ");
  const hasWays = interfaces.length + routes.length > 0;
  if (free >= limits.freeSubnetsLow && !hasWays) return { ...check, state: "ok", found };
  const cleanUp = "seatrial reap\ndocker network prune   # removes networks that nothing uses";
  return { ...check, state: free === 0 ? "missing" : "warning", found, fix: hasWays ? lookAtWays : cleanUp };
}

const lookAtWays = `ip -4 address; ip -4 route   # who uses addresses of ${networkPool.text}; a VPN is the usual one: disconnect it, or narrow its routes`;

/** The routes of /proc/net/route but for the default one: hexadecimal numbers, least significant byte first. */
export function routesIn(text: string): Way[] {
  return text
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [device = "", destination, , , , , , mask] = line.trim().split(/\s+/);
      if (!destination || !mask || /^0+$/.test(mask)) return [];
      const octets = (hex: string) => [...Buffer.from(hex, "hex")].reverse();
      const prefix = octets(mask).reduce((bits, octet) => bits + octet.toString(2).replaceAll("0", "").length, 0);
      return [{ kind: "route", device, cidr: `${octets(destination).join(".")}/${prefix}` }];
    });
}

/** Those of one kind that meet our subnets. */
function crossings(ways: readonly Way[] | undefined, kind: Way["kind"]): (Way & Range)[] {
  const whole = { first: networkPool.first, last: networkPool.first + networkPool.subnets * networkPool.size - 1 };
  const ranges = (ways ?? [])
    .filter((way) => way.kind === kind)
    .flatMap((way) => rangesOf([way.cidr]).map((range) => ({ ...way, ...range })));
  return ranges.filter((range) => overlap(range, whole));
}

interface Range {
  first: number;
  last: number;
}

/** The IPv4 ranges among them. */
function rangesOf(cidrs: readonly string[]): Range[] {
  return cidrs.flatMap((cidr) => {
    const found = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(cidr);
    if (!found) return [];
    const [a = 0, b = 0, c = 0, d = 0, prefix = 32] = found.slice(1).map(Number);
    const size = 2 ** (32 - prefix);
    const address = ((a * 256 + b) * 256 + c) * 256 + d;
    const first = Math.floor(address / size) * size;
    return [{ first, last: first + size - 1 }];
  });
}

function overlap(one: Range, other: Range): boolean {
  return one.first <= other.last && other.first <= one.last;
}

function isSame(one: Range, other: Range): boolean {
  return one.first === other.first && one.last === other.last;
}
