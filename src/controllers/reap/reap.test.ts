import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { SeatrialError } from "../../base/errors.ts";
import type { ClusterProvider } from "../../clusters/provider.ts";
import { type ClusterRecord, ClusterRecords } from "../../clusters/records.ts";
import type { Workspace } from "../workspace.ts";
import { reap } from "./reap.ts";

test("a Docker host that does not answer keeps no other waiting", async () => {
  const folder = await mkdtemp(join(tmpdir(), "reap-"));
  onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  const records = new ClusterRecords(folder);
  const leftover = (name: string, dockerHost: string): ClusterRecord => ({
    name,
    provider: "kind",
    uid: `uid-${name}`,
    instance: "me",
    owner: "held",
    notAfter: "2026-01-01T00:00:00.000Z",
    dockerHost,
    phase: "Ready",
    createdAt: "2026-01-01T00:00:00Z",
    resource: { apiVersion: "seatrial.dev/v1alpha1", kind: "Cluster", metadata: { name }, spec: { provider: "kind" } },
  });
  await records.write(leftover("a", "ssh://dead"));
  await records.write(leftover("b", "ssh://well"));

  // The dead one is known to be dead only when the other's leftover is gone.
  let wellIsDone = () => {};
  const afterTheOther = new Promise<void>((resolve) => (wellIsDone = resolve));
  const workspace = {
    records,
    failuresDir: join(folder, "failures"),
    onHost: async (address: string) => ({
      provider: async () => {
        if (address === "ssh://well") return { delete: async () => wellIsDone() } as unknown as ClusterProvider;
        await afterTheOther;
        throw new SeatrialError("unreachable", `cannot connect to ${address}`);
      },
    }),
  } as unknown as Workspace;
  const reason = "its time was up at 2026-01-01T00:00:00.000Z";
  expect(await reap(workspace, { scansDocker: false, now: new Date("2026-02-01T00:00:00Z") })).toEqual([
    { what: "cluster a", reason, error: "cannot connect to ssh://dead" },
    { what: "cluster b", reason },
  ]);
  expect((await records.all()).map(({ name }) => name)).toEqual(["a"]);
});
