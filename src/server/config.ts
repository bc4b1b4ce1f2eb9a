/** `up --config FILE`: the forges of a server, and what it keeps. Secrets are in files that it names, never in it. */
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { InvalidError, messageOf, SeatrialError } from "../base/errors.ts";
import type { Forge } from "../forges/forge.ts";
import { Gitea } from "../forges/gitea/gitea.ts";
import type { KeyPlace } from "../secrets/key.ts";
import type { RunsOnRule } from "../workflows/runs-on.ts";
import { type ActionMirror, actionsSchema, defaultMirrors } from "./runners/action-store.ts";
import { readConfigFile } from "./config-file.ts";
import { defaultDiskBounds, type DiskBounds } from "./disk.ts";
import { defaultRetention, type RetentionTimes } from "./retention.ts";
import { serverRulesSchema } from "./runs-on.ts";
import { defaultWaits, type Waits } from "./waits.ts";

const keySchema = z
  .strictObject({
    file: z.string().min(1).optional().describe("A file with mode 0600; made when it is not there."),
    variable: z.string().min(1).optional().describe("An environment variable of the server."),
    secret: z
      .strictObject({
        namespace: z.string().min(1).max(63).optional().describe("Default: the one of the server's resources."),
        name: z.string().min(1).max(253).describe("Name of the Secret. Example: `seatrial-keys`."),
        field: z.string().min(1).max(253).default("key").describe("Key in its data. Default: `key`."),
      })
      .optional()
      .describe("A Secret of the cluster that keeps the server's resources."),
  })
  .refine((place) => Object.values(place).filter((each) => each !== undefined).length === 1, "must be one of file, variable and secret");

const configSchema = z.strictObject({
  url: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe(
      "Where people reach this server: links of checks begin with it. Default: the address that it listens at. Example: `https://ci.example`.",
    ),
  forges: z
    .array(
      z.strictObject({
        name: z
          .string()
          .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "must be a name of lower-case letters, digits and dashes")
          .describe("Part of the webhook's address: `/webhooks/NAME`."),
        gitea: z
          .strictObject({
            url: z.url({ protocol: /^https?$/ }).describe("Where it is. Example: `https://gitea.example`."),
            tokenFile: z.string().min(1).describe("File with the token of Seatrial's account there."),
            webhookSecretFiles: z
              .array(z.string().min(1))
              .min(1)
              .max(2)
              .describe("Files with the secrets of its webhooks: two while one replaces the other."),
            repositories: z
              .array(z.string().min(1))
              .max(1000)
              .optional()
              .describe("Repositories whose open heads are looked at, as `owner/name`. Default: none; webhooks alone."),
          })
          .describe("A Gitea."),
      }),
    )
    .max(20)
    .optional()
    .describe("Forges beside the repositories of this machine. Default: none."),
  retention: z
    .strictObject({
      runsDays: days("What ran, with all that is known of it", defaultRetention.runsDays),
      logsDays: days("Logs", defaultRetention.logsDays),
      artifactsDays: days("Artifacts", defaultRetention.artifactsDays),
      deliveriesDays: days("Deliveries of forges that were handled", defaultRetention.deliveriesDays),
      keepNewestPerJob: z
        .int()
        .min(0)
        .max(1000)
        .default(defaultRetention.keepNewestPerJob)
        .describe("Of each job, cell for cell, so many stay whole, however old. Default: 0. Limit: 1000."),
    })
    .optional()
    .describe("How long what is kept. What has not ended, and what is held, stays."),
  disk: z
    .strictObject({
      jobsMiB: mebibytes("no job is started", defaultDiskBounds.jobsBytes),
      uploadsMiB: mebibytes("no log and no artifact is taken, and a job that has some ends as error", defaultDiskBounds.uploadsBytes),
    })
    .optional()
    .describe("What is to stay free on the disk of the data folder."),
  waits: z
    .strictObject({
      clusterReadySeconds: waitSeconds(
        "A job's cluster that is not made in this time, or then not Ready in this time, is given up, and booted once more",
        defaultWaits.clusterReadyMs,
      ),
      hostAwaySeconds: waitSeconds(
        "Jobs on a host that has not answered for so long end as error, cause host; what is left of them goes when it is back",
        defaultWaits.hostAwayMs,
      ),
    })
    .optional()
    .describe("How long is waited for what may never come."),
  actions: actionsSchema
    .optional()
    .describe(
      "Where the actions of steps come from. Default: `https://github.com/`, then the run's own forge. Fetched by the server, without credentials.",
    ),
  runsOn: serverRulesSchema.optional().describe("What labels of `runs-on` mean beside those that are known anyway. Default: nothing."),
  secrets: z
    .strictObject({
      key: keySchema.describe("The key that new secrets are encrypted with: 32 bytes, in base64."),
      oldKeys: z
        .array(keySchema)
        .max(4)
        .optional()
        .describe("Keys of before: what is under one of them is encrypted anew when the server starts. Default: none."),
    })
    .optional()
    .describe("Where the key of the secret store is. Default: `secrets.key` in the data folder, made with the first secret."),
});

