/** A connection to the API of a cluster, for a runner that has no other way to it. The kubeconfig alone says where that is. */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { parseKubeconfig } from "../kube/client.ts";

export async function dialCluster(kubeconfig: string): Promise<Duplex> {
  const { server } = parseKubeconfig(await readFile(kubeconfig, "utf8"), kubeconfig);
  const { hostname, port } = new URL(server);
  const socket = connect({ host: hostname, port: Number(port || 443), allowHalfOpen: true });
  await once(socket, "connect");
  return socket;
}
