/**
 * One Docker network for each cluster, made before it, from small subnets that we choose: Docker's own pools end after
 * about 30 networks.
 */
import { networkInterfaces } from "node:os";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { waitFor } from "../base/wait.ts";
import { type DockerClient, DockerError, isConflict } from "../docker/client.ts";
import type { Labels, NetworkDetails } from "../docker/objects.ts";

/** 1,024 subnets of 62 addresses: a cluster's nodes, its registry and a few tests. */
export const networkPool = { text: "10.213.0.0/16", first: (10 << 24) | (213 << 16), subnets: 1024, prefix: 26, size: 64 } as const;

export interface NetworkOptions {
  labels: Labels;
  seed: number;
  hasIpv6: boolean;
  signal?: AbortSignal | undefined;
}

/**
 * Makes the network and gives its id. The daemon refuses subnets that overlap with its other networks: then the next one
 * is tried. The first is taken from `seed`, so that many clusters at once do not all try the same.
 */
export async function createNetwork(docker: DockerClient, name: string, options: NetworkOptions): Promise<string> {
  const bridge = await docker.network("bridge", options.signal);
  const mtu = bridge?.Options?.["com.docker.network.driver.mtu"];
  const own = ownSubnets();
  for (let attempt = 0; attempt < limits.subnetAttempts; attempt++) {
    const index = (options.seed + attempt) % networkPool.subnets;
    const subnet = subnetAt(index);
    if (own.some((other) => overlaps(other, subnet))) continue;
    const ipv6 = options.hasIpv6 ? [{ Subnet: `fd00:5ea:${index.toString(16)}::/64` }] : [];
    try {
      return await docker.createNetwork(
        {
          Name: name,
          Driver: "bridge",
          CheckDuplicate: true,
          EnableIPv6: options.hasIpv6,
          IPAM: { Config: [{ Subnet: `${subnet.text}/${networkPool.prefix}` }, ...ipv6] },
          Options: { "com.docker.network.bridge.enable_ip_masquerade": "true", ...(mtu ? { "com.docker.network.driver.mtu": mtu } : {}) },
          Labels: options.labels,
        },
        options.signal,
      );
    } catch (error) {
      if (!(error instanceof DockerError && /overlap/i.test(error.message))) throw error;
    }
  }
  throw new SeatrialError(
    "conflict",
    `no free subnet for network ${name}: ${limits.subnetAttempts} of ${networkPool.text} were tried, all are in use`,
    {
      hint: "seatrial reap removes the networks of clusters whose owners have ended; docker network ls shows the others",
      retryable: true,
    },
  );
}

/**
 * The same for one that several clusters share: it is made by whoever comes first, and the daemon may let two be first. Then the older
 * one stays, and nobody goes on while there are two.
 */
export async function ensureSharedNetwork(docker: DockerClient, name: string, options: NetworkOptions): Promise<string> {
  let own: string | undefined;
  if ((await networksNamed(docker, name, options.signal)).length === 0)
    own = await createNetwork(docker, name, options).catch((error: unknown) => {
      if (isConflict(error)) return undefined;
      throw error;
    });
  const settled = async () => {
    const [oldest, ...younger] = await networksNamed(docker, name, options.signal);
    const isLeft = younger.some(({ Id }) => Id === own);
    if (isLeft) await docker.removeNetwork(own!, options.signal);
    return younger.length === 0 ? oldest?.Id : undefined;
  };
  return await waitFor(`network ${name} to be the only one of that name`, settled, {
    timeoutMs: limits.dockerRequestMs,
    pollMs: 50,
    signal: options.signal,
  });
}

/** The oldest first. */
export async function networksNamed(docker: DockerClient, name: string, signal?: AbortSignal): Promise<NetworkDetails[]> {
  const all = await docker.networks(undefined, signal);
  const age = ({ Created, Id }: NetworkDetails) => `${Created} ${Id}`;
  return all.filter(({ Name }) => Name === name).toSorted((a, b) => (age(a) < age(b) ? -1 : 1));
}

interface Subnet {
  text: string;
  address: number;
  prefix: number;
}

function subnetAt(index: number): Subnet {
  const address = (networkPool.first + index * 2 ** (32 - networkPool.prefix)) >>> 0;
  const text = [address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255].join(".");
  return { text, address, prefix: networkPool.prefix };
}

/** What this machine's own interfaces use: the daemon looks at its networks only. */
function ownSubnets(): Subnet[] {
  return Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).flatMap(({ family, cidr }) => {
      if (family !== "IPv4" || !cidr) return [];
      const [text = "", prefix = "32"] = cidr.split("/");
      const [a = 0, b = 0, c = 0, d = 0] = text.split(".").map(Number);
      return [{ text, address: ((a << 24) | (b << 16) | (c << 8) | d) >>> 0, prefix: Number(prefix) }];
    }),
  );
}

function overlaps(one: Subnet, other: Subnet): boolean {
  const shift = 32 - Math.min(one.prefix, other.prefix);
  return shift >= 32 || one.address >>> shift === other.address >>> shift;
}
