/** `version`, `completion`, and what ctlptl has that Seatrial answers for but does not do. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { SeatrialError } from "../../base/errors.ts";
import { providers } from "../../resources/cluster.ts";
import type { CommandContext } from "../cli.ts";
import { nouns } from "./resource-names.ts";

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

/** What the first argument can be, by command: where that is a word of ours. */
const firstArguments: Readonly<Record<string, readonly string[]>> = {
  with: providers,
  doctor: providers,
  "create cluster": providers,
  get: Object.keys(nouns),
  delete: Object.keys(nouns),
  completion: ["bash", "zsh"],
};

/** Words and long flags by command: enough to save typing, and no state that could be stale. */
function completionScript(program: Command, shell: "bash" | "zsh"): string {
  const name = program.name();
  const cases: string[] = [];
  const paths: string[] = [];
  const add = (command: Command, path: string) => {
    const flags = command.options.filter(({ hidden }) => !hidden).flatMap(({ long }) => (long ? [long] : []));
    const first = [...command.commands.map((sub) => sub.name()), ...(firstArguments[path] ?? [])];
    cases.push(`    "${path}") first="${first.join(" ")}"; flags="${flags.join(" ")}" ;;`);
    if (path !== "") paths.push(path);
    for (const sub of command.commands) add(sub, `${path} ${sub.name()}`.trim());
  };
  add(program, "");
  const lines = [
    ...(shell === "zsh" ? ["autoload -U +X bashcompinit && bashcompinit"] : []),
    `_${name}_completion() {`,
    // Not called path: that is PATH to zsh.
    `  local command="" next="" word="" first="" flags="" arguments=0`,
    `  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do`,
    `    case "$word" in --) return ;; -*) continue ;; esac`,
    `    next="\${command:+$command }$word"`,
    `    case "$arguments|$next" in`,
    `      ${paths.map((path) => `"0|${path}"`).join("|")}) command=$next ;;`,
    `      *) arguments=1 ;;`,
    `    esac`,
    `  done`,
    `  case "$command" in`,
    ...cases,
    `  esac`,
    `  [ "$arguments" = 0 ] || first=""`,
    `  COMPREPLY=($(compgen -W "$first $flags" -- "\${COMP_WORDS[COMP_CWORD]}"))`,
    `}`,
    `complete -o default -F _${name}_completion ${name}`,
    "",
  ];
  return lines.join("\n");
}
