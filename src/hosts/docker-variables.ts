/** The variables by which the docker CLI, and so kind, chooses its daemon. */
import type { DockerEndpoint } from "../docker/endpoint.ts";

/** All of them taken away: what is set beside these is then the only choice. */
const UNSET = {
  DOCKER_HOST: undefined,
  DOCKER_CONTEXT: undefined,
  DOCKER_TLS: undefined,
  DOCKER_TLS_VERIFY: undefined,
  DOCKER_CERT_PATH: undefined,
};

export function variablesForSocket(socketPath: string): Record<string, string | undefined> {
  return { ...UNSET, DOCKER_HOST: `unix://${socketPath}` };
}

/** For tcp the variables that named the daemon, or the context that did, say it best: the CLI reads the same files. */
export function variablesForTcp(
  endpoint: Extract<DockerEndpoint, { kind: "tcp" }>,
  given: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  if (endpoint.name !== "default") return { ...UNSET, DOCKER_CONTEXT: endpoint.name };
  return Object.fromEntries(Object.keys(UNSET).map((name) => [name, name === "DOCKER_CONTEXT" ? undefined : given[name]]));
}
