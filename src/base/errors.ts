/**
 * The one error class of the project.
 *
 * `message` says what we were doing to which object and what happened; `hint` is the next thing to do: a command or a
 * link. Both are for the user; what only helps us goes into `cause`, which is printed with `-v` alone.
 */

/**
 * What went wrong, by who can mend it:
 * - `usage`: the command line; `invalid`: a document or a value (all problems at once, see {@link Problem});
 * - `not-found`, `already-exists`, `conflict`: the state of the world does not allow it;
 * - `refused`: we could, but it would destroy or touch what is not ours to touch;
 * - `unreachable`: a daemon or an API did not answer; `timeout`: it answered, but not in time;
 * - `missing-program`: a program that we run is not to be had; `command-failed`: it ran and failed;
 * - `aborted`: the user or a deadline stopped us; `internal`: a defect of ours.
 */
export type ErrorCode =
  | "usage"
  | "invalid"
  | "not-found"
  | "already-exists"
  | "conflict"
  | "refused"
  | "unreachable"
  | "timeout"
  | "missing-program"
  | "command-failed"
  | "aborted"
  | "internal";

export interface ErrorOptions {
  hint?: string | undefined;
  cause?: unknown;
  /** True when the same call can succeed later without anybody changing anything. */
  retryable?: boolean;
}

export class SeatrialError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "SeatrialError";
    this.code = code;
    this.hint = options.hint;
    this.retryable = options.retryable ?? false;
  }
}

/** A place in a file that the user wrote; line and column count from 1. */
export interface Place {
  file: string;
  line: number;
  column: number;
}

/** One thing that is wrong in a document. */
export interface Problem {
  place?: Place | undefined;
  /** Path of the field, as in `spec.nodes`. Empty for the document itself. */
  path: string;
  message: string;
}

/** Bad input: carries every problem that was found, not the first. */
export class InvalidError extends SeatrialError {
  readonly problems: Problem[];

  constructor(problems: Problem[], options: ErrorOptions = {}) {
    super("invalid", problems.map(formatProblem).join("\n"), options);
    this.name = "InvalidError";
    this.problems = problems;
  }
}

/** `file:line:column: path: message`, leaving out what is not known. */
export function formatProblem(problem: Problem): string {
  const { place, path, message } = problem;
  const where = place ? `${place.file}:${place.line}:${place.column}: ` : "";
  return `${where}${path ? `${path}: ` : ""}${message}`;
}

/** Exit codes of the command line: 1 the thing under test failed, 2 usage, 3 not reachable, 4 our error. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof SeatrialError)) return 4;
  switch (error.code) {
    case "usage":
    case "invalid":
      return 2;
    case "unreachable":
      return 3;
    case "not-found":
    case "already-exists":
    case "conflict":
    case "refused":
      return 1;
    case "timeout":
    case "missing-program":
    case "command-failed":
    case "aborted":
    case "internal":
      return 4;
  }
}

/** The text of anything thrown, for a message that quotes it. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whether the same call can succeed later without anybody changing anything; a disk that is full counts: there will be room. */
export function isRetryable(error: unknown): boolean {
  return (error instanceof SeatrialError && error.retryable) || systemCodeOf(error) === "ENOSPC";
}

/** The system error code (`ENOENT`, `ECONNREFUSED` …) of anything thrown, also when it is wrapped. */
export function systemCodeOf(error: unknown): string | undefined {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const code = (at as NodeJS.ErrnoException).code;
    if (typeof code === "string" && /^E[A-Z]+$/.test(code)) return code;
  }
  return undefined;
}
