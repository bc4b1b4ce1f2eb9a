/**
 * What runners ask: the server's side of runner/protocol.ts. Every route is below one attempt, and answers the token of that
 * attempt alone, while it runs. Handlers write to a store and answer; nothing is kept here.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { HttpBindings } from "@hono/node-server";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { attemptPrefix, checkKey, type ObjectStore } from "../../artifacts/object-store.ts";
import type { UploadPack } from "../../git/upload-pack.ts";
import type { AttemptRecord } from "../../history/attempts.ts";
import type { History } from "../../history/history.ts";
import { LogGapError, type LogStore } from "../../logs/log-store.ts";
import { containerRequestSchema } from "../../runner/containers/container-protocol.ts";
import { type AssignmentMessage, reportSchema } from "../../runner/protocol.ts";
import type { AttemptMasks } from "./attempt-masks.ts";
import { BytesInFlight } from "../bytes-in-flight.ts";
import type { ContainerDesk } from "./container-desk.ts";
import { actionRoutes, type RunnerActionsOptions } from "./runner-actions.ts";
import { lengthOf, type RunnerStorageOptions, storageRoutes } from "./runner-storage.ts";

export interface RunnerApiOptions {
  history: History;
  logs: LogStore;
  objects: ObjectStore;
  uploadPack: UploadPack;
  tokens: RunnerTokens;
  masks: AttemptMasks;
  /** What an attempt that has begun shall do. @throws SeatrialError, retryable when it can be asked again. */
  assign(attempt: AttemptRecord): Promise<AssignmentMessage>;
  /** The folder and the commit that an attempt may fetch; undefined when it has none. */
  sourceOf(attempt: AttemptRecord): Promise<{ folder: string; commit: string } | undefined>;
  /** Whose named artifacts and caches an attempt sees; without it none. */
  placeOf?: RunnerStorageOptions["placeOf"];
  /** Finds the actions of steps; without it there are none. */
  actions?: RunnerActionsOptions;
  /** Gives runners containers beside their own; without it none. */
  containers?: ContainerDesk;
  /** Why no log and no artifact can be taken now; undefined when they can. */
  whyNoUploads?(): string | undefined;
  now(): Date;
}

