/** What a reconciler or a run works with. server/start.ts makes it; nobody below knows of what. */
import type { Environment } from "../base/environment.ts";
import type { Output } from "../base/output.ts";
import type { BootThrottle } from "../clusters/boot-throttle.ts";
import type { ClusterProvider } from "../clusters/provider.ts";
import type { ClusterRecords } from "../clusters/records.ts";
import type { DockerClient } from "../docker/client.ts";
import type { DockerHost } from "../hosts/docker-host.ts";
import type { Registries } from "../registries/registries.ts";
import type { Provider } from "../resources/cluster.ts";

/** Each part is made when it is first asked for; calls may be made concurrently. */
export interface Workspace {
  readonly environment: Environment;
  readonly output: Output;
  readonly records: ClusterRecords;
  /** Where the logs of boots that failed are kept. */
  readonly failuresDir: string;
  /** The id of this installation. */
  instance(): Promise<string>;
  /** The Docker host that the environment names. It may not answer: that shows at the first request, or here for ssh. */
  docker(): Promise<OpenDocker>;
  provider(name: Provider): Promise<ClusterProvider>;
  /** How many clusters of a provider may boot at once where they boot. */
  throttle(provider: Provider): Promise<BootThrottle>;
  /** The workspace for a record's Docker host: this one, unless the record names another. */
  onHost(address: string | undefined): Promise<Workspace>;
}

/** A Docker host that is open, with all that speaks to it. */
export interface OpenDocker {
  /** As DOCKER_HOST has it: what a record keeps. */
  address: string;
  host: DockerHost;
  client: DockerClient;
  registries: Registries;
}
