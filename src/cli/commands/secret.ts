/** `seatrial secret set|list|rm`: values come from standard input or a file, and are never shown again. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { addAbortSignal } from "node:stream";
import { text as readAll } from "node:stream/consumers";
import type { Command } from "commander";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { nameProblem } from "../../secrets/name.ts";
import { addApiOptions, type ApiFlags, withApi } from "../api.ts";
import type { CommandContext } from "../cli.ts";
import { table } from "../print/tables.ts";

type Flags = ApiFlags & { repository?: string; forge?: string };

export function registerSecret(program: Command, context: CommandContext): void {
  const { output } = context;
  const secret = program.command("secret").description("values for `secrets` of trusted jobs, encrypted where the server keeps its data");
  const command = (name: string) =>
    addApiOptions(secret.command(name))
      .option("--repository <name>", "only for this repository, as the list of runs names it. Default: for all")
      .option("--forge <name>", "the repository's forge. Default: local");
  const scopeOf = ({ repository, forge }: Flags) => ({ repository, forge });

  command("set")
    .description("set a secret; its value is read from standard input, without the line break at its end")
    .argument("<name>")
    .option("--from-file <file>", "read the value from here, as it is")
    .action(async (name: string, flags: Flags & { fromFile?: string }) => {
      checkName(name);
      const value = await valueOf(flags.fromFile, context);
      await withApi(context, flags, async (api) => {
        await api.setSecret(name, value, scopeOf(flags));
        if (flags.output === "json") output.out(JSON.stringify({ name: name.toUpperCase() }));
        else output.err(`secret ${name.toUpperCase()} is set`);
      });
    });

  command("list")
    .description("list the names")
    .action(async (flags: Flags) => {
      await withApi(context, flags, async (api) => {
        const items = await api.secrets(scopeOf(flags));
        if (flags.output === "json") return output.out(JSON.stringify(items, null, 2));
        if (items.length === 0) return output.err("there are no secrets");
        output.write(
          table(
            ["NAME", "UPDATED"],
            items.map(({ name, updatedAt }) => [name, updatedAt]),
          ),
        );
      });
    });

  command("rm")
    .description("remove a secret")
    .argument("<name>")
    .action(async (name: string, flags: Flags) => {
      checkName(name);
      await withApi(context, flags, async (api) => {
        await api.removeSecret(name, scopeOf(flags));
        if (flags.output === "json") output.out(JSON.stringify({ name: name.toUpperCase() }));
        else output.err(`secret ${name.toUpperCase()} is removed`);
      });
    });
}

function checkName(name: string): void {
  const bad = nameProblem(name);
  // Somebody may have written NAME=value: what follows is not repeated.
  if (bad) throw new SeatrialError("usage", `the name of a secret ${bad}`, { hint: "seatrial secret set NAME < FILE" });
}

async function valueOf(file: string | undefined, { environment, signals }: CommandContext): Promise<string> {
  if (file !== undefined) {
    return await readFile(resolve(environment.cwd, file), "utf8").catch((error: unknown) => {
      throw new SeatrialError("usage", `cannot read ${file}: ${messageOf(error)}`, { cause: error });
    });
  }
  if (process.stdin.isTTY) {
    throw new SeatrialError("usage", "the value is read from standard input, and that is a terminal, which would show it", {
      hint: "seatrial secret set NAME < FILE, or --from-file FILE",
    });
  }
  return (await readAll(addAbortSignal(signals.signal, process.stdin))).replace(/\r?\n$/, "");
}
