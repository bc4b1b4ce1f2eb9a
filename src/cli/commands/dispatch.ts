/** `seatrial dispatch`: starts a workflow of a repository that the server knows, or tells its workflows of an event of one's own. */
import { basename, dirname, isAbsolute } from "node:path";
import type { Command } from "commander";
import { SeatrialError } from "../../base/errors.ts";
import { git } from "../../git/git.ts";
import { repositoryName } from "../../git/working-change.ts";
import { addApiOptions, type ApiFlags, withApi } from "../api.ts";
import type { CommandContext } from "../cli.ts";
import { inputsGiven, payloadIn } from "./event-payload.ts";
import { collect } from "./options.ts";

interface Flags extends ApiFlags {
  repository?: string;
  forge?: string;
  ref?: string;
  input?: string[];
  type?: string;
  payload?: string;
}

export function registerDispatch(program: Command, context: CommandContext): void {
  const { output } = context;
  addApiOptions(program.command("dispatch"))
    .description("start a workflow that has `workflow_dispatch`; with --type, those that have `repository_dispatch`")
    .argument("[workflow]", "its file or its name")
    .option("--repository <name>", "repository at its forge. Default: that of this folder")
    .option("--forge <name>", "the repository's forge. Default: local")
    .option("--ref <ref>", "branch or tag to run. Default: the default branch")
    .option("--input <name=value>", "value of an input (again for more)", collect)
    .option("--type <type>", "what happened, for `repository_dispatch`")
    .option("--payload <file>", "file with a JSON object: `github.event.client_payload`")
    .addHelpText(
      "after",
      "\nPrints the names of the runs; seatrial status RUN and seatrial logs follow them. Who asks is git's user.name: `github.actor`.",
    )
    .action(async (workflow: string | undefined, flags: Flags) => {
      checkFlags(workflow, flags);
      const inputs = Object.fromEntries(inputsGiven(flags.input));
      const payload = flags.payload === undefined ? undefined : await payloadIn(flags.payload, context.environment);
      const ask = asker(context);
      const repository = flags.repository ?? (await repositoryHere(flags.forge, ask));
      const actor = (await ask("config", "--get", "user.name")).slice(0, 256);
      const where = { forge: flags.forge, repository, ...(actor === "" ? {} : { actor }) };
      await withApi(context, flags, async (api) => {
        const runs =
          workflow === undefined
            ? await api.dispatchRepository({ ...where, type: flags.type!, ...(payload ? { payload } : {}) })
            : [await api.dispatch({ ...where, workflow, inputs, ...(flags.ref === undefined ? {} : { ref: flags.ref }) })];
        if (flags.output === "json") return output.out(JSON.stringify({ runs }, null, 2));
        for (const run of runs) output.out(run);
        if (runs.length === 0) output.err(`no workflow of ${where.repository} has repository_dispatch with type ${flags.type}`);
      });
    });
}

function checkFlags(workflow: string | undefined, { ref, input, type, payload }: Flags): void {
  if ((workflow === undefined) === (type === undefined)) throw new SeatrialError("usage", "give a workflow, or --type, and not both");
  if (workflow === undefined && (ref !== undefined || input !== undefined))
    throw new SeatrialError("usage", "--ref and --input are for a workflow; --type runs the default branch, with --payload");
  if (workflow !== undefined && payload !== undefined) throw new SeatrialError("usage", "--payload is for --type; a workflow has --input");
}

type Ask = (...args: string[]) => Promise<string>;

/** Asks git in this folder; "" where it has no answer. */
function asker({ environment, signals }: CommandContext): Ask {
  return async (...args) => {
    const options = { okCodes: [0, 1, 128], signal: signals.signal };
    const { stdout, exitCode } = await git(environment, ["-C", environment.cwd, ...args], options);
    return exitCode === 0 ? stdout.trim() : "";
  };
}

/** The repository of this folder, as its forge calls it: the local one by the name of the folder, or of that which this is a clone of. */
async function repositoryHere(forge: string | undefined, ask: Ask): Promise<string> {
  const folder = await ask("rev-parse", "--path-format=absolute", "--git-common-dir");
  if (folder === "") throw new SeatrialError("usage", "this folder is in no repository: --repository says which one is meant");
  const origin = await ask("config", "--get", "remote.origin.url");
  if (forge !== undefined && forge !== "local") return repositoryName(origin, folder);
  const isClone = isAbsolute(origin) || origin.startsWith("file://");
  return basename(isClone ? origin : basename(folder) === ".git" ? dirname(folder) : folder).replace(/\.git$/, "");
}
