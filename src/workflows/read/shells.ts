/** The shells of steps. Bundled with the runner. */

/** Why a shell cannot be used, as the end of a sentence that begins with its name; undefined when it can. */
export function shellMistake(shell: string): string | undefined {
  if (["bash", "sh", "python", "pwsh"].includes(shell) || shell.includes("{0}")) return undefined;
  if (shell === "cmd" || shell === "powershell") return "is for Windows alone; use pwsh, where it is installed";
  return "is not known here: there are bash, sh, python, pwsh, or a command with {0} for the script's file, as in `perl {0}`";
}
