/** Declared registries: made, started, left alone. One call at a time for each name. */
import { join } from "node:path";
import { SeatrialError } from "../../base/errors.ts";
import { newUid } from "../../clusters/boot.ts";
import { registryPort } from "../../clusters/registry-wiring.ts";
import { labels } from "../../docker/ownership.ts";
import { lock } from "../../process/lock.ts";
import type { EnsureResult } from "../../registries/registries.ts";
import type { Registry } from "../../resources/registry.ts";
import type { Workspace } from "../workspace.ts";

export async function applyRegistry(
  workspace: Workspace,
  desired: Registry,
  options: { mayAdopt: boolean; mustCreate: boolean; signal?: AbortSignal | undefined },
): Promise<EnsureResult> {
  const { registries } = await workspace.docker();
  using _lock = await lockRegistry(workspace, desired.metadata.name, options.signal);
  return await registries.ensure(desired, {
    ownership: { instance: await workspace.instance(), owner: "declared" },
    uid: newUid(),
    isDurable: true,
    mayAdopt: options.mayAdopt,
    mustCreate: options.mustCreate,
    onProgress: (line) => workspace.output.err(line),
    signal: options.signal,
  });
}

/**
 * @param mayDeleteCtlptls whether one that ctlptl made may go too: it was asked for under ctlptl's name.
 * @returns false when there is none.
 */
export async function deleteRegistry(
  workspace: Workspace,
  name: string,
  mayDeleteCtlptls: boolean,
  signal?: AbortSignal,
): Promise<boolean> {
  const { registries } = await workspace.docker();
  const own = await workspace.instance();
  // Looked at first, since a lock's file stays: a name that was mistyped shall leave nothing.
  if (!(await registries.isThere(name, own, signal))) return false;
  using _lock = await lockRegistry(workspace, name, signal);
  const found = await registries.find(name, signal);
  const instance = found?.status?.labels?.[labels.instance];
  if (found && instance !== own && !(mayDeleteCtlptls && instance === undefined)) {
    const whose = instance === undefined ? "ctlptl or another tool" : "another installation of Seatrial";
    throw new SeatrialError("refused", `registry ${name} was made by ${whose}; it was not touched`, {
      hint: `docker rm -f -v ${name} removes it all the same`,
    });
  }
  return await registries.delete(name, own, signal);
}

async function lockRegistry(workspace: Workspace, name: string, signal: AbortSignal | undefined) {
  return await lock(join(workspace.environment.dataDir, "registries", `${name}.lock`), `registry ${name}`, signal);
}

/** Leads a local port to each registry of a remote Docker host: the same number where it is free, for images are named by it. */
export async function registriesReach(workspace: Workspace, signal?: AbortSignal): Promise<{ name: string; localPort: number }[]> {
  const { registries, host, address } = await workspace.docker();
  const records = (await workspace.records.all()).filter(({ dockerHost }) => dockerHost === address);
  const reached: { name: string; localPort: number }[] = [];
  for (const { metadata, status } of await registries.list(signal)) {
    const port = status?.hostPort;
    if (!port) continue;
    // A host that gives no way to its ports may still have a cluster that the registry is known to.
    const user = records.find(({ resource }) => resource.spec.registry === metadata.name);
    const dial =
      user &&
      (async () => await (await workspace.provider(user.provider)).dial!(workspace.records.targetOf(user), metadata.name, registryPort));
    const forward = await host.forward(port, { localPort: port, dial }).catch(async (error: unknown) => {
      if (error instanceof SeatrialError && error.code === "conflict") return await host.forward(port, { dial });
      if (error instanceof SeatrialError && error.code === "unreachable")
        return workspace.output.err(`registry ${metadata.name} is not reachable from here: ${error.message}`);
      throw error;
    });
    if (!forward) continue;
    reached.push({ name: metadata.name, localPort: forward.localPort });
  }
  return reached;
}
