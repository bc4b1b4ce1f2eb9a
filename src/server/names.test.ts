import { Hono } from "hono";
import { expect, test } from "vitest";
import { ownNamesOnly } from "./names.ts";

test.each<[string, string, string | undefined, number]>([
  ["http://127.0.0.1:7357/", "127.0.0.1", undefined, 200],
  ["http://localhost:7357/", "127.0.0.1", undefined, 200],
  ["http://[::1]:7357/", "::1", undefined, 200],
  ["http://rebound.example:7357/api/v1/runs", "127.0.0.1", undefined, 421],
  ["http://ci.example/", "127.0.0.1", "https://ci.example", 200],
  ["http://proxy.internal/webhooks/gitea", "127.0.0.1", undefined, 200],
  ["http://any.example:7357/", "0.0.0.0", undefined, 200],
])("%s at a server on %s, public as %s: %d", async (url, listen, publicUrl, status) => {
  const app = new Hono().use(ownNamesOnly(listen, publicUrl)).all("*", (context) => context.text("ok"));
  expect((await app.request(url)).status).toBe(status);
});