/** Tokens of attempts: made from the server's own key, so that none is kept, and a restart knows them all. */
export class RunnerTokens {
  readonly #key: Uint8Array;

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  of(attempt: string): string {
    return createHmac("sha256", this.#key).update(`runner ${attempt}`).digest("base64url");
  }

  /** `github.token` of its steps: it reads the repository, and is good for nothing else; not even for the attempt's own report. */
  ofSteps(attempt: string): string {
    return createHmac("sha256", this.#key).update(`steps ${attempt}`).digest("base64url");
  }

  /** What the values of {@link AttemptMasks} are encrypted with. */
  keyOfMasks(attempt: string): Uint8Array {
    return createHmac("sha256", this.#key).update(`masks ${attempt}`).digest();
  }

  isRight(attempt: string, token: string): boolean {
    return isEqual(token, this.of(attempt));
  }

  isOfSteps(attempt: string, token: string): boolean {
    return isEqual(token, this.ofSteps(attempt));
  }
}

function isEqual(given: string, right: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}

type Variables = { Variables: { attempt: AttemptRecord } };

export function runnerApi(options: RunnerApiOptions): Hono<Variables> {
  const { history, logs, objects, tokens, now } = options;
  const inFlight = new BytesInFlight();
  const app = new Hono<Variables>();

  app.use("/runner/v1/attempts/:attempt/*", async (context, next) => {
    const uid = context.req.param("attempt");
    const [, bearer, basic] = /^(?:Bearer (\S+)|Basic (\S+))$/i.exec(context.req.header("authorization") ?? "") ?? [];
    // git knows names and passwords alone: the token is the password, whatever the name.
    const token =
      bearer ??
      Buffer.from(basic ?? "", "base64")
        .toString()
        .replace(/^[^:]*:/, "");
    const isGit = /^\/runner\/v1\/attempts\/[^/]+\/git\//.test(context.req.path);
    if (!tokens.isRight(uid, token) && !(isGit && tokens.isOfSteps(uid, token)))
      return context.json({ error: "this is not the token of that attempt" }, 401);
    const attempt = await history.attempts.get(uid);
    if (!attempt || attempt.result) return context.json({ error: "that attempt has ended" }, 401);
    context.set("attempt", attempt);
    return await next();
  });

  // What cannot be stored ends the attempt, before half of it is: its runner would wait with a log that grows on the same disk.
  const roomOrEnd: MiddlewareHandler<Variables> = async (context, next) => {
    const why = options.whyNoUploads?.();
    if (why === undefined) return await next();
    const message = `its log and artifacts cannot be stored: ${why}`;
    await history.attempts.end(context.get("attempt").uid, { verdict: "error", cause: "host", message }, now());
    return context.json({ error: message }, 401);
  };

  app.get("/runner/v1/attempts/:attempt/assignment", async (context) => {
    const attempt = context.get("attempt");
    // It holds all secrets of the job, and a step may have found the token: who has reported has it already.
    if (attempt.heardAt > attempt.createdAt) return context.json({ error: "the assignment was given" }, 403);
    return context.json(await options.assign(attempt));
  });

  app.post("/runner/v1/attempts/:attempt/report", atMost(limits.reportBytes), async (context) => {
    const parsed = reportSchema.safeParse(await context.req.json());
    if (!parsed.success) return context.json({ error: parsed.error.message }, 400);
    const { uid } = context.get("attempt");
    const { result, masks } = parsed.data;
    if (result) {
      const size = (await logs.info(uid))?.size ?? 0;
      if (size < result.logBytes) return context.json({ error: `the log has ${size} bytes, and ${result.logBytes} were announced` }, 409);
    }
    if (masks && masks.length > 0) await options.masks.add(uid, masks);
    const outcome = await history.attempts.recordReport(uid, parsed.data, now());
    if (outcome.state !== "recorded") return context.json({ error: "that attempt has ended" }, 401);
    return context.json(outcome.abort === undefined ? {} : { abort: outcome.abort });
  });

  app.post("/runner/v1/attempts/:attempt/log", atMost(limits.logAppendBytes), roomOrEnd, async (context) => {
    const offset = Number(context.req.query("offset"));
    const bytes = await bodyOf(context);
    try {
      return context.json({ offset: await logs.append(context.get("attempt").uid, offset, bytes, now()) });
    } catch (error) {
      if (error instanceof LogGapError) return context.json({ offset: error.expected }, 409);
      throw error;
    }
  });

  app.put("/runner/v1/attempts/:attempt/artifacts/:path{.+}", roomOrEnd, async (context) => {
    const { uid } = context.get("attempt");
    const path = context.req.param("path");
    const key = `${attemptPrefix(uid)}/artifacts/${path}`;
    checkKey(key);
    // Those have a way of their own, and do not change when they are finished.
    if (/^uploads(\/|$)/.test(path)) return context.json({ error: "that folder is for artifacts with a name" }, 400);
    const size = lengthOf(context);
    const body = (context.req.raw.body ?? new Uint8Array()) as AsyncIterable<Uint8Array> | Uint8Array;
    using sending = inFlight.begin(uid, size);
    const left = limits.attemptArtifactBytes - (await history.attempts.artifactBytes(uid)) - sending.all + size;
    if (left <= 0 || size > left) return context.json({ error: `an attempt may leave ${limits.attemptArtifactBytes} bytes` }, 413);
    const stored = await objects.put(key, body, { size, most: Math.min(limits.artifactBytes, left) });
    const contentType = "application/octet-stream";
    const hasRoom = await history.attempts.recordArtifact(uid, { path, size: stored.size, digest: stored.digest, contentType, key });
    if (hasRoom) return context.json({ digest: stored.digest });
    await objects.delete(key);
    return context.json({ error: `an attempt may have ${limits.attemptArtifacts} artifacts` }, 413);
  });

  app.get("/runner/v1/attempts/:attempt/git/info/refs", async (context) => {
    const source = await options.sourceOf(context.get("attempt"));
    if (!source) return context.json({ error: "this attempt has no repository" }, 404);
    return await options.uploadPack.advertise(context.req.raw, { folder: source.folder, commits: [source.commit] });
  });

  app.post("/runner/v1/attempts/:attempt/git/git-upload-pack", async (context) => {
    const source = await options.sourceOf(context.get("attempt"));
    if (!source) return context.json({ error: "this attempt has no repository" }, 404);
    return await options.uploadPack.serve(context.req.raw, { folder: source.folder, commits: [source.commit] });
  });

  app.post("/runner/v1/attempts/:attempt/containers", atMost(limits.containerRequestBytes), async (context) => {
    const parsed = containerRequestSchema.safeParse(await context.req.json());
    if (!parsed.success) return context.json({ error: parsed.error.message }, 400);
    if (!options.containers) return context.json({ error: "there are no containers here" }, 404);
    return context.json(await options.containers.ask(context.get("attempt"), parsed.data));
  });

  app.post("/runner/v1/attempts/:attempt/containers/:name/end", atMost(limits.reportBytes), async (context) => {
    await options.containers?.end(context.get("attempt"), context.req.param("name"));
    return context.json({});
  });

  if (options.actions) actionRoutes(app, options.actions, atMost(limits.reportBytes));

  const { placeOf } = options;
  if (placeOf) storageRoutes(app, { ...options, placeOf, inFlight }, roomOrEnd);

  app.onError((error, context) => {
    const isTheirs = error instanceof SeatrialError && error.code === "invalid";
    return context.json({ error: messageOf(error) }, isTheirs ? 400 : 503);
  });
  return app;
}

/** Refuses a body that is longer, or that does not say how long it is: runners always do, and HTTP then holds them to it. */
function atMost(bytes: number): MiddlewareHandler {
  return async (context, next) => {
    const length = Number(context.req.header("content-length") ?? NaN);
    return length <= bytes ? await next() : context.json({ error: `a body of ${bytes} bytes is possible, and must say its length` }, 413);
  };
}

/**
 * The body of a request, read from the connection into one buffer: each copy that a web stream makes of a flood of log is garbage,
 * and collecting that took more of the server's time than all the rest.
 */
async function bodyOf({ req, env }: Context): Promise<Uint8Array> {
  const { incoming } = (env ?? {}) as Partial<HttpBindings>;
  const length = Number(req.header("content-length") ?? NaN);
  if (!incoming) return new Uint8Array(await req.arrayBuffer());
  const bytes = Buffer.allocUnsafeSlow(length);
  let at = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) at += chunk.copy(bytes, at);
  return bytes.subarray(0, at);
}
