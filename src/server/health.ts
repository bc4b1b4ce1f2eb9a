/** What other programs ask of a server's state: `/healthz` (it answers), `/readyz` (what it needs answers), `/metrics`. */
import { Hono } from "hono";
import { messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { History } from "../history/history.ts";
import type { DiskBudget } from "./disk.ts";

export interface HealthOptions {
  history: History;
  disk: DiskBudget;
  /** @throws when the API with the resources does not answer. */
  askControlPlane(): Promise<unknown>;
  metrics(): string;
}

export function healthApp({ history, disk, askControlPlane, metrics }: HealthOptions): Hono {
  const app = new Hono();
  app.get("/healthz", (context) => context.text("ok"));
  // One line for each part: `ok NAME`, `warning NAME: …` or `failed NAME: …`; 503 when one has failed.
  app.get("/readyz", async (context) => {
    const [ofControlPlane, ofHistory] = await Promise.all([whyNot(askControlPlane), whyNot(async () => await history.state.poll("ready"))]);
    const lines = [line("control-plane", ofControlPlane), line("history", ofHistory), line("disk", disk.whyNoUploads, disk.whyNoJobs)];
    return context.text(`${lines.join("\n")}\n`, lines.some((each) => each.startsWith("failed")) ? 503 : 200);
  });
  app.get("/metrics", (context) => context.text(metrics(), 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }));
  return app;
}

function line(name: string, failure: string | undefined, warning?: string): string {
  if (failure !== undefined) return `failed ${name}: ${failure}`;
  return warning === undefined ? `ok ${name}` : `warning ${name}: ${warning}`;
}

/** What went wrong with a question; undefined when it was answered in time. */
async function whyNot(ask: () => Promise<unknown>): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`no answer for ${limits.apiRequestMs / 1000} s`), limits.apiRequestMs);
  });
  const asked = ask().then(
    () => undefined,
    (error: unknown) => messageOf(error).split("\n")[0],
  );
  try {
    return await Promise.race([asked, late]);
  } finally {
    clearTimeout(timer);
  }
}
