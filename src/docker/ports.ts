/** Ports that are free now, on this machine or on a Docker host. Whoever takes one must be ready to find it taken. */
import { connect, createServer } from "node:net";
import { limits } from "../base/limits.ts";
import type { DockerClient } from "./client.ts";

/** A port of 127.0.0.1 on this machine. */
export async function freePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** A port of 127.0.0.1 on the Docker host: the daemon chooses one for a container that lives just as long as that takes. */
export async function probePort(docker: DockerClient, image: string, signal?: AbortSignal): Promise<number | undefined> {
  const id = await docker.createContainer(
    "",
    {
      Image: image,
      Entrypoint: ["sleep", "60"],
      ExposedPorts: { "6443/tcp": {} },
      HostConfig: { AutoRemove: true, PortBindings: { "6443/tcp": [{ HostIp: "127.0.0.1", HostPort: "0" }] } },
    },
    signal,
  );
  try {
    await docker.startContainer(id, signal);
    return Number((await docker.container(id, signal))?.NetworkSettings.Ports["6443/tcp"]?.[0]?.HostPort) || undefined;
  } finally {
    await docker.removeContainer(id);
  }
}

/** Whether something listens on a port of 127.0.0.1. */
export async function canConnect(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
    socket.setTimeout(limits.apiRequestMs, () => end(false));
  });
}
