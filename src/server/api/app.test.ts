import { expect, test } from "vitest";
import { SeatrialError } from "../../base/errors.ts";
import { apiApp } from "./app.ts";

test.each<[string, unknown, number]>([
  ["a file's disk is full", Object.assign(new Error("write"), { code: "ENOSPC" }), 507],
  [
    "a database's disk is full",
    new SeatrialError("internal", "cannot write", { retryable: true, cause: Object.assign(new Error("full"), { code: "ENOSPC" }) }),
    507,
  ],
  ["what may succeed later", new SeatrialError("internal", "cannot write", { retryable: true }), 503],
  ["a defect", new SeatrialError("internal", "no"), 500],
  ["what was thrown by somebody else", new Error("no"), 500],
  ["not found", new SeatrialError("not-found", "no"), 404],
  ["too much is waiting", new SeatrialError("timeout", "no", { retryable: true }), 504],
])("%s", async (_, error, status) => {
  const handle = async () => await Promise.reject(error as Error);
  const route = {
    method: "get",
    path: "/x",
    operation: "x",
    summary: "x",
    isProtected: false,
    answer: { contentType: "text/plain" },
    handle,
  } as const;
  const app = apiApp({ routes: [route], token: undefined, version: "0" });
  expect((await app.request("/x")).status).toBe(status);
});
