import { describe, expect, test } from "vitest";
import { createNetwork } from "../clusters/networks.ts";
import type { DockerClient } from "../docker/client.ts";
import type { Check } from "./check.ts";
import { judgeSubnets, routesIn, type SeenNetwork, type Way } from "./subnets.ts";

const bridge: SeenNetwork = { name: "bridge", subnets: ["172.17.0.0/16"] };
const ours = (index: number): SeenNetwork => ({
  name: `seatrial-${index}`,
  subnets: [`10.213.${index >> 2}.${(index & 3) * 64}/26`, "fd00:5ea::/64"],
});
const route = (cidr: string, device = "tun0"): Way => ({ kind: "route", device, cidr });
const address = (cidr: string, device = "eth0"): Way => ({ kind: "interface", device, cidr });
const upTo = (count: number) => Array.from({ length: count }, (_, i) => ours(i));
const all = "of our 1,024 subnets in 10.213.0.0/16 are free";

test.each<[string, SeenNetwork[], Way[] | undefined, Check["state"], string]>([
  ["all free", [bridge], [address("192.0.2.2/24"), route("172.17.0.0/16", "docker0")], "ok", `1 network; 1,024 ${all}`],
  [
    "networks of clusters, with their bridges",
    [bridge, ours(0), ours(7)],
    [address("10.213.0.1/26", "br-1"), route("10.213.0.0/26", "br-1"), address("10.213.1.193/26", "br-2")],
    "ok",
    `3 networks; 1,022 ${all}`,
  ],
  ["a network that is larger than ours", [{ name: "x", subnets: ["10.213.0.0/20"] }], [], "ok", `1 network; 960 ${all}`],
  [
    "an interface in the midst",
    [],
    [address("10.213.5.9/24")],
    "warning",
    `0 networks; 1,020 ${all}; eth0 of this machine uses 10.213.5.9/24`,
  ],
  [
    "an interface and its route",
    [],
    [address("10.213.5.9/24"), route("10.213.5.0/24", "eth0")],
    "warning",
    `0 networks; 1,020 ${all}; eth0 of this machine uses 10.213.5.9/24`,
  ],
  ["an interface over all", [], [address("10.1.2.3/8")], "missing", `0 networks; 0 ${all}; eth0 of this machine uses 10.1.2.3/8`],
  [
    "a route over all",
    [],
    [route("10.0.0.0/8")],
    "warning",
    `0 networks; 1,024 ${all}; the route 10.0.0.0/8 by tun0 meets them: what is behind it is hidden while a cluster has the same addresses`,
  ],
  ["a few left", upTo(1000), [], "warning", `1000 networks; 24 ${all}`],
  ["none left", upTo(1024), [], "missing", `1024 networks; 0 ${all}`],
  ["a remote host", [bridge], undefined, "ok", `1 network; 1,024 ${all}; the Docker host's own routes cannot be seen from here`],
])("%s", (_, networks, ways, state, found) => {
  const check = judgeSubnets({ value: networks }, ways);
  expect(check).toMatchObject({ name: "subnets", state, found, needed: ["kind"] });
  expect(check.fix === undefined).toBe(state === "ok");
});

test("what mends it: reaping where Docker's networks take them, a look at the routes where this machine does", () => {
  expect(judgeSubnets({ value: upTo(1024) }, []).fix).toMatch(/^seatrial reap\n/);
  expect(judgeSubnets({ value: [] }, [route("10.0.0.0/8")]).fix).toMatch(/^ip -4 address; ip -4 route /);
});

test("Docker does not answer", () => {
  expect(judgeSubnets({ trouble: "Docker does not answer" }, undefined)).toMatchObject({
    state: "unknown",
    found: "Docker does not answer",
  });
});

describe("the subnets that are judged are those that clusters get", () => {
  test.each([
    ["first", 0, "10.213.0.0/26"],
    ["last", 1023, "10.213.255.192/26"],
    ["and the first again", 1024, "10.213.0.0/26"],
  ])("%s", async (_, seed, subnet) => {
    const asked: string[] = [];
    const docker = {
      network: async () => undefined,
      createNetwork: async (body: { IPAM: { Config: { Subnet: string }[] } }) => {
        asked.push(body.IPAM.Config[0]!.Subnet);
        return "id";
      },
    } as unknown as DockerClient;
    await createNetwork(docker, "x", { labels: {}, seed, hasIpv6: false });
    expect(asked).toEqual([subnet]);
    expect(judgeSubnets({ value: [{ name: "x", subnets: asked }] }, []).found).toContain("1,023 of our 1,024");
  });
});

test("routes of the kernel's table, the default one left out", () => {
  const text = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
tun0\t0000D50A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
br-1\t40000A0A\t00000000\t0001\t0\t0\t0\tC0FFFFFF\t0\t0\t0
`;
  expect(routesIn(text)).toEqual([route("10.213.0.0/16"), route("10.10.0.64/26", "br-1")]);
  expect(routesIn("")).toEqual([]);
});
