/** From what was seen of a machine to all findings, in the order of the table. Pure. */
import { defaultKubernetesVersion } from "../programs/versions.ts";
import { programNames } from "../programs/programs.ts";
import type { Check } from "./check.ts";
import { judgeCgroup, judgeDocker, judgeNodeImage } from "./docker.ts";
import { judgeCacheDisk, judgeDataDisk, judgeDockerDisk, judgeFolder, judgeInotify, judgeMemory } from "./host.ts";
import { judgeLeftovers } from "./leftovers.ts";
import type { Observations } from "./look.ts";
import { judgeProgram, judgeTool, type ToolName } from "./programs.ts";
import { judgeSubnets } from "./subnets.ts";

const toolNames: readonly ToolName[] = ["docker-cli", "git", "ssh", "go"];

export function judge(seen: Observations): Check[] {
  const { machine, tools, programs, docker } = seen;
  const hasGo = isThere(tools.go);
  const absent = programNames.filter((name) => "value" in programs[name] && !programs[name].value);
  const toolNeeds = {
    machine,
    isDockerBySsh: "value" in seen.endpoint && seen.endpoint.value.kind === "ssh",
    isProgramAbsent: absent.length > 0,
  };
  const builds = hasGo && absent.some((name) => !seen.sites[name]);
  const minor = defaultKubernetesVersion.split(".").slice(0, 2).join(".");
  return [
    ...programNames.map((name) => judgeProgram(name, programs[name], { site: seen.sites[name], hasGo })),
    ...toolNames.map((name) => judgeTool(name, tools[name], toolNeeds)),
    judgeDocker(seen.endpoint, docker, { machine, hasCli: isThere(tools["docker-cli"]) }),
    judgeNodeImage(docker, minor),
    judgeCgroup(docker, defaultKubernetesVersion, machine),
    judgeInotify(seen.inotify, machine),
    judgeSubnets(seen.networks, seen.ways),
    judgeDockerDisk(seen.dockerDisk),
    judgeDataDisk(seen.dataDisk),
    judgeCacheDisk(seen.cacheDisk, builds),
    ...judgeMemory(seen.memory, "value" in docker ? { place: docker.value.place, totalBytes: docker.value.memoryBytes } : undefined),
    judgeLeftovers(seen.leftovers),
    judgeFolder("data-folder", seen.dataFolder, "SEATRIAL_HOME"),
    judgeFolder("cache-folder", seen.cacheFolder, "SEATRIAL_CACHE"),
  ];
}

function isThere(tool: Observations["tools"][ToolName]): boolean {
  return "value" in tool && tool.value !== undefined;
}
