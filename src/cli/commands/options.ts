/** What several commands' options need. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { InvalidArgumentError, Option } from "commander";
import type { Environment } from "../../base/environment.ts";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { parseDotenv } from "../../secrets/dotenv.ts";

/** For an option that may be given again: all its values, in order. */
export function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

/** `-o json`, which every command has that tells something. */
export function jsonOption(): Option {
  return new Option("-o, --output <format>", "print the answer in this form").choices(["json"]);
}

/** A whole number; what it may be is said where it is used. */
export function wholeNumberOf(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number.");
}

/** A whole number from 1. */
export function countOf(text: string): number {
  if (/^[1-9]\d{0,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number from 1.");
}

/** Seconds, of `90s`, `30m`, `1h`. */
export function durationOf(text: string): number {
  const match = /^(\d{1,6})([smh])$/.exec(text);
  const seconds = match ? Number(match[1]) * { s: 1, m: 60, h: 3600 }[match[2] as "s" | "m" | "h"] : 0;
  if (seconds < 1 || seconds > 86_400) throw new InvalidArgumentError("It must be a time up to 24h, as in 90s, 30m, 1h.");
  return seconds;
}

/** The same, and `0`. */
export function durationOrZero(text: string): number {
  return /^0[smh]?$/.test(text) ? 0 : durationOf(text);
}

const executorChoices = ["auto", "host", "docker"] as const;
export type ExecutorChoice = (typeof executorChoices)[number];

/** What jobs run in. */
export function executorOption(): Option {
  const option = new Option(
    "--executor <executor>",
    "host: processes of this machine; docker: containers; auto: docker where it answers. Default: SEATRIAL_EXECUTOR, else auto",
  );
  return option.choices(executorChoices);
}

/** @throws SeatrialError `usage` when SEATRIAL_EXECUTOR is none of the choices. */
export function executorOf(given: ExecutorChoice | undefined, { variables }: Environment): ExecutorChoice {
  const named = given ?? variables["SEATRIAL_EXECUTOR"] ?? "auto";
  const choice = executorChoices.find((each) => each === named);
  if (choice) return choice;
  throw new SeatrialError("usage", `SEATRIAL_EXECUTOR is ${named}, and must be one of ${executorChoices.join(", ")}`);
}

/** Of `--secrets-file` and its kin: lines NAME=value. @throws SeatrialError `usage` when the file cannot be read, `invalid` when it is wrong. */
export async function readValues(file: string | undefined, { environment }: { environment: Environment }): Promise<Map<string, string>> {
  if (file === undefined) return new Map();
  const text = await readFile(resolve(environment.cwd, file), "utf8").catch((error: unknown) => {
    throw new SeatrialError("usage", `cannot read ${file}: ${messageOf(error)}`, { cause: error });
  });
  return parseDotenv(text, file);
}