function days(what: string, standard: number) {
  // More than a job may be held: a day.
  return z.int().min(2).max(36_500).default(standard).describe(`${what}. Unit: days. Default: ${standard}. Limit: 36500.`);
}

function waitSeconds(what: string, standardMs: number) {
  const standard = standardMs / 1000;
  return z.int().min(1).max(86_400).default(standard).describe(`${what}. Unit: seconds. Default: ${standard}. Limit: 86400.`);
}

function mebibytes(what: string, standardBytes: number) {
  const standard = standardBytes / 1024 ** 2;
  return z
    .int()
    .min(0)
    .max(2 ** 30)
    .default(standard)
    .describe(`With less free space ${what}. Unit: MiB. Default: ${standard}. Example: \`10240\`.`);
}

/** A forge, and the repositories whose heads are looked at. */
export interface ConfiguredForge {
  forge: Forge;
  repositories: readonly string[];
}

export interface ReadConfig {
  /** Without a slash at the end. */
  publicUrl: string | undefined;
  forges: ConfiguredForge[];
  retention: RetentionTimes;
  disk: DiskBounds;
  waits: Waits;
  /** What labels of one's own mean. */
  rules: readonly RunsOnRule[];
  actionMirrors: readonly ActionMirror[];
  /** Undefined: beside the secrets. Paths are absolute. */
  secretKeys: { key: KeyPlace; oldKeys: readonly KeyPlace[] } | undefined;
}

/** @throws InvalidError with all that is wrong with the file; SeatrialError `usage` when a file that it names cannot be read. */
export async function readConfig(file: string): Promise<ReadConfig> {
  const config = await readConfigFile(file, configSchema);
  const names = (config.forges ?? []).map(({ name }) => name);
  const taken = names.flatMap((name, i) => (name === "local" || names.indexOf(name) < i ? [{ name, i }] : []));
  if (taken.length > 0) {
    throw new InvalidError(
      taken.map(({ name, i }) => ({
        path: `${file}: forges[${i}].name`,
        message: name === "local" ? "local is the forge of this machine's repositories" : `${name} is the name of another forge`,
      })),
    );
  }
  const beside = (path: string) => resolve(dirname(file), path);
  const forges = await Promise.all(
    (config.forges ?? []).map(async ({ name, gitea }) => ({
      forge: new Gitea({
        name,
        url: gitea.url,
        token: await readSecret(beside(gitea.tokenFile), `the token of forge ${name}`),
        secrets: await Promise.all(
          gitea.webhookSecretFiles.map(async (path) => await readSecret(beside(path), `a webhook secret of forge ${name}`)),
        ),
        now: () => new Date(),
      }),
      repositories: gitea.repositories ?? [],
    })),
  );
  const { url, retention, disk, waits, runsOn, actions, secrets } = config;
  const keyPlace = (place: KeyPlace): KeyPlace => (place.file === undefined ? place : { file: beside(place.file) });
  return {
    publicUrl: url?.replace(/\/+$/, ""),
    forges,
    retention: retention ?? defaultRetention,
    disk: disk ? { jobsBytes: disk.jobsMiB * 1024 ** 2, uploadsBytes: disk.uploadsMiB * 1024 ** 2 } : defaultDiskBounds,
    waits: waits ? { clusterReadyMs: waits.clusterReadySeconds * 1000, hostAwayMs: waits.hostAwaySeconds * 1000 } : defaultWaits,
    rules: runsOn ?? [],
    actionMirrors: actions?.mirrors ?? defaultMirrors,
    secretKeys: secrets && { key: keyPlace(secrets.key), oldKeys: (secrets.oldKeys ?? []).map(keyPlace) },
  };
}

async function readSecret(path: string, what: string): Promise<string> {
  const secret = (await readText(path, what)).trim();
  if (secret === "") throw new SeatrialError("usage", `cannot read ${what}: ${path} is empty`);
  return secret;
}

async function readText(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new SeatrialError("usage", `cannot read ${what}: ${messageOf(error)}`, { cause: error });
  }
}
