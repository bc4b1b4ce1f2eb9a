/** Clusters of a control plane alone, declared: applied, changed, stopped, made anew, deleted. Without Docker. */
import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { kubeconfigOf, kubectl, newName, ok, refused, writeDocuments } from "../support/clusters.ts";
import { openHome, seatrial } from "../support/e2e.ts";

const ours = "seatrial.dev/v1alpha1";

test("applied twice at once, again, changed, stopped, recreated, deleted", async (context) => {
  const home = await openHome(context);
  const name = newName("bare");
  const document = (spec: object = {}) => ({
    apiVersion: ours,
    kind: "Cluster",
    metadata: { name },
    spec: { provider: "bare", ...spec },
  });
  await writeDocuments(home, "c.yaml", document());
  const said = (change: string) => `cluster.seatrial.dev/${name} ${change}\n`;
  const kubeconfig = kubeconfigOf(home, name);
  const server = async () => /server: (\S+)/.exec(await readFile(kubeconfig, "utf8"))?.[1];
  const processes = async () => (await home.leaks()).filter((leak) => leak.startsWith("process"));

  const both = await Promise.all([seatrial(home, ["apply", "-f", "c.yaml"]), seatrial(home, ["apply", "-f", "c.yaml"])]);
  expect(both.map((ran) => ok(ran).stdout).toSorted()).toEqual([said("created"), said("unchanged")]);
  expect(await processes()).toHaveLength(2);
  const [address, before] = [await server(), await processes()];
  await kubectl(kubeconfig, ["create", "namespace", "kept"]);

  expect(ok(await seatrial(home, ["apply", "-f", "c.yaml"])).stdout).toBe(said("unchanged"));
  expect(await processes()).toEqual(before);

  await writeDocuments(home, "changed.yaml", document({ bare: { apiServerFlags: ["--max-requests-inflight=300"] } }));
  refused(
    await seatrial(home, ["apply", "-f", "changed.yaml"]),
    1,
    "+ spec.bare.apiServerFlags",
    "--max-requests-inflight=300",
    "it was not touched",
  );
  refused(await seatrial(home, ["create", "cluster", "bare", "--name", name]), 1, "is there already");
  expect(await processes()).toEqual(before);

  await rm(kubeconfig);
  expect(ok(await seatrial(home, ["get", "cluster", name, "-o", "jsonpath={.status.phase}"])).stdout).toBe("Unreachable");
  expect(ok(await seatrial(home, ["kubeconfig", name])).stdout).toBe(`${kubeconfig}\n`);
  await kubectl(kubeconfig, ["get", "namespace", "kept"]);
  await rm(kubeconfig);
  expect(ok(await seatrial(home, ["apply", "-f", "c.yaml"])).stdout).toBe(said("unchanged"));
  await kubectl(kubeconfig, ["get", "namespace", "kept"]);

  for (const line of before) process.kill(Number(/\d+/.exec(line)?.[0]), "SIGKILL");
  await expect.poll(async () => await processes(), { timeout: 20_000 }).toEqual([]);
  expect(ok(await seatrial(home, ["get", "cluster", name, "-o", "jsonpath={.status.phase}"])).stdout).toBe("Stopped");
  expect(ok(await seatrial(home, ["apply", "-f", "c.yaml"])).stdout).toBe(said("started"));
  expect(await server()).toBe(address);
  await kubectl(kubeconfig, ["get", "namespace", "kept"]);

  expect(ok(await seatrial(home, ["apply", "-f", "changed.yaml", "--recreate"])).stdout).toBe(said("recreated"));
  refused(await seatrial(home, ["load", "x", "--cluster", name]), 2, "it has no nodes");
  const gone = await kubectl(kubeconfig, ["get", "namespace", "kept"], { okCodes: [0, 1] });
  expect(gone.stderr).toContain("not found");
  // Never merged: what the user's own kubeconfig is does not matter.
  expect(ok(await seatrial(home, ["delete", "-f", "c.yaml"], { env: { KUBECONFIG: home.directory } })).stdout).toBe(said("deleted"));
  expect(await home.leaks()).toEqual([]);
  expect(existsSync(join(home.data, "clusters", name))).toBe(false);
});
