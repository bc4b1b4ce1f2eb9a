/** `version`, `completion`, and what ctlptl has that Seatrial answers for but does not do. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { SeatrialError } from "../../base/errors.ts";
import type { CommandContext } from "../cli.ts";

export function registerAbout(program: Command, context: CommandContext): void {
  const { output } = context;
  program
    .command("version")
    .description("print the version")
    .action(() => output.out(`v${packageVersion()}`));

  program
    .command("completion")
    .description("print a completion script: source <(seatrial completion bash)")
    .argument("<shell>", "bash or zsh")
    .action((shell: string) => {
      if (shell !== "bash" && shell !== "zsh") throw new SeatrialError("usage", `no completion for ${shell}`, { hint: "bash or zsh" });
      output.write(completionScript(program, shell));
    });

  if (!context.isCtlptl) return;
  program
    .command("analytics")
    .description("there is no telemetry: nothing is ever sent")
    .argument("[words...]")
    .action(() => output.out("Seatrial sends nothing, whatever is chosen here."));
  for (const [name, instead] of [
    ["docker-desktop", "Docker Desktop's own settings window and `docker desktop` do it"],
    ["socat", "seatrial tunnel keeps a remote Docker host's clusters and registries reachable, without socat"],
  ] as const) {
    program
      .command(name)
      .description("not part of Seatrial")
      .argument("[words...]")
      .allowUnknownOption()
      .action(() => {
        throw new SeatrialError("usage", `${name} is not part of Seatrial`, { hint: instead });
      });
  }
}

export function packageVersion(): string {
  const file = new URL("../../../package.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}

/** Words and long flags by command: enough to save typing, and no state that could be stale. */
function completionScript(program: Command, shell: "bash" | "zsh"): string {
  const name = program.name();
  const cases = (command: Command, path: string): string[] => {
    const words = [...command.commands.map((sub) => sub.name()), ...command.options.flatMap(({ long }) => (long ? [long] : []))];
    return [
      `    "${path}") words="${words.join(" ")}" ;;`,
      ...command.commands.flatMap((sub) => cases(sub, `${path} ${sub.name()}`.trim())),
    ];
  };
  const lines = [
    ...(shell === "zsh" ? ["autoload -U +X bashcompinit && bashcompinit"] : []),
    `_${name}_completion() {`,
    `  local path="" word words=""`,
    `  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do case "$word" in -*) ;; *) path="\${path:+$path }$word" ;; esac; done`,
    `  case "$path" in`,
    ...cases(program, ""),
    `  esac`,
    `  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))`,
    `}`,
    `complete -o default -F _${name}_completion ${name}`,
    "",
  ];
  return lines.join("\n");
}
