/** A process that opens a Docker host by ssh and waits to be killed: `hold-open.ts ENDPOINT-JSON ENVIRONMENT-JSON`. */
import type { Environment } from "../../base/environment.ts";
import type { DockerEndpoint } from "../../docker/endpoint.ts";
import { openDockerHost } from "../open.ts";

const [endpoint, environment] = process.argv.slice(2).map((text) => JSON.parse(text) as unknown);
const host = await openDockerHost(endpoint as DockerEndpoint, {
  environment: environment as Environment,
  signal: AbortSignal.timeout(30_000),
});
process.stdout.write(`${JSON.stringify(host.connection)}\n`);
