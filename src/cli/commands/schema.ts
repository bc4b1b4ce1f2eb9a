/** `seatrial schema workflow`: the JSON Schema of workflow files, for editors. */
import { Argument, type Command } from "commander";
import type { CommandContext } from "../cli.ts";

export function registerSchema(program: Command, { output }: CommandContext): void {
  program
    .command("schema")
    .description("print the JSON Schema of workflow files, for editors")
    .addArgument(new Argument("<what>", "of what").choices(["workflow"]))
    .addHelpText(
      "after",
      "\nseatrial schema workflow > workflow.schema.json, and an editor finds it by the first line of a workflow:\n  # yaml-language-server: $schema=workflow.schema.json",
    )
    .action(async () => {
      const { workflowJsonSchema } = await import("../../workflows/read/json-schema.ts");
      output.out(JSON.stringify(workflowJsonSchema(), null, 2));
    });
}
