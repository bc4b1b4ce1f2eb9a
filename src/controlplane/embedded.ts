/**
 * The server's own control plane: etcd with fsync and kube-apiserver over one folder, for the server's resources alone.
 *
 * Its processes are nobody's children: after a kill -9 of the server they go on, and the next start finds them. Who was killed
 * with them is started again over the same data, on the same port where that is free.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Environment } from "../base/environment.ts";
import type { Programs } from "../programs/programs.ts";
import { startControlPlane, stopControlPlane } from "./control-plane.ts";

export interface EmbeddedOptions {
  programs: Programs;
  environment: Environment;
  /** Id of the installation: the mark of the processes is made from it. */
  instance: string;
  signal?: AbortSignal | undefined;
}

/** Starts what does not run. @returns the path of the administrator's kubeconfig; the API may need a moment until it is ready. */
export async function startEmbedded({ programs, environment, instance, signal }: EmbeddedOptions): Promise<string> {
  const directory = embeddedDirectory(environment);
  const kubeconfig = join(directory, "admin.kubeconfig");
  const [etcd, apiServer] = await Promise.all([programs.find({ name: "etcd" }, signal), programs.find({ name: "kube-apiserver" }, signal)]);
  const before = /https:\/\/127\.0\.0\.1:(\d+)/.exec(await readFile(kubeconfig, "utf8").catch(() => ""))?.[1];
  await startControlPlane({
    directory,
    uid: uidOf(instance),
    context: "seatrial",
    namespace: "seatrial",
    programs: { etcd: etcd.path, "kube-apiserver": apiServer.path },
    components: [],
    env: { PATH: environment.variables["PATH"], HOME: environment.homeDir },
    serviceSubnet: "10.96.0.0/16",
    podSubnet: "10.244.0.0/16",
    clusterDomain: "cluster.local",
    featureGates: {},
    apiServerFlags: [],
    isDurable: true,
    port: before === undefined ? undefined : Number(before),
    signal,
  });
  return kubeconfig;
}

/** Ends its processes; the data stays. No error when none runs. */
export async function stopEmbedded(instance: string): Promise<void> {
  await stopControlPlane(uidOf(instance));
}

function uidOf(instance: string): string {
  return `server-${instance}`;
}

function embeddedDirectory(environment: Environment): string {
  return join(environment.dataDir, "control-plane");
}
