import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { FolderStore } from "../../artifacts/folder.ts";
import { limits } from "../../base/limits.ts";
import { openHistory } from "../../history/history.ts";
import { type BroughtFile, bringUpload, uploadFor, uploadsFor } from "./brought-uploads.ts";

const lock = `sha256:${"1".repeat(64)}`;
const now = new Date("2026-11-01T12:00:00Z");

function file(path: string, text: string): BroughtFile {
  async function* content(): AsyncGenerator<Uint8Array> {
    yield await Promise.resolve(Buffer.from(text));
  }
  return { path, size: text.length, content: async () => await Promise.resolve(content()) };
}

test("what was brought is found by runs of that lock document alone, behind their own; it can be brought again, and goes in time", async () => {
  const folder = await mkdtemp(join(tmpdir(), "brought-"));
  const history = await openHistory({ sqlite: { directory: folder } });
  onTestFinished(async () => {
    await history.close();
    await rm(folder, { recursive: true, force: true });
  });
  const objects = new FolderStore(join(folder, "objects"));
  const stores = { history, objects };
  await bringUpload(stores, lock, "bin", [file("a", "1"), file("below/b", "22")], now);
  const run = { uid: "run", reproduces: lock };
  const [found] = await uploadsFor(history, run);
  expect(found).toMatchObject({ name: "bin", size: 3 });
  expect(await uploadsFor(history, { uid: "run" })).toEqual([]);
  expect(await uploadsFor(history, { uid: "run", reproduces: lock.replace("1", "2") })).toEqual([]);
  const files = (await uploadFor(history, run, found!.id))!.files;
  expect(files.map(({ path, size }) => ({ path, size }))).toEqual([
    { path: "a", size: 1 },
    { path: "below/b", size: 2 },
  ]);
  expect(await uploadFor(history, { uid: "run" }, found!.id)).toBeUndefined();

  // Its own of that name.
  const owner = { run: "run", runAttempt: 1, jobRun: "job", attempt: "attempt" };
  const begun = await history.uploads.begin(owner, "bin", { mayReplace: false }, now);
  if (begun.state === "begun") await history.uploads.finish("attempt", begun.id, now);
  expect(await uploadsFor(history, run)).toMatchObject([{ name: "bin", attempt: "attempt" }]);

  await bringUpload(stores, lock, "bin", [file("c", "333")], now);
  const key = files[0]!.key;
  expect(await objects.head(key), "what was replaced is gone").toBeUndefined();
  const late = new Date(now.getTime() + limits.broughtUploadMs);
  await bringUpload(stores, lock.replace("1", "2"), "other", [], late);
  expect(await uploadsFor(history, { uid: "x", reproduces: lock })).toEqual([]);
});
