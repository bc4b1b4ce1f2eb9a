import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { limits } from "../base/limits.ts";
import { describeObjectStore } from "./conformance.ts";
import { currentProcess, formatIdentity, type ProcessIdentity } from "../process/identity.ts";
import { FolderStore } from "./folder.ts";

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "objects-"));
  onTestFinished(async () => await rm(made, { recursive: true, force: true }));
  return made;
}

describeObjectStore({ name: "folder", create: async () => new FolderStore(await folder()) });

test("files lie under their keys, for other tools", async () => {
  const root = await folder();
  await new FolderStore(root).put("logs/job/1/build-log.txt", Buffer.from("ok\n"));
  expect(await readFile(join(root, "objects/logs/job/1/build-log.txt"), "utf8")).toBe("ok\n");
  expect(await readdir(join(root, "incoming"))).toEqual([]);
});

test("a key that is another's folder is refused, either way", async () => {
  const store = new FolderStore(await folder());
  await store.put("a/b", Buffer.from("x"));
  for (const key of ["a", "a/b/c"]) {
    await expect(store.put(key, Buffer.from("y"))).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining(`cannot store object ${key}`),
    });
  }
  expect((await store.list({ prefix: "", limit: 9 })).objects).toEqual([{ key: "a/b", size: 1 }]);
});

test("what a process that died had half written is removed, or after a day where it is not known who that was", async () => {
  const root = await folder();
  const store = new FolderStore(root);
  await mkdir(join(root, "incoming"));
  const now = new Date();
  const self = currentProcess();
  const nameOf = (writer: ProcessIdentity) => `${formatIdentity(writer).replaceAll("/", "+")}+id`;
  for (const [name, ageMs] of [
    [nameOf(self), 1_000],
    [nameOf({ ...self, startTime: "1" }), 1_000],
    ["old", limits.objectAbandonedMs + 1_000],
    ["young", 1_000],
  ] as const) {
    await writeFile(join(root, "incoming", name), "half");
    const at = new Date(now.getTime() - ageMs);
    await utimes(join(root, "incoming", name), at, at);
  }
  await store.removeAbandoned(now);
  expect(await readdir(join(root, "incoming"))).toEqual([nameOf(self), "young"]);
});
