/**
 * What makes a registry known to a cluster: `certs.d` files in its nodes, read by containerd at each pull, and the
 * ConfigMap of KEP-1755, read by people's tools.
 */
import { parse, stringify } from "yaml";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { waitFor } from "../base/wait.ts";
import type { DockerClient } from "../docker/client.ts";
import type { ContainerSummary } from "../docker/objects.ts";
import type { Ownership } from "../docker/ownership.ts";
import type { KubeClient } from "../kube/client.ts";
import type { RegistryAuth } from "../resources/cluster.ts";
import { certsDirectory } from "./kind-config.ts";

/** The port that every registry listens on in its container. */
export const registryPort = 5000;

export interface Wiring {
  /** Number of nodes to wait for. */
  nodes: number;
  name: string;
  /** Ports of localhost by which clients name it: the Docker host's, and the forwarded one where that is another machine. */
  ports: readonly number[];
  /** Hosts whose images are asked of this registry first. */
  mirrors: readonly string[];
  auths: readonly RegistryAuth[];
  /** For `$NAME` in the user and password of `auths`. */
  variables: Readonly<Record<string, string | undefined>>;
  signal?: AbortSignal | undefined;
}

/** Writes the files into each node, as soon as its container runs: containerd reads them at the first pull, much later. */
export async function wireRegistry(docker: DockerClient, nodes: () => Promise<ContainerSummary[]>, wiring: Wiring): Promise<void> {
  const files = hostsFiles(wiring);
  const script = files
    .map(
      ({ host, text }) =>
        `mkdir -p ${quoted(`${certsDirectory}/${host}`)} && printf %s ${quoted(text)} > ${quoted(`${certsDirectory}/${host}/hosts.toml`)}`,
    )
    .join(" && ");
  const running = await waitFor(
    `${wiring.nodes} node containers to run`,
    async () => {
      const up = (await nodes()).filter(
        ({ State, Labels }) => State === "running" && Labels["io.x-k8s.kind.role"] !== "external-load-balancer",
      );
      return up.length >= wiring.nodes ? up : undefined;
    },
    { timeoutMs: limits.clusterReadyMs, pollMs: 250, signal: wiring.signal },
  );
  await Promise.all(
    running.map(async ({ Id, Names }) => {
      // The script has passwords: it goes by stdin, not in the arguments, which every process of the host can read.
      const { exitCode, stderr } = await docker.exec(Id, ["sh"], { stdin: script, signal: wiring.signal });
      if (exitCode !== 0)
        throw new SeatrialError(
          "command-failed",
          `could not make registry ${wiring.name} known to node ${Names[0]?.slice(1)}: ${stderr.toString().trim()}`,
        );
    }),
  );
}

/** One word of a shell, whatever it holds. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** One `hosts.toml` for each name that an image may have (containerd's registry host namespaces). */
export function hostsFiles(wiring: Pick<Wiring, "name" | "ports" | "mirrors" | "auths" | "variables">): { host: string; text: string }[] {
  const ours = `[host."http://${wiring.name}:${registryPort}"]\n  capabilities = ["pull", "resolve"]\n`;
  const files = new Map<string, string>();
  for (const port of wiring.ports) {
    files.set(`localhost:${port}`, ours);
    files.set(`127.0.0.1:${port}`, ours);
  }
  if (wiring.ports.length > 0) {
    files.set(`${wiring.name}:${registryPort}`, ours);
    for (const mirror of wiring.mirrors)
      files.set(mirror, `server = "https://${mirror === "docker.io" ? "registry-1.docker.io" : mirror}"\n\n${ours}`);
  }
  for (const { host, endpoint, username, password } of wiring.auths) {
    const user = expand(username ?? "", wiring.variables);
    const secret = expand(password ?? "", wiring.variables);
    const basic = Buffer.from(`${user}:${secret}`).toString("base64");
    const header = user || secret ? `  [host."${endpoint}".header]\n    Authorization = "Basic ${basic}"\n` : "";
    files.set(
      host,
      `[host."${endpoint}"]\n  capabilities = ["pull", "resolve"]\n${endpoint.replace(/^https?:\/\/[^/]+\/?/, "") ? "  override_path = true\n" : ""}${header}`,
    );
  }
  return [...files].map(([host, text]) => ({ host, text }));
}

/** What names in credentials stand for. A workflow is not its server's: what it names of our environment is nobody's. */
export function variablesFor({ owner }: Ownership, ours: Wiring["variables"]): Wiring["variables"] {
  return typeof owner === "object" && "attempt" in owner ? {} : ours;
}

function expand(text: string, variables: Readonly<Record<string, string | undefined>>): string {
  return text.replaceAll(
    /\$(?:\{(\w+)\}|(\w+))/g,
    (_, braced: string | undefined, bare: string | undefined) => variables[braced ?? bare ?? ""] ?? "",
  );
}

/** Says in the cluster where its registry is (KEP-1755), for Tilt, Skaffold and their like. */
export async function publishRegistry(client: KubeClient, name: string, hostPort: number, signal?: AbortSignal): Promise<void> {
  await client.apply(
    "/api/v1/namespaces/kube-public/configmaps/local-registry-hosting",
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "local-registry-hosting", namespace: "kube-public" },
      data: { "localRegistryHosting.v1": stringify(registryHosting(name, hostPort)) },
    },
    signal,
  );
}

/** What the cluster says of its registry; undefined when it says nothing, or nothing that can be read. */
export async function publishedRegistry(client: KubeClient, signal?: AbortSignal): Promise<{ host?: string } | undefined> {
  const found = await client.get<{ data?: Record<string, string> }>(
    "/api/v1/namespaces/kube-public/configmaps/local-registry-hosting",
    signal,
  );
  const text = found?.data?.["localRegistryHosting.v1"];
  try {
    return text === undefined ? undefined : ((parse(text) as { host?: string } | null) ?? undefined);
  } catch {
    return undefined; // Somebody else wrote it.
  }
}

export function registryHosting(name: string, hostPort: number) {
  return {
    host: `localhost:${hostPort}`,
    hostFromContainerRuntime: `${name}:${registryPort}`,
    hostFromClusterNetwork: `${name}:${registryPort}`,
    help: "https://kind.sigs.k8s.io/docs/user/local-registry/",
  };
}
