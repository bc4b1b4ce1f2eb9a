/** `seatrial deliveries list|show|replay`: what forges told the server, and what became of it. */
import { type Command, Option } from "commander";
import { addApiOptions, type ApiFlags, withApi } from "../api.ts";
import type { CommandContext } from "../cli.ts";
import { table } from "../print/tables.ts";
import { countOf } from "./options.ts";

interface ListFlags extends ApiFlags {
  forge?: string;
  state?: string;
  limit?: number;
}

export function registerDeliveries(program: Command, context: CommandContext): void {
  const { output } = context;
  const deliveries = program.command("deliveries").description("what forges told the server: webhooks, and changes of local repositories");

  addApiOptions(deliveries.command("list"))
    .description("list them, the newest first")
    .option("--forge <name>", "only of this forge")
    .addOption(new Option("--state <state>", "only these").choices(["waiting", "done", "failed"]))
    .option("--limit <count>", "as many at most. Default: 20", countOf)
    .action(async (flags: ListFlags) => {
      await withApi(context, flags, async (api) => {
        const { items } = await api.deliveries({ forge: flags.forge, state: flags.state, limit: String(flags.limit ?? 20) });
        if (flags.output === "json") return output.out(JSON.stringify(items, null, 2));
        if (items.length === 0) return output.err("there are no such deliveries");
        output.write(
          table(
            ["ID", "FORGE", "EVENT", "STATE", "ATTEMPTS", "RECEIVED", "ERROR"],
            items.map((each) => [
              String(each.id),
              each.forge,
              each.event,
              each.state,
              String(each.attempts),
              each.receivedAt,
              each.error ?? "",
            ]),
          ),
        );
      });
    });

  addApiOptions(deliveries.command("show"))
    .description("show one, with its payload")
    .argument("<id>", "its number in the list", countOf)
    .action(async (id: number, flags: ApiFlags) => {
      await withApi(context, flags, async (api) => {
        const { payload, ...delivery } = await api.delivery(String(id));
        if (flags.output === "json") return output.out(JSON.stringify({ ...delivery, payload: parsed(payload) }, null, 2));
        for (const [field, value] of Object.entries(delivery)) output.out(`${field}: ${value}`);
        output.out(`\n${JSON.stringify(parsed(payload), null, 2)}`);
      });
    });

  addApiOptions(deliveries.command("replay"))
    .description("let the server handle one once more; where none runs, the next that does. Runs that it made stay as they are")
    .argument("<id>", "its number in the list", countOf)
    .action(async (id: number, flags: ApiFlags) => {
      await withApi(context, flags, async (api) => {
        await api.replayDelivery(String(id));
        if (flags.output === "json") return output.out(JSON.stringify({ id }));
        output.err(`delivery ${id} waits to be handled again`);
      });
    });
}

/** As it is, should it be no JSON. */
function parsed(payload: string): unknown {
  try {
    return JSON.parse(payload);
  } catch {
    return payload;
  }
}
