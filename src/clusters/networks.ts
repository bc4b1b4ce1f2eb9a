/**
 * One Docker network for each cluster, made before it, from small subnets that we choose: Docker's own pools end after
 * about 30 networks.
 */
import { networkInterfaces } from "node:os";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { type DockerClient, DockerError } from "../docker/client.ts";
import type { Labels } from "../docker/objects.ts";

/** 1,024 subnets of 62 addresses: a cluster's nodes, its registry and a few tests. */
export const networkPool = { text: "10.213.0.0/16", first: (10 << 24) | (213 << 16), subnets: 1024, prefix: 26, size: 64 } as const;

/**
 * Makes the network and gives its id. The daemon refuses subnets that overlap with its other networks: then the next one
 * is tried. The first is taken from `seed`, so that many clusters at once do not all try the same.
 */
export async function createNetwork(
  docker: DockerClient,
  name: string,
  options: { labels: Labels; seed: number; hasIpv6: boolean; signal?: AbortSignal | undefined },
): Promise<string> {
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
