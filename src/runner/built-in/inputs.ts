/** What is read from a step's `with`, the same way for all actions that are part of Seatrial. */
import { dirname, join } from "node:path";
import { SeatrialError } from "../../base/errors.ts";
import type { ActionContext } from "../actions/action.ts";

/**
 * The home folder of the steps, as this process and the job's container both see it: there it has another name beside, which GitHub
 * gave it. Empty where there is none.
 */
export function homeOf({ folders, env }: Pick<ActionContext, "folders" | "env">): string {
  const home = env["HOME"] ?? "";
  return home === "/github/home" ? join(dirname(folders.steps), "home") : home;
}

type Inputs = Pick<ActionContext, "inputs">;

/** @throws SeatrialError `invalid` when it is empty. */
export function required({ inputs }: Inputs, name: string): string {
  const value = inputs[name] ?? "";
  if (value === "") throw new SeatrialError("invalid", `input ${name} is required, and is empty`);
  return value;
}

/** Absent and empty are no. @throws SeatrialError `invalid` for what is neither true nor false, in any case. */
export function isYes({ inputs }: Inputs, name: string): boolean {
  const value = (inputs[name.toLowerCase()] ?? "").toLowerCase();
  if (value === "true") return true;
  if (value === "false" || value === "") return false;
  throw new SeatrialError("invalid", `input ${name} must be true or false, and is ${JSON.stringify(inputs[name.toLowerCase()])}`);
}

/** The lines that say something. */
export function linesOf({ inputs }: Inputs, name: string): string[] {
  return (inputs[name.toLowerCase()] ?? "")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}
