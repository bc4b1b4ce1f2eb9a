import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { type Pack, pack } from "tar-stream";
import { expect, onTestFinished, test } from "vitest";
import { tarOf, type TarEntry } from "../artifacts/testdata/tar.ts";
import { limits } from "../base/limits.ts";
import { extractTar } from "./archive.ts";
import { type Content, keepIn } from "./keep.ts";

async function unpacked(entries: TarEntry[]): Promise<{ folder: string; files: string[] }> {
  const parent = await mkdtemp(join(tmpdir(), "archive-"));
  onTestFinished(async () => await rm(parent, { recursive: true, force: true }));
  const folder = join(parent, "in", "here");
  await extractTar(Readable.from([await tarOf(entries)]), keepIn(folder));
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

test("a file that is too large is cut, which it says itself", async () => {
  const size = limits.collectFileBytes + 1000;
  const { folder } = await unpacked([
    [{ name: "big" }, "x".repeat(size)],
    [{ name: "after" }, "y"],
  ]);
  const end = `x\n[cut: the file has ${size} bytes, and the first ${limits.collectFileBytes} are kept]\n`;
  const big = await readFile(join(folder, "big"), "utf8");
  expect(big.slice(-end.length)).toBe(end);
  expect(big).toHaveLength(limits.collectFileBytes + end.length - 1);
  expect(await readFile(join(folder, "after"), "utf8")).toBe("y");
});

/** What is kept of an archive that is sent for as long as somebody reads: the bytes of each file, and of all that was sent. */
async function kept(archive: Pack): Promise<{ files: Record<string, string | number>; sentBytes: number }> {
  const files: Record<string, string | number> = {};
  const keep = async (path: string, content: Content) => {
    if (typeof content === "string") return void (files[path] = content);
    let bytes = 0;
    for await (const chunk of content as AsyncIterable<Uint8Array>) bytes += chunk.length;
    files[path] = bytes;
  };
  let sentBytes = 0;
  const sent = (async function* () {
    for await (const chunk of archive) {
      sentBytes += (chunk as Buffer).length;
      yield chunk as Buffer;
    }
  })();
  await extractTar(Readable.from(sent), keep);
  return { files, sentBytes };
}

test("a log of 40 GB is not read to its end, and what stood before it is kept", async () => {
  const size = 40 * 1024 ** 3;
  const archive = pack();
  archive.entry({ name: "small.log" }, "small");
  const entry = archive.entry({ name: "huge.log", size });
  const zeros = Buffer.alloc(1024 ** 2, "z");
  const write = () => {
    while (!entry.destroyed && entry.write(zeros));
  };
  entry.on("drain", write).on("error", () => {}); // Nobody takes the rest.
  archive.on("error", () => {});
  write();
  const { files, sentBytes } = await kept(archive);
  const note = `\n[cut: the file has ${size} bytes, and the first ${limits.collectFileBytes} are kept]\n`;
  expect(files).toEqual({
    "small.log": 5,
    "huge.log": limits.collectFileBytes + note.length,
    "left-out.txt": expect.stringContaining("What came after huge.log is left out"),
  });
  expect(sentBytes).toBeLessThan(limits.collectFileBytes + 64 * 1024 ** 2);
  archive.destroy();
});

test("of all files together no more is kept than the bound, and what comes after it is told", async () => {
  const archive = pack();
  const each = limits.collectFileBytes;
  const count = Math.ceil(limits.collectArchiveBytes / each) + 2;
  void (async () => {
    for (let i = 0; i < count && !archive.destroyed; i++)
      await new Promise((done) => archive.entry({ name: `${i}.log` }, Buffer.alloc(each), done));
    archive.finalize();
  })();
  archive.on("error", () => {});
  const { files, sentBytes } = await kept(archive);
  const { "left-out.txt": note, ...logs } = files;
  expect(note).toMatch(/^What came after \d+\.log is left out: no more than \d+ entries and \d+ bytes are read/);
  const bytes = Object.values(logs).reduce<number>((sum, size) => sum + Number(size), 0);
  expect(bytes).toBeLessThan(limits.collectArchiveBytes + 200);
  expect(bytes).toBeGreaterThanOrEqual(limits.collectArchiveBytes);
  expect(sentBytes).toBeLessThan(count * each);
  archive.destroy();
});

test("an archive of many small things ends at the bound, also where none of them is kept", async () => {
  const most = limits.collectArchiveEntries;
  const entries = Array.from({ length: most + 5 }, (_, i): TarEntry => [{ name: `${i}/`, type: "directory" }]);
  const archive = Readable.from([await tarOf(entries)]);
  const files: string[] = [];
  await extractTar(archive, async (path) => void (await Promise.resolve(files.push(path))));
  expect(files).toEqual(["left-out.txt"]);
  expect(await unpacked(entries.slice(0, most))).toMatchObject({ files: [] });
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
  await expect(extractTar(broken, keepIn(folder))).rejects.toThrow("the connection was lost");
});
