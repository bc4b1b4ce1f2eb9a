/**
 * Where runners get the containers that they ask for (runner/containers/container-protocol.ts): images are resolved once for a run, pulled or built,
 * and the containers made by the executor of the attempt's host.
 *
 * What takes long goes on behind an answer `busy`, for as long as this process lives; a runner asks again, and after a restart what
 * is not there is begun anew. What became of an image is in the attempt's status before a container of it runs.
 */
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { pause } from "../../base/wait.ts";
import type { AttemptRecord } from "../../history/attempts.ts";
import { ApiError } from "../../kube/api-error.ts";
import type { Store } from "../../kube/store.ts";
import { type JobRun, jobRunKind } from "../../resources/job-run.ts";
import type { Stored } from "../../resources/object.ts";
import { runLabels } from "../../resources/run.ts";
import { type AttemptContainers, partOf } from "../../runner/containers/attempt-containers.ts";
import type { ContainerAnswer, ContainerRequest } from "../../runner/containers/container-protocol.ts";
import type { Executor } from "../../runner/executors/executor.ts";

export interface ContainerDeskOptions {
  store: Store;
  /** The executor of an attempt. @throws SeatrialError `unreachable` (retryable) when its host does not answer. */
  executorOf(attempt: AttemptRecord): Executor;
  /** Whether what its host has may be of the trusted lane. */
  servesTrusted(attempt: AttemptRecord): boolean;
}

type Failed = Extract<ContainerAnswer, { state: "failed" }>;

/** Calls may be made concurrently. */
export class ContainerDesk {
  readonly #options: ContainerDeskOptions;
  /** By attempt and name: what is being made, and why it could not be. */
  readonly #making = new Map<string, Promise<Failed | undefined>>();
  /** How many of an attempt are being made now. */
  readonly #busy = new Map<string, number>();
  /** By run and reference: images that are being resolved. */
  readonly #resolving = new Map<string, Promise<string>>();

  constructor(options: ContainerDeskOptions) {
    this.#options = options;
  }

  /** @throws SeatrialError, retryable, when it can be asked again. */
  async ask(attempt: AttemptRecord, request: ContainerRequest): Promise<ContainerAnswer> {
    const { containers } = this.#options.executorOf(attempt);
    if (!containers)
      return failed("container", "the job runs as a process of the server's machine, and a container needs executor docker: a Docker host");
    const key = `${attempt.uid} ${partOf(request)}`;
    let making = this.#making.get(key);
    if (!making) {
      const there = await this.#look(containers, attempt.uid, request);
      if (there) return there;
      if ((this.#busy.get(attempt.uid) ?? 0) >= limits.containersAtOnce) {
        await pause(limits.containerPollMs);
        return { state: "busy" };
      }
      making = this.#counted(attempt.uid, this.#make(containers, attempt, request));
      this.#making.set(key, making);
      // What is there is seen there; only why it is not is kept until the runner hears it.
      making.then(
        (why) => why ?? this.#making.delete(key),
        () => this.#making.delete(key),
      );
      for (const [oldest] of this.#making) if (this.#making.size > limits.containersMade) this.#making.delete(oldest);
    }
    const over = new AbortController();
    const late = pause(limits.containerAnswerMs, over.signal).then(
      () => "late" as const,
      () => "late" as const,
    );
    const end = await Promise.race([making, late]).finally(() => over.abort());
    if (end === "late") return { state: "busy" };
    this.#making.delete(key);
    return end ?? (await this.#look(containers, attempt.uid, request)) ?? failed("container", `container ${request.name} is gone`);
  }

  /** No error when there is none. */
  async end(attempt: AttemptRecord, part: string): Promise<void> {
    await this.#options.executorOf(attempt).containers?.remove(attempt.uid, part);
  }

  async #look(containers: AttemptContainers, attempt: string, request: ContainerRequest): Promise<ContainerAnswer | undefined> {
    const part = partOf(request);
    const view = await containers.observe(attempt, part);
    if (!view) return undefined;
    const { state, exitCode, isOutOfMemory, ...rest } = view;
    const log = async () => await containers.logOf(attempt, part);
    if (state === "ended") {
      const said = request.role === "action" ? await containers.outputOf(attempt, part) : await log();
      return { state, exitCode, isOutOfMemory, log: said };
    }
    return { state, ...rest, ...(view.health === "unhealthy" ? { log: await log() } : {}) };
  }

  async #counted<T>(attempt: string, making: Promise<T>): Promise<T> {
    this.#busy.set(attempt, (this.#busy.get(attempt) ?? 0) + 1);
    try {
      return await making;
    } finally {
      const left = this.#busy.get(attempt)! - 1;
      if (left > 0) this.#busy.set(attempt, left);
      else this.#busy.delete(attempt);
    }
  }

  /** @returns why it cannot be. */
  async #make(containers: AttemptContainers, attempt: AttemptRecord, request: ContainerRequest): Promise<Failed | undefined> {
    const { store } = this.#options;
    let image: string;
    let isIsolated: boolean;
    try {
      const jobRun = await store.get(jobRunKind, attempt.jobRun.name);
      if (!jobRun) return failed("container", "the job is gone");
      isIsolated = jobRun.spec.lane !== "trusted";
      if (isIsolated && request.credentials)
        return failed("image", "credentials for an image are not used for changes that are not trusted");
      // What the host has by name, by id, or in its cache of builds may hold what was fetched with a secret.
      const isAmongTrusted = isIsolated && this.#options.servesTrusted(attempt);
      if (isAmongTrusted && request.build) return failed("image", `${whyNoBuild}: host ${attempt.host} serves trusted ones, too`);
      image = request.build
        ? await containers.build(attempt.uid, request.name, request.build, isIsolated)
        : await this.#imageOf(containers, jobRun, request, isAmongTrusted);
      const reference = request.build ? `${request.build.folder}/${request.build.file}` : request.image!;
      await this.#note(attempt, reference, image);
    } catch (error) {
      if (isAway(error)) throw error;
      return failed("image", messageOf(error));
    }
    try {
      await containers.start(attempt.uid, request, image, isIsolated);
      return undefined;
    } catch (error) {
      if (isAway(error)) throw error;
      return failed("container", messageOf(error));
    }
  }

