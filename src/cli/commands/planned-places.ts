/** Where a planned job would run on this machine, and why: as `seatrial run` would decide it now. Nothing is started. */
import { messageOf } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { platform } from "../../programs/cache.ts";
import { localHost } from "../../controllers/job-run/schedule.ts";
import type { ExecutorName } from "../../resources/job-run.ts";
import { userConfigPath } from "../../server/runs-on.ts";
import { hasContainers } from "../../workflows/containers.ts";
import type { PlannedJobRun } from "../../workflows/plan/decide.ts";
import { platformOf, ruleFor, type RunsOnRule } from "../../workflows/runs-on.ts";
import type { CommandContext } from "../cli.ts";
import { type ExecutorChoice, executorOf } from "./options.ts";

export interface PlannedPlace {
  host: string;
  executor: ExecutorName;
  /** What the container is made from; absent for a process. */
  image?: string;
  /** What decided it, sentence by sentence. */
  why: string[];
}

/** The Docker host of this machine, or why there is none. */
type DockerHere = { address: string; platform: string } | { trouble: string };

export class PlannedPlaces {
  readonly #rules: readonly RunsOnRule[];
  readonly #choice: ExecutorChoice;
  /** What made the choice. */
  readonly #chosenBy: string;
  readonly #configPath: string;
  readonly #docker: DockerHere;

  static async look(context: CommandContext, rules: readonly RunsOnRule[], given: ExecutorChoice | undefined): Promise<PlannedPlaces> {
    return new PlannedPlaces(context, rules, given, await dockerHere(context));
  }

  private constructor(
    { environment }: CommandContext,
    rules: readonly RunsOnRule[],
    given: ExecutorChoice | undefined,
    docker: DockerHere,
  ) {
    this.#rules = rules;
    this.#choice = executorOf(given, environment);
    this.#chosenBy = given === undefined ? "SEATRIAL_EXECUTOR" : "--executor";
    this.#configPath = userConfigPath(environment);
    this.#docker = docker;
  }

  of(planned: PlannedJobRun): PlannedPlace {
    const { labels, container, clusters = [] } = planned;
    const rule = ruleFor(labels, this.#rules);
    const executor = rule?.executor ?? (rule?.image === undefined ? this.#default() : "docker");
    const asked = `runs-on ${labels.join(", ")}`;
    const why =
      rule !== undefined
        ? `${asked}: the rule for ${rule.labels.join(", ")} in ${this.#configPath} says executor ${executor}`
        : `${labels.length > 0 ? `${asked} means Linux, as everywhere here` : "no runs-on"}; executor ${executor}: ${this.#whyDefault()}`;
    const image = rule?.image ?? (executor === "docker" ? "the runner's" : undefined);
    const isContained = hasContainers(planned);
    const needsDocker = executor === "docker" || clusters.some(({ spec }) => spec.provider === "kind") || isContained;
    return {
      host: localHost,
      executor,
      ...(image === undefined ? {} : { image }),
      why: [
        why,
        ...(container ? [`its steps run in a container of ${container.image}`] : []),
        ...clusters.map(({ name, spec }) => `${name} is ${spec.provider}: ${whereOf[spec.provider]}`),
        ...this.#whyNotHere(labels, rule, executor),
        ...(isContained && executor === "host" ? [notContained] : []),
        ...(needsDocker && "trouble" in this.#docker ? [`it needs Docker, and cannot run now: ${this.#docker.trouble}`] : []),
      ],
    };
  }

  #whyNotHere(labels: readonly string[], rule: RunsOnRule | undefined, executor: ExecutorName): string[] {
    const { architecture } = platformOf(labels, rule);
    const docker = "trouble" in this.#docker ? undefined : this.#docker.platform.split("/")[1];
    const here = executor === "docker" ? docker : platform().arch;
    if (architecture === undefined || here === undefined || here === architecture) return [];
    return [`it cannot run here: host ${localHost} is ${here}, and its labels ask for ${architecture}`];
  }

  #default(): ExecutorName {
    if (this.#choice !== "auto") return this.#choice;
    return "trouble" in this.#docker ? "host" : "docker";
  }

  #whyDefault(): string {
    if (this.#choice !== "auto") return `${this.#chosenBy} says so`;
    return "trouble" in this.#docker
      ? `no Docker here: ${this.#docker.trouble}`
      : `Docker answers at ${this.#docker.address} (${this.#docker.platform})`;
  }
}

const notContained = "it cannot run so: it has a container, services or Docker actions, which need executor docker";

const whereOf: Readonly<Record<"kind" | "bare", string>> = {
  kind: "its nodes are containers of the Docker host",
  bare: "etcd and kube-apiserver, as processes of this machine",
};

async function dockerHere({ workspace, signals }: CommandContext): Promise<DockerHere> {
  try {
    const { address, client } = await workspace.docker();
    const timely = AbortSignal.any([signals.signal, AbortSignal.timeout(limits.hostAnswerMs)]);
    const { Os, Arch } = await client.version(timely);
    return { address, platform: `${Os}/${Arch}` };
  } catch (error) {
    signals.signal.throwIfAborted();
    return { trouble: messageOf(error).split("\n")[0]! };
  }
}
