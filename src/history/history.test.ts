import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { once } from "node:events";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { limits } from "../base/limits.ts";
import { waitFor } from "../base/wait.ts";
import { describeHistory } from "./conformance.ts";
import { openHistory } from "./history.ts";
import { dateAt } from "./testdata/resources.ts";

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "history-"));
  // Registered before the database is opened: hooks run in reverse, so it is closed by then.
  onTestFinished(async () => await rm(made, { recursive: true, force: true }));
  return made;
}

describeHistory({ name: "SQLite", create: async () => ({ sqlite: { directory: join(await folder(), "data") } }) });

test("the files are their user's alone", async () => {
  const directory = join(await folder(), "data");
  const history = await openHistory({ sqlite: { directory } });
  onTestFinished(async () => await history.close());
  for (const path of [directory, join(directory, "history.db"), join(directory, "history.db-wal")])
    expect((await stat(path)).mode & 0o077, path).toBe(0);
});

test("a damaged file is refused, with what to do", async () => {
  const directory = await folder();
  await writeFile(join(directory, "history.db"), "no database at all, but long enough to be read as one".repeat(100));
  await expect(openHistory({ sqlite: { directory } })).rejects.toMatchObject({
    code: "invalid",
    message: expect.stringContaining("is damaged, or no database"),
    hint: expect.stringContaining("backup"),
  });
});

test("two that write to one file wait for each other", async () => {
  const directory = await folder();
  const both = await Promise.all([openHistory({ sqlite: { directory } }), openHistory({ sqlite: { directory } })]);
  for (const history of both) onTestFinished(async () => await history.close());
  await Promise.all(
    both.flatMap(({ state }, writer) =>
      Array.from({ length: 50 }, async (_, index) => await state.set(`${writer}-${index}`, "x", dateAt(0))),
    ),
  );
  for (const key of ["0-0", "0-49", "1-0", "1-49"]) expect(await both[0]!.state.get(key)).toBe("x");
});

test.runIf(process.platform === "linux")("the thread that reads ends when nothing was asked for a while, and comes back", async () => {
  const directory = await folder();
  const history = await openHistory({ sqlite: { directory } });
  onTestFinished(async () => await history.close());
  const threads = () =>
    readdirSync("/proc/self/task").filter((id) => directory.startsWith(readFileSync(`/proc/self/task/${id}/comm`, "utf8").trim())).length;
  expect(threads(), "nothing was read").toBe(1);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  for (let round = 0; round < 2; round++) {
    expect((await history.queries.runs({ limit: 1 })).items).toEqual([]);
    vi.advanceTimersByTime(limits.databaseIdleMs - 1);
    expect(await history.queries.run("none")).toBeUndefined();
    vi.advanceTimersByTime(limits.databaseIdleMs - 1);
    expect(threads(), "it was asked").toBe(2);
    vi.advanceTimersByTime(1);
    vi.useRealTimers();
    await waitFor("the thread's end", () => (threads() === 1 ? true : undefined), { timeoutMs: 5_000, pollMs: 10 });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  }
});

test("killed in the middle, it has everything that it said was stored", async () => {
  const directory = await folder();
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", join(import.meta.dirname, "testdata", "put-deliveries.ts"), directory],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  onTestFinished(() => void child.kill("SIGKILL"));
  let said = "";
  const enough = new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      if (said.split("\n").length > 100) resolve();
    });
  });
  const ended = once(child, "close");
  await enough;
  child.kill("SIGKILL");
  await ended;
  const stored = said.split("\n").slice(0, -1);
  const history = await openHistory({ sqlite: { directory } });
  onTestFinished(async () => await history.close());
  const found = new Set<string>();
  for (let cursor: string | undefined; ;) {
    const page = await history.deliveries.list({ limit: 500, cursor });
    for (const { delivery } of page.items) found.add(delivery);
    if ((cursor = page.next) === undefined) break;
  }
  expect(stored.filter((delivery) => !found.has(delivery))).toEqual([]);
});