  /** @returns what the host has it as, once it has. @param mustBePublic whether it must be what everybody gets by that name. */
  async #imageOf(
    containers: AttemptContainers,
    jobRun: Stored<JobRun>,
    { image: asked, credentials }: ContainerRequest,
    mustBePublic: boolean,
  ): Promise<string> {
    if (asked === undefined) throw new SeatrialError("invalid", "neither an image nor a Dockerfile was named");
    const reference = asked.replace(/^docker:\/\//, "");
    const key = `${jobRun.spec.run} ${mustBePublic} ${reference}`;
    let resolving = this.#resolving.get(key);
    if (!resolving) {
      const resolve = async () => {
        const known = await this.#known(jobRun, reference);
        // Another job of the run may have had it where it need not be public.
        if (mustBePublic) return await containers.publicDigestOf(known ?? reference);
        return known ?? (await containers.digestOf(reference, credentials));
      };
      resolving = resolve().finally(() => this.#resolving.delete(key));
      this.#resolving.set(key, resolving);
    }
    let image = await resolving;
    if (await containers.hasImage(image)) return image;
    // An id is good on one host alone.
    if (image.startsWith("sha256:")) image = await containers.digestOf(reference, credentials);
    else await containers.pull(image, credentials);
    return image;
  }

  /** One digest for all jobs of a run, once it has been written down. */
  async #known(jobRun: Stored<JobRun>, reference: string): Promise<string | undefined> {
    const { items } = await this.#options.store.list(jobRunKind, { selector: { [runLabels.run]: jobRun.spec.run } });
    const known = items.flatMap(({ status }) => status?.attempts ?? []).flatMap(({ images }) => images ?? []);
    return known.find((each) => each.reference === reference)?.digest;
  }

  /** Writes down what an image was; others write the same status, and whoever comes second looks again. */
  async #note(attempt: AttemptRecord, asked: string, digest: string): Promise<void> {
    const { store } = this.#options;
    const reference = asked.replace(/^docker:\/\//, "");
    for (let tries = 0; ; tries++) {
      const jobRun = await store.get(jobRunKind, attempt.jobRun.name);
      if (!jobRun) return;
      const { number, uid, executor, host, endpoint } = attempt;
      const all = jobRun.status?.attempts ?? [];
      const own = all.find((each) => each.uid === uid) ?? { number, uid, executor, host, ...(endpoint === undefined ? {} : { endpoint }) };
      if (own.images?.some((each) => each.reference === reference && each.digest === digest)) return;
      const images = [...(own.images ?? []), { reference: reference.slice(0, 1024), digest }].slice(-100);
      const attempts = [...all.filter((each) => each.uid !== uid), { ...own, images }];
      try {
        await store.writeStatus(jobRunKind, jobRun, { ...jobRun.status, attempts });
        return;
      } catch (error) {
        if (!(error instanceof ApiError && error.reason === "conflict") || tries >= limits.statusTries) throw error;
      }
    }
  }
}

const whyNoBuild = "a Dockerfile of a change that is not trusted is built only where nothing else is";

/** Its Docker does not answer: the runner asks again, as it does while the server is away. */
function isAway(error: unknown): boolean {
  return error instanceof SeatrialError && error.code === "unreachable";
}

function failed(cause: Failed["cause"], message: string): Failed {
  return { state: "failed", cause, message };
}
