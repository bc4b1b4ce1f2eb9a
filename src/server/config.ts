/** `up --config FILE`: the forges of a server, and what it keeps. Secrets are in files that it names, never in it. */
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { LineCounter, parseDocument } from "yaml";
import { z } from "zod";
import { InvalidError, messageOf, SeatrialError } from "../base/errors.ts";
import type { Forge } from "../forges/forge.ts";
import { Gitea } from "../forges/gitea/gitea.ts";
import { formatPath } from "../resources/finding.ts";
import { findingsOf } from "../resources/schema.ts";
import { defaultDiskBounds, type DiskBounds } from "./disk.ts";
import { defaultRetention, type RetentionTimes } from "./retention.ts";

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
});

function days(what: string, standard: number) {
  // More than a job may be held: a day.
  return z.int().min(2).max(36_500).default(standard).describe(`${what}. Unit: days. Default: ${standard}. Limit: 36500.`);
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
}

/** @throws InvalidError with all that is wrong with the file; SeatrialError `usage` when a file that it names cannot be read. */
export async function readConfig(file: string): Promise<ReadConfig> {
  const text = await readText(file, "the configuration");
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  if (document.errors.length > 0) {
    throw new InvalidError(
      document.errors.map(({ message, pos }) => {
        const { line, col } = lineCounter.linePos(pos[0]);
        return { place: { file, line, column: col }, path: "", message };
      }),
    );
  }
  const value: unknown = document.toJS() ?? {};
  const parsed = configSchema.safeParse(value);
  if (!parsed.success) {
    throw new InvalidError(
      findingsOf(parsed.error, configSchema, value).map(({ path, message }) => ({ path: `${file}: ${formatPath(path)}`, message })),
    );
  }
  const names = (parsed.data.forges ?? []).map(({ name }) => name);
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
    (parsed.data.forges ?? []).map(async ({ name, gitea }) => ({
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
  const { url, retention, disk } = parsed.data;
  return {
    publicUrl: url?.replace(/\/+$/, ""),
    forges,
    retention: retention ?? defaultRetention,
    disk: disk ? { jobsBytes: disk.jobsMiB * 1024 ** 2, uploadsBytes: disk.uploadsMiB * 1024 ** 2 } : defaultDiskBounds,
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
