import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { FolderStore } from "../artifacts/folder.ts";
import { describeLogStore } from "./conformance.ts";
import { openLogStore } from "./log-store.ts";

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "logs-db-"));
  onTestFinished(async () => await rm(made, { recursive: true, force: true }));
  return made;
}

describeLogStore({ name: "SQLite", create: async () => ({ sqlite: { directory: await folder() } }), runs: 60 });

test("killed again and again while it appends and seals: no byte is lost, none comes twice", async () => {
  const directory = await folder();
  const script = join(import.meta.dirname, "testdata", "append-log.ts");
  let acknowledged = 0;
  for (let kill = 0; kill < 5; kill++) {
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", script, directory], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    const ended = once(child, "close");
    let said = "";
    child.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      // Some way into the work, which is another one each time: seals come every 2,000 bytes.
      if (said.split("\n").length > 150 + kill * 37) child.kill("SIGKILL");
    });
    await ended;
    acknowledged = Number(said.trim().split("\n").at(-1));
  }
  const store = await openLogStore({ settings: { sqlite: { directory } }, objects: new FolderStore(directory) });
  onTestFinished(async () => await store.shutdown());
  const read = async () => {
    const pieces: Buffer[] = [];
    for await (const piece of await store.read("log")) pieces.push(piece);
    return Buffer.concat(pieces).toString();
  };
  const before = await read();
  expect(before.length).toBeGreaterThanOrEqual(acknowledged);
  expect(before).toBe(
    before
      .split("\n")
      .slice(0, -1)
      .map((_, index) => `line ${index}\n`)
      .join(""),
  );
  await store.close("log", new Date());
  await store.settled();
  expect(await read()).toBe(before);
});
