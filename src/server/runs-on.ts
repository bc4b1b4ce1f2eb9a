/** `runs-on`: from labels to where a job runs, by the rules of a configuration and by the hosts that there are. */
import { join } from "node:path";
import { z } from "zod";
import type { Environment } from "../base/environment.ts";
import type { RunReconcilerOptions } from "../controllers/run/reconcile.ts";
import { hostChoiceSchema } from "../resources/host.ts";
import { executors } from "../resources/job-run.ts";
import { isOtherSystem, platformOf, ruleFor, type RunsOnRule } from "../workflows/runs-on.ts";
import { type ActionMirror, actionsSchema, defaultMirrors } from "./runners/action-store.ts";
import { readConfigFile } from "./config-file.ts";
import type { Hosts } from "./hosts.ts";

const ruleSchema = z.strictObject({
  labels: z
    .array(
      z
        .string()
        .min(1)
        .max(256)
        .refine((label) => !isOtherSystem(label), "must not be a label of Windows or macOS: jobs run on Linux"),
    )
    .min(1)
    .max(20)
    .describe("A job whose `runs-on` has all of these gets what follows; where it meets several rules, the one with the most labels."),
  executor: z.enum(executors).optional().describe("`host` or `docker`. Default: docker with an image, else what jobs without labels get."),
  image: z
    .string()
    .regex(/^[\w][\w.:/@-]{0,1023}$/, "must be the reference of an image")
    .optional()
    .describe(
      "With sh, Node 24 and git; each run has one digest of it throughout. Default: the runner's. Example: `registry.example/ci:1`.",
    ),
});

const noImageOnHost = (rule: { executor?: string | undefined; image?: string | undefined }) =>
  rule.image === undefined || rule.executor !== "host";
const noHostsOnHost = (rule: { executor?: string | undefined; hosts?: object | undefined }) =>
  rule.hosts === undefined || rule.executor !== "host";
const imageMessage = "must have no image beside executor host: that is a process of the server's machine";

/** Of a server. */
export const serverRulesSchema = z
  .array(
    ruleSchema
      .extend({ hosts: hostChoiceSchema.optional().describe("Hosts that such a job may run on, by their names and labels. Default: all.") })
      .refine(noImageOnHost, imageMessage)
      .refine(noHostsOnHost, "must have no hosts beside executor host: that is the server's machine"),
  )
  .max(100);

const userConfigSchema = z.strictObject({
  runsOn: z.array(ruleSchema.refine(noImageOnHost, imageMessage)).max(100).optional().describe("What labels mean on this machine."),
  actions: actionsSchema.optional().describe("Where the actions of steps come from. Default: `https://github.com/`."),
});

/** Path of the user's configuration. */
export function userConfigPath({ variables, homeDir }: Pick<Environment, "variables" | "homeDir">): string {
  return join(variables["XDG_CONFIG_HOME"] || join(homeDir, ".config"), "seatrial", "config.yaml");
}

/** The rules of the user's configuration; none where there is no such file. @throws InvalidError with all that is wrong with it. */
export async function readUserRules(environment: Pick<Environment, "variables" | "homeDir">): Promise<readonly RunsOnRule[]> {
  const config = await readConfigFile(userConfigPath(environment), userConfigSchema, { isOptional: true });
  return config?.runsOn ?? [];
}

/** The mirrors of actions of the user's configuration. @throws InvalidError with all that is wrong with it. */
export async function readUserMirrors(environment: Pick<Environment, "variables" | "homeDir">): Promise<readonly ActionMirror[]> {
  const config = await readConfigFile(userConfigPath(environment), userConfigSchema, { isOptional: true });
  return config?.actions?.mirrors ?? defaultMirrors;
}

/** @param hosts are asked for what there is. */
export function runsOnBy(rules: readonly RunsOnRule[], hosts: Pick<Hosts, "executorFor" | "digestOf">): RunReconcilerOptions["runsOn"] {
  return async (labels, { spec: { source } }, known, signal) => {
    const rule = ruleFor(labels, rules);
    const executor = rule?.executor ?? (rule?.image === undefined ? hosts.executorFor(source.lane) : "docker");
    const image = rule?.image === undefined ? undefined : (known ?? (await hosts.digestOf(rule.image, rule.hosts, signal)));
    const { architecture } = platformOf(labels, rule);
    return {
      labels: [...labels],
      executor,
      ...(architecture === undefined ? {} : { architecture }),
      ...(rule?.hosts === undefined ? {} : { hosts: rule.hosts }),
      ...(image === undefined ? {} : { image }),
    };
  };
}
