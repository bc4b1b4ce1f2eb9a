/**
 * The runner: what runs an attempt of a job, beside the job, wherever that is. Bundled into one file (bundle.ts), started by an
 * executor with one line of JSON on its standard input. It ends with 0 when the result was delivered.
 */
import { readSync } from "node:fs";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { Attempt } from "./attempt.ts";
import { openDoorWay } from "./door.ts";
import type { RunnerInput } from "./protocol.ts";

/** The first line of standard input; the starter may keep it open. */
function readInput(): RunnerInput {
  const bytes = Buffer.alloc(limits.runnerInputBytes);
  let length = 0;
  while (length < bytes.length && !bytes.subarray(0, length).includes("\n")) {
    const read = readSync(0, bytes, length, bytes.length - length, null);
    if (read === 0) break;
    length += read;
  }
  try {
    return JSON.parse(bytes.toString("utf8", 0, length)) as RunnerInput;
  } catch {
    // The parser's message quotes the line, and with it the token.
    throw new SeatrialError("usage", "the runner expects one line of JSON on its standard input");
  }
}

async function main(): Promise<void> {
  const input = readInput();
  await using way = input.door === undefined ? undefined : await openDoorWay(input.door);
  const attempt = new Attempt({
    input: { ...input, server: way ? `http://127.0.0.1:${way.port}` : input.server! },
    // oxlint-disable-next-line node/no-process-env -- This is a main.ts: the environment is read here and handed down.
    variables: process.env,
    now: () => new Date(),
    random: Math.random,
    onSignal: (listener) => {
      for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, listener);
    },
  });
  await attempt.run();
}

main().catch((error: unknown) => {
  process.stderr.write(
    `seatrial runner: ${error instanceof SeatrialError ? error.message : String((error as Error).stack ?? messageOf(error))}\n`,
  );
  process.exitCode = 1;
});
