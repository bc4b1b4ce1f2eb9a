/** From an endpoint to an open Docker host: the one place that knows all kinds of hosts. */
import type { DockerEndpoint } from "../docker/endpoint.ts";
import { DirectHost } from "./direct-host.ts";
import type { DockerHost, OpenOptions } from "./docker-host.ts";
import { openSshHost } from "./ssh-host.ts";

/**
 * Connects where a connection is needed (ssh); otherwise nothing is dialled, and Docker's absence shows at the first request.
 * @throws SeatrialError `unreachable` with a hint, `missing-program` without ssh; the signal's reason.
 */
export async function openDockerHost(endpoint: DockerEndpoint, options: OpenOptions): Promise<DockerHost> {
  options.signal.throwIfAborted();
  return endpoint.kind === "ssh" ? await openSshHost(endpoint, options) : new DirectHost(endpoint, options);
}
