/**
 * The containers of a job, as its runner has them before the first step: the one that steps run in, and services, all asked for at
 * the server. Steps reach a service by its name, and its `ports` on localhost, where this process listens for them.
 */
import { copyFileSync, mkdirSync } from "node:fs";
import { connect } from "node:net";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { pause } from "../../base/wait.ts";
import { Listener } from "../../hosts/listener.ts";
import type { ContainerSpec, ServiceSpec } from "../../resources/container.ts";
import { builtInOf } from "../../workflows/actions/built-in.ts";
import { parseContainerPort, splitWords } from "../../workflows/container-options.ts";
import { interpolate, type Json, type Scope } from "../../workflows/expressions/expressions.ts";
import type { ContainerAnswer, ContainerRequest } from "./container-protocol.ts";
import type { JobFolders } from "../job.ts";
import type { AssignmentMessage } from "../protocol.ts";
import type { ServerLink } from "../server-link.ts";
import { StepLoop, type StepLoopOptions } from "../steps/step-loop.ts";

export interface ContainersOptions {
  assignment: AssignmentMessage;
  folders: JobFolders;
  link: Pick<ServerLink, "ask">;
  /** Of the loop of the job's container. */
  loop: Omit<StepLoopOptions, "env">;
  /** A line of ours in the log, masked. */
  say(line: string): void;
  /** What a container said, masked. */
  print(text: string): void;
  /** Aborted when the job shall end before it has begun. */
  signal: AbortSignal;
  /** Of this process. */
  node: string;
}

export interface Containers {
  /** Where steps run; undefined: beside this process. */
  loop?: StepLoop;
  /** What they inherit there. */
  inherited?: Readonly<Record<string, string>>;
  /** A Node that works there, where the image has the C library of the runner's. */
  node?: string;
  /** `job.container`, `job.services`. */
  context: Readonly<Record<string, Json>>;
}

/** Why a job does not begin: an image, or a container, is not to be had. */
export class ContainerError extends SeatrialError {
  readonly verdictCause: "image" | "container";

  constructor(verdictCause: "image" | "container", message: string) {
    super("not-found", message);
    this.name = "ContainerError";
    this.verdictCause = verdictCause;
  }
}

/** What Docker gives a container whose image has no PATH, and does not tell. */
const dockersPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

type Running = Extract<ContainerAnswer, { state: "running" }>;
type Ended = Extract<ContainerAnswer, { state: "ended" }>;

/** Asks until it was made. @throws ContainerError */
export async function makeContainer(
  link: Pick<ServerLink, "ask">,
  request: ContainerRequest,
  what: string,
  signal: AbortSignal,
): Promise<Running | Ended> {
  const startedAt = performance.now();
  for (;;) {
    signal.throwIfAborted();
    const { body } = await link.ask<ContainerAnswer>("POST", "containers", request);
    if (body.state === "failed") throw new ContainerError(body.cause, `${what}: ${body.message}`);
    if (body.state !== "busy") return body;
    if (performance.now() - startedAt > limits.containersReadyMs)
      throw new ContainerError("image", `${what}: its image is not there after ${limits.containersReadyMs / 60_000} minutes`);
  }
}

/**
 * Makes them, and waits until services are healthy. @param ways takes what is to be closed when the job has ended.
 * @throws ContainerError; SeatrialError `invalid` for an expression; the signal's reason.
 */
export async function openContainers(options: ContainersOptions, ways: AsyncDisposableStack): Promise<Containers> {
  const { assignment, say } = options;
  const { container, services = [] } = assignment;
  if (!container && services.length === 0) return { context: {} };
  const scope = scopeOf(options);
  for (const { name, image } of [...(container ? [{ name: "the job", ...container }] : []), ...services])
    say(`Container of ${name}: ${image}`);
  // All are made at once; the first that fails is why the job does, and ends the others.
  const over = new AbortController();
  const each = { ...options, signal: AbortSignal.any([options.signal, over.signal]) };
  const opening = container && openLoop(each, container, scope);
  const others = services.map(async (service) => await openService(each, service, scope, ways));
  try {
    await Promise.all([opening, ...others]);
  } catch (error) {
    over.abort(error);
    const [loop] = await Promise.allSettled([opening, ...others]);
    if (loop?.status === "fulfilled") await (loop.value as Awaited<typeof opening>)?.loop.end();
    throw error;
  }
  const [own, all] = [await opening, await Promise.all(others)];
  const ofServices = Object.fromEntries(services.map(({ name }, i) => [name, all[i]!]));
  // They are on one network, which the job's container is on, too.
  const network = Object.values(ofServices)[0]?.["network"];
  const { context: ofOwn, ...rest } = own ?? { context: undefined };
  const context: Record<string, Json> = {
    ...(ofOwn ? { container: { ...ofOwn, ...(network === undefined ? {} : { network }) } } : {}),
    ...(services.length > 0 ? { services: ofServices } : {}),
  };
  return { ...rest, context };
}

