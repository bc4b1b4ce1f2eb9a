import { describe, expect, test } from "vitest";
import { limits } from "../base/limits.ts";
import { type DockerClient, DockerError } from "../docker/client.ts";
import { createNetwork, ensureSharedNetwork, networkPool } from "./networks.ts";

interface Body {
  EnableIPv6: boolean;
  Labels: object;
  IPAM: { Config: { Subnet: string }[] };
  Options: Record<string, string>;
}

/** A daemon that refuses the subnets of `taken`. */
function daemon(taken: (subnet: string) => boolean, mtu?: string) {
  const asked: Body[] = [];
  const docker = {
    network: async () => await Promise.resolve({ Options: mtu ? { "com.docker.network.driver.mtu": mtu } : {} }),
    createNetwork: async (body: Body) => {
      asked.push(body);
      const subnet = body.IPAM.Config[0]!.Subnet;
      if (taken(subnet)) throw new DockerError(403, "create a network", "Pool overlaps with other one on this address space");
      return await Promise.resolve(`id-${subnet}`);
    },
  };
  return { docker: docker as unknown as DockerClient, asked };
}

const options = { labels: { a: "b" }, seed: 0, hasIpv6: false };

describe("a network for one cluster", () => {
  test.each([
    ["the first", 0, "10.213.0.0/26"],
    ["the second", 1, "10.213.0.64/26"],
    ["the last", 1023, "10.213.255.192/26"],
    ["round again", 1024, "10.213.0.0/26"],
    ["far", 0xffffff, "10.213.255.192/26"],
  ])("seed: %s", async (_, seed, subnet) => {
    const { docker, asked } = daemon(() => false);
    expect(await createNetwork(docker, "n", { ...options, seed })).toBe(`id-${subnet}`);
    expect(asked).toHaveLength(1);
    expect(asked[0]).toMatchObject({ Labels: { a: "b" }, EnableIPv6: false });
  });

  test("subnets that are taken are passed over", async () => {
    const { docker } = daemon((subnet) => subnet !== "10.213.0.192/26");
    expect(await createNetwork(docker, "n", options)).toBe("id-10.213.0.192/26");
  });

  test("all that are tried are taken", async () => {
    const { docker, asked } = daemon(() => true);
    await expect(createNetwork(docker, "n", options)).rejects.toMatchObject({
      code: "conflict",
      retryable: true,
      message: expect.stringContaining(networkPool.text),
    });
    expect(new Set(asked.map(({ IPAM }) => IPAM.Config[0]!.Subnet)).size).toBe(limits.subnetAttempts);
  });

  test("another refusal is passed on at once", async () => {
    const { docker, asked } = daemon(() => false);
    docker.createNetwork = async () => await Promise.reject(new DockerError(500, "create a network", "iptables failed"));
    await expect(createNetwork(docker, "n", options)).rejects.toThrow(/iptables failed/);
    expect(asked).toHaveLength(0);
  });

  test("IPv6 and the MTU of Docker's own bridge", async () => {
    const { docker, asked } = daemon(() => false, "1400");
    await createNetwork(docker, "n", { ...options, seed: 0x1f, hasIpv6: true });
    expect(asked[0]!.IPAM.Config).toEqual([{ Subnet: "10.213.7.192/26" }, { Subnet: "fd00:5ea:1f::/64" }]);
    expect(asked[0]!.Options["com.docker.network.driver.mtu"]).toBe("1400");
  });
});

describe("a network that clusters share", () => {
  interface Network {
    Id: string;
    Name: string;
    Created: string;
  }

  /** A daemon that lets several networks have one name. @param beforeCreate what another one does in between. */
  function sharedDaemon(there: Network[], beforeCreate: () => void = () => {}) {
    const docker = {
      network: async () => await Promise.resolve({}),
      networks: async () => await Promise.resolve([...there]),
      createNetwork: async ({ Name }: { Name: string }) => {
        beforeCreate();
        there.push({ Id: `own-${there.length}`, Name, Created: `2026-11-21T12:00:0${there.length}Z` });
        return await Promise.resolve(there.at(-1)!.Id);
      },
      removeNetwork: async (id: string) => {
        there.splice(0, Infinity, ...there.filter(({ Id }) => Id !== id));
        return await Promise.resolve();
      },
    };
    return docker as unknown as DockerClient;
  }

  const other = { Id: "other", Name: "n", Created: "2026-11-21T12:00:00Z" };

  test("is made by the first", async () => {
    const there: Network[] = [];
    expect(await ensureSharedNetwork(sharedDaemon(there), "n", options)).toBe("own-0");
    expect(there).toHaveLength(1);
  });

  test("is taken when it is there; one whose name is longer is another", async () => {
    const there = [{ ...other, Id: "longer", Name: "n-1" }, other];
    expect(await ensureSharedNetwork(sharedDaemon(there), "n", options)).toBe("other");
    expect(there).toHaveLength(2);
  });

  test("that two made at once: the older stays, the younger is removed by its maker", async () => {
    const there: Network[] = [];
    expect(
      await ensureSharedNetwork(
        sharedDaemon(there, () => there.push(other)),
        "n",
        options,
      ),
    ).toBe("other");
    expect(there).toEqual([other]);
  });

  test("that two made at once: the maker of the older waits until the younger is gone", async () => {
    const there: Network[] = [];
    const docker = sharedDaemon(there);
    let looks = 0;
    docker.networks = async () => {
      looks++;
      const younger = { ...other, Created: "2026-11-21T13:00:00Z" };
      return await Promise.resolve((looks === 2 ? [younger, ...there] : [...there]) as never);
    };
    expect(await ensureSharedNetwork(docker, "n", options)).toBe("own-0");
    expect(looks).toBe(3);
  });
});
