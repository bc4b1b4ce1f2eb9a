import { expect, test } from "vitest";
import type { ClusterSpec } from "../resources/cluster.ts";
import { withOwnSubnets } from "./clusters.ts";

const kind: ClusterSpec = { provider: "kind" };

const several: readonly [title: string, specs: ClusterSpec[], subnets: (string | undefined)[][]][] = [
  ["one has kind's own", [kind], [[undefined, undefined]]],
  [
    "two",
    [kind, kind],
    [
      ["10.244.0.0/16", "10.96.0.0/16"],
      ["10.245.0.0/16", "10.97.0.0/16"],
    ],
  ],
  [
    "one without nodes does not count",
    [{ provider: "bare" }, kind],
    [
      [undefined, undefined],
      [undefined, undefined],
    ],
  ],
  [
    "what is said stays, and nobody else gets it",
    [kind, { ...kind, podSubnet: "10.244.0.0/17" }, { ...kind, serviceSubnet: "10.96.0.0/12" }],
    [
      ["10.245.0.0/16", "10.112.0.0/16"],
      ["10.244.0.0/17", "10.113.0.0/16"],
      ["10.246.0.0/16", "10.96.0.0/12"],
    ],
  ],
  [
    "what is said in kind's words counts",
    [kind, { ...kind, kind: { config: { networking: { podSubnet: "10.0.0.0/8" } } } }],
    [
      ["10.255.0.0/16", "10.96.0.0/16"],
      [undefined, "10.97.0.0/16"],
    ],
  ],
  [
    "IPv6 is left to kind",
    [kind, { ...kind, kind: { config: { networking: { ipFamily: "dual" } } } }],
    [
      ["10.244.0.0/16", "10.96.0.0/16"],
      [undefined, undefined],
    ],
  ],
];

test.each(several)("addresses of several clusters: %s", (_, specs, subnets) => {
  const planned = withOwnSubnets(specs.map((spec, index) => ({ name: `c${index}`, spec })));
  expect(planned.map(({ spec }) => [spec.podSubnet, spec.serviceSubnet])).toEqual(subnets);
  expect(planned.map(({ name }) => name)).toEqual(specs.map((_spec, index) => `c${index}`));
});
