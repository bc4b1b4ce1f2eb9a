/** `up --config FILE`: the forges of a server. Secrets are in files that it names, never in it. */
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parseDocument } from "yaml";
import { z } from "zod";
import { InvalidError, messageOf, SeatrialError } from "../base/errors.ts";
import type { Forge } from "../forges/forge.ts";
import { Gitea } from "../forges/gitea/gitea.ts";
import { formatPath } from "../resources/finding.ts";
import { findingsOf } from "../resources/schema.ts";

const configSchema = z.strictObject({
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
});

export type ServerConfig = z.infer<typeof configSchema>;

/** A forge, and the repositories whose heads are looked at. */
export interface ConfiguredForge {
  forge: Forge;
  repositories: readonly string[];
}

/** @throws InvalidError with all that is wrong with the file; SeatrialError `usage` when a file that it names cannot be read. */
export async function readConfig(file: string): Promise<ConfiguredForge[]> {
  const text = await readSecret(file, "the configuration");
  const document = parseDocument(text);
  const [broken] = document.errors;
  if (broken) throw new InvalidError([{ path: "", message: broken.message.split("\n")[0]! }]);
  const value: unknown = document.toJS() ?? {};
  const parsed = configSchema.safeParse(value);
  if (!parsed.success) {
    throw new InvalidError(
      findingsOf(parsed.error, configSchema, value).map(({ path, message }) => ({ path: `${file}: ${formatPath(path)}`, message })),
    );
  }
  const beside = (path: string) => resolve(dirname(file), path);
  return await Promise.all(
    (parsed.data.forges ?? []).map(async ({ name, gitea }) => ({
      forge: new Gitea({
        name,
        url: gitea.url,
        token: (await readSecret(beside(gitea.tokenFile), `the token of forge ${name}`)).trim(),
        secrets: await Promise.all(
          gitea.webhookSecretFiles.map(async (path) => (await readSecret(beside(path), `a webhook secret of forge ${name}`)).trim()),
        ),
        now: () => new Date(),
      }),
      repositories: gitea.repositories ?? [],
    })),
  );
}

async function readSecret(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new SeatrialError("usage", `cannot read ${what}: ${messageOf(error)}`, { cause: error });
  }
}
