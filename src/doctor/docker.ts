/** Judges the Docker daemon: whether it answers, what it is, what its host's cgroups allow, whether it has a node image. Pure. */
import { newestOf } from "../clusters/node-image.ts";
import { asRoot, type Check, type Machine, type Seen } from "./check.ts";

/**
 * Where the daemon runs:
 * - `here`: on this machine's own kernel, whose files tell of it;
 * - `vm`: on this machine, but in a virtual machine (Docker Desktop, colima);
 * - `remote`: somewhere else.
 */
export type Place = "here" | "vm" | "remote";

/** Which daemon is meant, before anybody has asked it. */
export interface SeenEndpoint {
  kind: "unix" | "tcp" | "ssh";
  /** As DOCKER_HOST has it. */
  address: string;
  /** The variable or the context that names it; undefined for the usual socket. */
  namedBy: { variable: "DOCKER_HOST" | "DOCKER_CONTEXT" } | { context: string } | undefined;
}

export interface SeenDocker {
  place: Place;
  version: string;
  apiVersion: string;
  operatingSystem: string;
  /** `1` or `2`; daemons before 20.10 do not tell. */
  cgroupVersion: string | undefined;
  isRootless: boolean;
  memoryBytes: number;
  rootDir: string;
  /** Tags of the node images that it has. */
  nodeImages: string[];
}

const kindOnly = { needed: ["kind"] } as const;

export function judgeDocker(endpoint: Seen<SeenEndpoint>, seen: Seen<SeenDocker>, context: { machine: Machine; hasCli: boolean }): Check {
  const check = { name: "docker", ...kindOnly };
  if ("trouble" in endpoint)
    return { ...check, state: "missing", found: endpoint.trouble, ...(endpoint.hint ? { fix: `# ${endpoint.hint}` } : {}) };
  if ("trouble" in seen) return { ...check, state: "missing", found: seen.trouble, fix: startDocker(endpoint.value, seen, context) };
  const { version, apiVersion, place, isRootless, operatingSystem } = seen.value;
  const where = {
    here: "on this machine",
    vm: `in a virtual machine of this machine (${operatingSystem})`,
    remote: `remote (${operatingSystem})`,
  }[place];
  const found = [
    `${version}, API ${apiVersion}`,
    where,
    ...(isRootless ? ["rootless"] : []),
    `${endpoint.value.address} (${namedBy(endpoint.value)})`,
  ];
  return { ...check, state: "ok", found: found.join(", ") };
}

function namedBy({ namedBy: by }: SeenEndpoint): string {
  if (!by) return "the usual socket";
  return "variable" in by ? `from ${by.variable}` : `context ${by.context}`;
}

function startDocker(
  endpoint: SeenEndpoint,
  { code, hint }: { code?: string | undefined; hint?: string | undefined },
  context: { machine: Machine; hasCli: boolean },
): string {
  const { machine, hasCli } = context;
  const by = endpoint.namedBy;
  if (code === "EACCES") return `${asRoot('usermod -aG docker "$USER"', machine)}\n# and log in again`;
  if (endpoint.kind === "ssh")
    return `# ${hint ?? `docker must work on that host: ssh ${endpoint.address.slice("ssh://".length)} docker version`}`;
  if (by && "variable" in by) return `unset ${by.variable}   # if this machine's own Docker is meant; else start that daemon`;
  if (by) return "docker context use default   # if this machine's own Docker is meant; else start that daemon";
  if (machine.platform === "darwin")
    return hasCli ? "open -a Docker" : "# install Docker: https://docs.docker.com/desktop/setup/install/mac-install/";
  if (!hasCli) return "# install Docker: https://docs.docker.com/engine/install/";
  return asRoot(machine.hasSystemd ? "systemctl start docker" : "service docker start", machine);
}

/** @param kubernetesVersion what clusters get that ask for none. */
export function judgeCgroup(seen: Seen<SeenDocker>, kubernetesVersion: string, machine: Machine): Check {
  const check = { name: "cgroup", ...kindOnly };
  if ("trouble" in seen) return { ...check, state: "unknown", found: "Docker does not answer" };
  const { cgroupVersion, isRootless, place } = seen.value;
  if (cgroupVersion === undefined)
    return {
      ...check,
      state: "unknown",
      found: "Docker does not tell: it is older than 20.10",
      fix: "# a newer Docker: https://docs.docker.com/engine/install/",
    };
  if (cgroupVersion !== "1") return { ...check, state: "ok", found: `v${cgroupVersion}` };
  const fix = switchToCgroup2(place, machine);
  if (isRootless) return { ...check, state: "missing", found: "v1: nodes in a rootless Docker need v2", fix };
  const minor = Number(/^v1\.(\d+)/.exec(kubernetesVersion)?.[1]);
  if (minor < 35) return { ...check, state: "ok", found: "v1" };
  const found = `v1: kubelets of Kubernetes 1.35 and newer (${kubernetesVersion} here) do not start on it, but for node images with failCgroupV1: false, as \`make lab\` builds them`;
  return { ...check, state: "warning", found, fix };
}

function switchToCgroup2(place: Place, machine: Machine): string {
  if (place === "vm") return "# update Docker Desktop, or the virtual machine that Docker runs in";
  const option = "systemd.unified_cgroup_hierarchy=1";
  if (place === "remote") return `# on that host: boot its kernel with ${option}`;
  return `${asRoot(`sed -i 's/^GRUB_CMDLINE_LINUX="/&${option} /' /etc/default/grub`, machine)} && ${asRoot("update-grub", machine)} && ${asRoot("reboot", machine)}`;
}

/** @param version of Kubernetes, as `v1.36`. */
export function judgeNodeImage(seen: Seen<SeenDocker>, version: string): Check {
  const check = { name: "node-image" };
  if ("trouble" in seen) return { ...check, state: "unknown", found: "Docker does not answer" };
  const { nodeImages } = seen.value;
  const newest = newestOf(nodeImages, version);
  const others = nodeImages.filter((tag) => tag !== newest).toSorted();
  const also = others.length > 0 ? `; also ${others.join(", ")}` : "";
  if (newest) return { ...check, state: "ok", found: `${newest}${also}` };
  return {
    ...check,
    state: "warning",
    found: `none of ${version} on the Docker host${also}: pulled when it is first needed, about 1 GB`,
    fix: "seatrial with kind -- true   # pulls it now\nmake lab   # where no registry can be reached: builds one, in a checkout of Seatrial",
  };
}
