import { Command } from "commander";
import { expect, test } from "vitest";
import { type CommandContext, commandModules } from "./cli.ts";

// Registering asks nothing of its context but to be there.
const context = { environment: {}, output: {}, signals: {} } as CommandContext;

test.each(commandModules)("the module of %j has just these commands: each is found by its name alone", async (names, load) => {
  const program = new Command();
  for (const register of await load()) register(program, context);
  expect(program.commands.map((command) => command.name()).toSorted()).toEqual(names.toSorted());
});

test("no command is in two modules", () => {
  const names = commandModules.flatMap(([each]) => each);
  expect(names.length).toBe(new Set(names).size);
});
