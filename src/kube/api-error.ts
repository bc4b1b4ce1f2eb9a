/** What an API of resources answered instead of doing what it was asked: one class for the API server and for memory. */
import { type ErrorCode, SeatrialError } from "../base/errors.ts";

/**
 * Why, in the words that callers decide by:
 * - `not-found`, `already-exists`: as they say; `conflict`: the resource is not the one, or not in the version, that was asked for;
 * - `expired`: the resourceVersion or the `continue` is too old: list anew;
 * - `invalid`: the resource breaks its schema or a rule, and will do so again;
 * - `too-many-requests`: the API asks for patience, see `retryAfterMs`;
 * - `unreachable`: no whole answer came, or the server said 502, 503 or 504: a write may have happened or not;
 * - `failed`: anything else (no permission, an error of the server).
 */
export type ApiErrorReason =
  | "not-found"
  | "already-exists"
  | "conflict"
  | "expired"
  | "invalid"
  | "too-many-requests"
  | "unreachable"
  | "failed";

export class ApiError extends SeatrialError {
  readonly reason: ApiErrorReason;
  /** How long the API wants to be left alone. */
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: ApiErrorReason,
    message: string,
    options: { cause?: unknown; retryAfterMs?: number | undefined; retryable?: boolean } = {},
  ) {
    super(codes[reason], message, { cause: options.cause, retryable: options.retryable ?? retryable.has(reason) });
    this.name = "ApiError";
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}

const codes: Record<ApiErrorReason, ErrorCode> = {
  "not-found": "not-found",
  "already-exists": "already-exists",
  conflict: "conflict",
  expired: "conflict",
  invalid: "invalid",
  "too-many-requests": "unreachable",
  unreachable: "unreachable",
  failed: "command-failed",
};

const retryable: ReadonlySet<ApiErrorReason> = new Set(["too-many-requests", "unreachable"]);

/** The reason of an error of the API; undefined for anything else that was thrown. */
export function reasonOf(error: unknown): ApiErrorReason | undefined {
  return error instanceof ApiError ? error.reason : undefined;
}

/** What the HTTP status and the `Status` object of an answer mean. */
export function reasonOfAnswer(status: number, statusReason: string | undefined): ApiErrorReason {
  if (status === 409 && statusReason === "AlreadyExists") return "already-exists";
  return byStatus[status] ?? "failed";
}

const byStatus: Record<number, ApiErrorReason> = {
  400: "invalid",
  404: "not-found",
  409: "conflict",
  410: "expired",
  422: "invalid",
  429: "too-many-requests",
  502: "unreachable",
  503: "unreachable",
  504: "unreachable",
};
