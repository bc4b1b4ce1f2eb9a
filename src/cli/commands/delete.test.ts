import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { expect, onTestFinished, test } from "vitest";
import { environmentFrom } from "../../base/environment.ts";
import type { ClusterProvider } from "../../clusters/provider.ts";
import { ClusterRecords } from "../../clusters/records.ts";
import { demoRecord } from "../../controllers/cluster/testdata/record.ts";
import type { OpenDocker, Workspace } from "../../controllers/workspace.ts";
import { labels } from "../../docker/ownership.ts";
import type { Registries } from "../../registries/registries.ts";
import type { CommandContext } from "../cli.ts";
import { registerDelete } from "./delete.ts";

const [hostA, hostB] = ["unix:///a.sock", "unix:///b.sock"];

test("--cascade deletes the registry on the cluster's Docker host, and none of that name on another", async () => {
  const folder = await mkdtemp(join(tmpdir(), "delete-"));
  onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  const records = new ClusterRecords(folder);
  await records.write(demoRecord({ registry: "reg" }, { dockerHost: hostA }));

  const hosts = new Map([
    [hostA, new Set(["cluster demo", "registry reg"])],
    [hostB, new Set(["registry reg"])],
  ]);
  const printed: string[] = [];
  const output = { out: (line: string) => printed.push(line), write: () => {}, err: (line: string) => printed.push(line) };
  const environment = environmentFrom({
    variables: { KUBECONFIG: join(folder, "user"), SEATRIAL_HOME: folder },
    homeDir: folder,
    tempDir: folder,
    uid: 1,
    cwd: folder,
  });
  const commandOn = (address: string): Workspace => {
    const there = hosts.get(address)!;
    const registries: Partial<Registries> = {
      find: async (name) => (there.has(`registry ${name}`) ? ({ status: { labels: { [labels.instance]: "me" } } } as never) : undefined),
      isThere: async (name) => there.has(`registry ${name}`),
      delete: async (name) => there.delete(`registry ${name}`),
    };
    const workspace: Partial<Workspace> = {
      environment,
      output,
      records,
      instance: async () => "me",
      docker: async () => ({ address, registries }) as unknown as OpenDocker,
      provider: async () =>
        ({ delete: async ({ name }) => void there.delete(`cluster ${name}`) }) as Partial<ClusterProvider> as ClusterProvider,
      onHost: async (other) => commandOn(other ?? address),
    };
    return workspace as Workspace;
  };
  const signals = { signal: new AbortController().signal };
  const context = { workspace: commandOn(hostB), environment, output, signals, isCtlptl: false } as unknown as CommandContext;
  const program = new Command();
  registerDelete(program, context);
  await program.parseAsync(["delete", "cluster", "demo", "--cascade", "true"], { from: "user" });

  expect(printed).toEqual(["registry.seatrial.dev/reg deleted", "cluster.seatrial.dev/demo deleted"]);
  expect([...hosts.get(hostA)!]).toEqual([]);
  expect([...hosts.get(hostB)!]).toEqual(["registry reg"]);
});
