import { expect, test } from "vitest";
import type { Cluster } from "../../resources/cluster.ts";
import type { Registry } from "../../resources/registry.ts";
import { clustersTable, ctlptlClustersTable, humanDuration, registriesTable, shortDuration, table } from "./tables.ts";

const now = Date.parse("2026-08-02T12:00:00Z");
const clusters: Cluster[] = [
  {
    apiVersion: "seatrial.dev/v1alpha1",
    kind: "Cluster",
    metadata: { name: "demo" },
    spec: { provider: "kind", kubernetesVersion: "v1.36" },
    status: {
      phase: "Ready",
      kubernetesVersion: "v1.36.3",
      current: true,
      owner: "declared",
      creationTimestamp: "2026-08-02T11:54:48Z",
      localRegistryHosting: { host: "localhost:5002" },
    },
  },
  { apiVersion: "seatrial.dev/v1alpha1", kind: "Cluster", metadata: { name: "a-longer-name" }, spec: { provider: "bare" } },
];

test("clusters", () => {
  expect(clustersTable(clusters, now)).toBe(
    `NAME            PROVIDER   VERSION   PHASE     OWNER      AGE       REGISTRY
demo            kind       v1.36.3   Ready     declared   5m12s     localhost:5002
a-longer-name   bare       unknown   Pending   unknown    unknown   none
`,
  );
});

test("clusters as ctlptl lists them", () => {
  expect(ctlptlClustersTable(clusters, now)).toBe(
    `CURRENT   NAME                 PRODUCT   AGE       REGISTRY
*         kind-demo            kind      5m        localhost:5002
          bare-a-longer-name   bare      unknown   none
`,
  );
});

test("registries, newest first", () => {
  const registry = (name: string, status: Registry["status"]): Registry => ({
    apiVersion: "seatrial.dev/v1alpha1",
    kind: "Registry",
    metadata: { name },
    spec: {},
    status,
  });
  const address = { listenAddress: "127.0.0.1", hostPort: 5002, ipAddress: "172.17.0.2", containerPort: 5000 };
  const list = [
    registry("unknown", undefined),
    registry("older", { ...address, creationTimestamp: "2026-07-30T12:00:00Z" }),
    registry("newer", { creationTimestamp: "2026-08-02T09:00:00Z" }),
  ];
  expect(registriesTable(list, now)).toBe(
    `NAME      HOST ADDRESS     CONTAINER ADDRESS   AGE
newer     none             none                3h
older     127.0.0.1:5002   172.17.0.2:5000     3d
unknown   none             none                unknown
`,
  );
});

test("a cell of several lines shows its first", () => {
  expect(table(["A", "B"], [["x\ny", "é"]])).toBe("A      B\nx...   é\n");
});

const [s, m, h, d] = [1000, 60_000, 3_600_000, 86_400_000];
test.each([
  ["a clock that is behind", -1500, "0s", "0s"],
  ["a clock that is far behind", -5 * s, "<invalid>", "<invalid>"],
  ["now", 0, "0s", "0s"],
  ["seconds", 119 * s, "119s", "1m"],
  ["minutes and seconds", 5 * m + 12 * s, "5m12s", "5m"],
  ["whole minutes", 5 * m, "5m", "5m"],
  ["many minutes", 100 * m, "100m", "1h"],
  ["hours and minutes", 3 * h + 5 * m, "3h5m", "3h"],
  ["whole hours", 3 * h, "3h", "3h"],
  ["many hours", 30 * h, "30h", "1d"],
  ["days and hours", 2 * d + 3 * h, "2d3h", "2d"],
  ["whole days", 2 * d, "2d", "2d"],
  ["many days", 100 * d, "100d", "100d"],
  ["years and days", 800 * d, "2y70d", "2y"],
  ["many years", 4000 * d, "10y", "10y"],
])("%s", (_, ms, human, short) => {
  expect(humanDuration(ms)).toBe(human);
  expect(shortDuration(ms)).toBe(short);
});
