/** Judges the programs that Seatrial runs: those that it gets by itself, and the tools that the user installs. Pure. */
import { type FoundProgram, type ProgramName, variableOf } from "../programs/programs.ts";
import type { Provider } from "../resources/cluster.ts";
import { asRoot, type Check, type Installer, type Machine, type Seen } from "./check.ts";

/** How a program that is absent can be had. */
export interface Ways {
  /** The host that offers it and answers; undefined when none does. */
  site: string | undefined;
  hasGo: boolean;
}

interface Need {
  needed?: readonly Provider[];
  /** A build with empty caches on two cores: those of Kubernetes compile the same packages, together in the time of one. */
  buildMinutes: number;
  /** The command that gets it now, where one always does. */
  getBy?: string;
}

const needs: Record<ProgramName, Need> = {
  kind: { needed: ["kind"], buildMinutes: 1, getBy: "seatrial with kind -- true" },
  kubectl: { buildMinutes: 9 },
  etcd: { needed: ["bare"], buildMinutes: 2, getBy: "seatrial with bare -- true" },
  "kube-apiserver": { needed: ["bare"], buildMinutes: 9, getBy: "seatrial with bare -- true" },
  "kube-controller-manager": { buildMinutes: 9 },
  "kube-scheduler": { buildMinutes: 9 },
  kwok: { buildMinutes: 2 },
};

/** kube-apiserver, the largest, has 105 MB. */
const downloadMinutes = 1;

export function judgeProgram(name: ProgramName, seen: Seen<FoundProgram | undefined>, ways: Ways): Check {
  const { needed, buildMinutes, getBy } = needs[name];
  const check = { name, ...(needed ? { needed } : {}) };
  if ("trouble" in seen) {
    // What the user named wrongly has a hint; without one it did not answer in time, as on a machine that is too busy.
    return seen.hint
      ? { ...check, state: "missing", found: seen.trouble, fix: `# ${seen.hint}` }
      : { ...check, state: "unknown", found: seen.trouble };
  }
  const program = seen.value;
  if (program) {
    const source = { explicit: "named by the environment", path: "in PATH", cache: "in the cache", download: "downloaded", build: "built" }[
      program.source
    ];
    return { ...check, state: "ok", found: `${program.version ?? "unknown version"}, ${source}: ${program.path}` };
  }
  const get = getBy ? { fix: `${getBy}   # gets it now` } : {};
  if (ways.site) {
    return {
      ...check,
      state: "warning",
      found: `not here yet: downloaded from ${ways.site} when it is first needed, about ${minutes(downloadMinutes)}`,
      ...get,
    };
  }
  if (ways.hasGo) {
    const found = `not here yet: built with the Go toolchain when it is first needed, up to ${minutes(buildMinutes)} (its download site does not answer)`;
    return { ...check, state: "warning", found, ...get };
  }
  return {
    ...check,
    state: "missing",
    found: "not here; its download site does not answer, and there is no Go toolchain to build it",
    fix: `# install Go from https://go.dev/dl/, or set ${variableOf(name)} to the path of ${name}`,
  };
}

function minutes(count: number): string {
  return count === 1 ? "1 minute" : `${count} minutes`;
}

export type ToolName = "docker-cli" | "git" | "ssh" | "go";

export interface SeenTool {
  path: string;
  /** As the tool writes it; undefined when it does not tell. */
  version: string | undefined;
}

export interface ToolNeeds {
  machine: Machine;
  /** True when the Docker host is reached by ssh. */
  isDockerBySsh: boolean;
  /** True when a program is absent, so that it may have to be built. */
  isProgramAbsent: boolean;
}

export function judgeTool(name: ToolName, seen: Seen<SeenTool | undefined>, { machine, isDockerBySsh, isProgramAbsent }: ToolNeeds): Check {
  const needed: readonly Provider[] | undefined = name === "docker-cli" || (name === "ssh" && isDockerBySsh) ? ["kind"] : undefined;
  const check = { name, ...(needed ? { needed } : {}) };
  if ("trouble" in seen) return { ...check, state: "unknown", found: seen.trouble };
  const tool = seen.value;
  if (tool) return { ...check, state: "ok", found: `${tool.version ?? "unknown version"}, in PATH: ${tool.path}` };
  switch (name) {
    case "docker-cli":
      return {
        ...check,
        state: "missing",
        found: "there is no docker in PATH: kind runs it",
        fix: "# install it: https://docs.docker.com/engine/install/",
      };
    case "ssh":
      if (!isDockerBySsh) return { ...check, state: "ok", found: "not here; only a Docker host by ssh:// needs it" };
      return { ...check, state: "missing", found: "not here: the Docker host is reached by ssh", fix: install(sshPackages, machine) };
    case "git":
      return { ...check, state: "missing", found: "not here: no sources can be checked out", fix: install({}, machine) };
    case "go":
      if (!isProgramAbsent) return { ...check, state: "ok", found: "not here; nothing has to be built" };
      return {
        ...check,
        state: "warning",
        found: "not here: a program that cannot be downloaded cannot be built either",
        fix: "# install it: https://go.dev/dl/",
      };
  }
}

const sshPackages: Partial<Record<Installer, string>> = {
  "apt-get": "openssh-client",
  dnf: "openssh-clients",
  zypper: "openssh-clients",
  pacman: "openssh",
  apk: "openssh-client",
  brew: "openssh",
};

function install(packages: Partial<Record<Installer, string>>, machine: Machine): string {
  const { installer } = machine;
  if (!installer) return "# install it with the packages of your system";
  const verb = { "apt-get": "install -y", dnf: "install -y", zypper: "install -y", pacman: "-S", apk: "add", brew: "install" }[installer];
  const command = `${installer} ${verb} ${packages[installer] ?? "git"}`;
  return installer === "brew" ? command : asRoot(command, machine);
}
