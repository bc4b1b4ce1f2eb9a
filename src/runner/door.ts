/**
 * Ways of a container that has no network: a port of its own 127.0.0.1 that leads to the server through the door, a socket that
 * was mounted; and ports that lead to the APIs of the job's clusters, through the server.
 */
import { once } from "node:events";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { SeatrialError } from "../base/errors.ts";
import { Listener } from "../hosts/listener.ts";
import type { AssignmentMessage } from "./protocol.ts";

export interface Way extends AsyncDisposable {
  port: number;
}

/** @returns a port that leads to the socket. */
export async function openDoorWay(path: string): Promise<Way> {
  return await Listener.open({ port: 0 }, async () => {
    const socket = connect({ path });
    await once(socket, "connect");
    return socket;
  });
}

/** @returns a port that leads to the API of a cluster. @param server its origin. */
export async function openClusterWay(server: string, attempt: string, token: string, cluster: string): Promise<Way> {
  const url = new URL(`/runner/v1/attempts/${attempt}/clusters/${encodeURIComponent(cluster)}`, server);
  return await Listener.open({ port: 0 }, async () => {
    const headers = { authorization: `Bearer ${token}`, connection: "Upgrade", upgrade: "tcp" };
    const asked = request(url, { headers, agent: false });
    asked.end();
    const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
    asked.once("error", reject);
    asked.once("response", (answer) => {
      answer.destroy();
      reject(new SeatrialError("unreachable", `the server answered ${answer.statusCode}`));
    });
    asked.once("upgrade", (_answer, socket: Socket, head: Buffer) => {
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    return await promise;
  });
}

/** The clusters as the steps reach them; ways that were opened are added to `ways`. */
export async function reachClusters(
  clusters: AssignmentMessage["clusters"],
  open: (cluster: string) => Promise<Way>,
  ways: AsyncDisposableStack,
): Promise<AssignmentMessage["clusters"]> {
  return await Promise.all(
    clusters.map(async (cluster) => {
      if (!cluster.isBehindServer) return cluster;
      const { port } = ways.use(await open(cluster.name));
      const kubeconfig = JSON.parse(cluster.kubeconfig) as { clusters: { cluster: { server: string } }[] };
      for (const each of kubeconfig.clusters) each.cluster.server = `https://127.0.0.1:${port}`;
      return { ...cluster, kubeconfig: JSON.stringify(kubeconfig) };
    }),
  );
}