async function openLoop(options: ContainersOptions, spec: ContainerSpec, scope: Scope) {
  const { folders, link, loop, say, signal, assignment, node } = options;
  const home = join(dirname(folders.steps), "home");
  mkdirSync(home, { recursive: true });
  const request: ContainerRequest = { role: "job", name: "job", ...requestOf(spec, scope) };
  const what = "the container of the job";
  let running: Running | undefined;
  const see = (answer: Running | Ended): Running => {
    if (answer.state === "running") return answer;
    const why = answer.isOutOfMemory ? "it was out of memory" : `exit code ${answer.exitCode}`;
    throw new ContainerError("container", [`${what} ended before the first step: ${why}`, answer.log].filter(Boolean).join("\n"));
  };
  const opened = await StepLoop.inContainer({
    ...loop,
    env: {},
    folders: [home, ...Object.values(folders as unknown as Record<string, string>)],
    begin: async () => {
      running = see(await makeContainer(link, request, what, signal));
    },
    whyNone: async () => {
      see(await makeContainer(link, request, what, signal));
      return undefined;
    },
  });
  const { id, image, env } = running!;
  say(`The job runs in ${image}`);
  const own = Object.fromEntries(env.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
  return {
    loop: opened,
    inherited: { PATH: dockersPath, ...own },
    context: { id },
    ...(needsNode(assignment) ? { node: nodeIn(dirname(folders.steps), node) } : {}),
  };
}

async function openService(
  options: ContainersOptions,
  spec: ServiceSpec,
  scope: Scope,
  ways: AsyncDisposableStack,
): Promise<Record<string, Json>> {
  const { link, say, print, signal } = options;
  const { name, ports = [] } = spec;
  const request: ContainerRequest = { role: "service", name, ...requestOf(spec, scope) };
  const what = `service ${name}`;
  const fail = (why: string, log: string | undefined): ContainerError => {
    // Indented: a service gives the job no commands.
    if (log) print(`::group::Log of service ${name}\n${log.replaceAll(/^/gm, "  ")}\n::endgroup::\n`);
    return new ContainerError("container", `${what} ${why}`);
  };
  const startedAt = performance.now();
  for (;;) {
    const seen = await makeContainer(link, request, what, signal);
    if (seen.state === "ended") {
      if (seen.exitCode !== 0 || ports.length > 0)
        throw fail(`ended before the first step: ${seen.isOutOfMemory ? "out of memory" : `exit code ${seen.exitCode}`}`, seen.log);
      say(`Service ${name} has ended, with exit code 0`);
      return { id: "", ports: {} };
    }
    if (seen.health === "unhealthy") throw fail("is unhealthy: its health check failed as often as `--health-retries` lets it", seen.log);
    if (seen.health !== "starting") return await reach(seen, spec, ways, say);
    if (performance.now() - startedAt > limits.containersReadyMs)
      throw fail(`is not healthy after ${limits.containersReadyMs / 60_000} minutes`, seen.log);
    await pause(limits.containerPollMs, signal);
  }
}

/** Its ports, on localhost. */
async function reach(
  { id, image, address, network, health }: Running,
  { name, ports = [] }: ServiceSpec,
  ways: AsyncDisposableStack,
  say: (line: string) => void,
): Promise<Record<string, Json>> {
  const reached: Record<string, string> = {};
  for (const { job, container } of ports.map(parseContainerPort)) {
    const dial = async () => {
      const socket = connect({ host: address!, port: container });
      await once(socket, "connect");
      return socket;
    };
    const listener = await Listener.open({ port: job }, dial).catch((error: unknown) => {
      throw new ContainerError("container", `service ${name}: port ${job} of localhost is taken: ${(error as Error).message}`);
    });
    ways.use(listener);
    reached[String(container)] = String(listener.port);
  }
  const where = Object.entries(reached).map(([port, at]) => `port ${port} at localhost:${at}`);
  say([`Service ${name} is ${health ?? "started"}: ${image}`, ...where].join(", "));
  return { id, network: network ?? "", ports: reached };
}

/** What is asked of the server, with nothing left to expand. */
function requestOf(spec: ContainerSpec, scope: Scope): Omit<ContainerRequest, "role" | "name"> {
  const { image, credentials, env = {}, volumes, options, entrypoint, command } = spec;
  const expanded = (text: string) => interpolate(text, scope);
  return {
    image,
    ...(credentials ? { credentials: { username: expanded(credentials.username), password: expanded(credentials.password) } } : {}),
    env: Object.fromEntries(Object.entries(env).map(([name, text]) => [name, expanded(text)])),
    ...(volumes ? { volumes } : {}),
    ...(options === undefined ? {} : { options }),
    ...(entrypoint === undefined ? {} : { entrypoint: splitWords(entrypoint) }),
    ...(command === undefined ? {} : { command: splitWords(command) }),
  };
}

/** GitHub's contexts of `env` and `credentials`. */
function scopeOf({ assignment, folders }: ContainersOptions): Scope {
  const contexts = assignment.contexts as Record<string, Json>;
  const empty = { needs: {}, matrix: {}, strategy: {}, vars: {}, inputs: {} };
  const base = {
    ...empty,
    ...contexts,
    secrets: assignment.secrets,
    job: { status: "success" },
    runner: {
      os: "Linux",
      environment: "self-hosted",
      name: "seatrial",
      temp: folders.temp,
      tool_cache: folders.tools,
      ...(contexts["runner"] as object),
    },
  };
  const env = Object.fromEntries(
    Object.entries(assignment.env).map(([name, text]) => [name, interpolate(text, { contexts: { ...base, env: {} } })]),
  );
  return { contexts: { ...base, env } };
}

function needsNode({ steps }: AssignmentMessage): boolean {
  return steps.some(({ uses }) => uses !== undefined && !uses.startsWith("docker://") && !builtInOf(uses));
}

/** In the volume that the containers share: a hundred MB that are copied once for a job that has actions. */
function nodeIn(folder: string, node: string): string {
  const path = join(folder, "node");
  copyFileSync(node, path);
  return path;
}
