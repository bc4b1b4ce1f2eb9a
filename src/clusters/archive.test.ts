import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { type Header, pack } from "tar-stream";
import { expect, onTestFinished, test } from "vitest";
import { limits } from "../base/limits.ts";
import { extractTar } from "./archive.ts";

type Entry = [Partial<Header> & { name: string }, string?];

async function tarOf(entries: Entry[]): Promise<Buffer> {
  const archive = pack();
  for (const [header, text = ""] of entries) archive.entry(header, text);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function unpacked(entries: Entry[]): Promise<{ folder: string; files: string[] }> {
  const parent = await mkdtemp(join(tmpdir(), "archive-"));
  onTestFinished(async () => await rm(parent, { recursive: true, force: true }));
  const folder = join(parent, "in", "here");
  await extractTar(Readable.from([await tarOf(entries)]), folder);
  const found = await readdir(parent, { recursive: true, withFileTypes: true });
  return { folder, files: found.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name)) };
}

test("regular files inside the folder, and nothing else", async () => {
  const { folder, files } = await unpacked([
    [{ name: "log/", type: "directory" }],
    [{ name: "log/a.log" }, "one"],
    [{ name: "log/b/c.log", mode: 0o4777 }, "two"],
    [{ name: "../escape" }, "x"],
    [{ name: "log/../../../escape" }, "x"],
    [{ name: "/absolute" }, "x"],
    [{ name: "link", type: "symlink", linkname: "/etc/passwd" }],
    [{ name: "hard", type: "link", linkname: "/etc/passwd" }],
    [{ name: "pipe", type: "fifo" }],
    [{ name: "empty" }, ""],
  ]);
  expect(files.toSorted()).toEqual([join(folder, "empty"), join(folder, "log/a.log"), join(folder, "log/b/c.log")]);
  expect(await readFile(join(folder, "log/a.log"), "utf8")).toBe("one");
  expect((await stat(join(folder, "log/b/c.log"))).mode & 0o7111).toBe(0);
});

test("a file behind a link of the archive stays inside", async () => {
  const { files } = await unpacked([[{ name: "dir", type: "symlink", linkname: "/tmp" }], [{ name: "dir/file" }, "x"]]);
  expect(files).toHaveLength(1);
  expect(files[0]).toMatch(/in\/here\/dir\/file$/);
});

test("a file that is too large is cut", async () => {
  const size = limits.collectLogBytes * 10 + 1000;
  const { folder } = await unpacked([
    [{ name: "big" }, "x".repeat(size)],
    [{ name: "after" }, "y"],
  ]);
  expect((await stat(join(folder, "big"))).size).toBe(limits.collectLogBytes * 10);
  expect(await readFile(join(folder, "after"), "utf8")).toBe("y");
});

test("an archive that breaks off is an error", async () => {
  const folder = await mkdtemp(join(tmpdir(), "archive-"));
  onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  const whole = await tarOf([[{ name: "half" }, "x".repeat(10_000)]]);
  const broken = Readable.from(
    (async function* () {
      yield await Promise.resolve(whole.subarray(0, 2_000));
      throw new Error("the connection was lost");
    })(),
  );
  await expect(extractTar(broken, folder)).rejects.toThrow("the connection was lost");
});
