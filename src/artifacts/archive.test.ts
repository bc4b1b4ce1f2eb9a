import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { type Header, pack } from "tar-stream";
import { expect, onTestFinished, test } from "vitest";
import { limits } from "../base/limits.ts";
import { archiveBounds, type ArchiveBounds, readArchive, storeArchive } from "./archive.ts";
import { FolderStore } from "./folder.ts";

type Entry = [Partial<Header> & { name: string }, string?];

async function tarOf(entries: Entry[]): Promise<Buffer> {
  const archive = pack();
  for (const [header, text = ""] of entries) archive.entry(header, text);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function stored(archive: Buffer | Readable, bounds?: ArchiveBounds) {
  const parent = await mkdtemp(join(tmpdir(), "artifacts-"));
  onTestFinished(async () => await rm(parent, { recursive: true, force: true }));
  const store = new FolderStore(join(parent, "store"));
  const body = archive instanceof Readable ? archive : Readable.from([archive]);
  const result = await storeArchive(body, store, "p", bounds);
  const everything = (await readdir(parent, { recursive: true, withFileTypes: true })).filter((entry) => !entry.isDirectory());
  return {
    ...result,
    store,
    onDisk: everything.map((entry) => join(entry.parentPath, entry.name).slice(join(parent, "store/objects/").length)).toSorted(),
  };
}

test("regular files below the prefix, and nothing else", async () => {
  const { files, skipped, onDisk } = await stored(
    await tarOf([
      [{ name: "./", type: "directory" }],
      [{ name: "./junit.xml" }, "<testsuite/>"],
      [{ name: "deep/er/report.txt", mode: 0o4777 }, "two"],
      [{ name: "empty" }, ""],
      [{ name: "../escape" }, "x"],
      [{ name: "deep/../../../escape" }, "x"],
      [{ name: "/absolute" }, "x"],
      [{ name: "windows\\..\\escape" }, "x"],
      [{ name: "line\nfeed" }, "x"],
      [{ name: "symbolic", type: "symlink", linkname: "/etc/passwd" }],
      [{ name: "hard", type: "link", linkname: "/etc/passwd" }],
      [{ name: "pipe", type: "fifo" }],
      [{ name: "disk", type: "block-device" }],
      [{ name: "tty", type: "character-device" }],
    ]),
  );
  expect(files).toMatchObject([
    { path: "junit.xml", size: 12, key: "p/junit.xml" },
    { path: "deep/er/report.txt", size: 3 },
    { path: "empty", size: 0 },
  ]);
  expect(onDisk).toEqual(["p/deep/er/report.txt", "p/empty", "p/junit.xml"]);
  expect(skipped).toEqual([
    { path: "../escape", reason: "its path is refused: it has a part . or .." },
    { path: "deep/../../../escape", reason: "its path is refused: it has a part . or .." },
    { path: "/absolute", reason: "its path is refused: it is absolute" },
    { path: "windows\\..\\escape", reason: "its path is refused: it has a backslash" },
    { path: "line\nfeed", reason: "its path is refused: it has a control character" },
    { path: "symbolic", reason: "it is no regular file: symlink" },
    { path: "hard", reason: "it is no regular file: link" },
    { path: "pipe", reason: "it is no regular file: fifo" },
    { path: "disk", reason: "it is no regular file: block-device" },
    { path: "tty", reason: "it is no regular file: character-device" },
  ]);
});

test("a file behind a link of the archive stays below the prefix", async () => {
  const { onDisk } = await stored(await tarOf([[{ name: "dir", type: "symlink", linkname: "/tmp" }], [{ name: "dir/file" }, "x"]]));
  expect(onDisk).toEqual(["p/dir/file"]);
});

test("a path that comes twice: the last one counts", async () => {
  const { files } = await stored(
    await tarOf([
      [{ name: "a" }, "one"],
      [{ name: "a" }, "three"],
    ]),
  );
  expect(files).toMatchObject([{ path: "a", size: 5 }]);
});

test("a long path in a header of its own, over the bound, is left out and told shortly", async () => {
  const { files, skipped } = await stored(
    await tarOf([
      [{ name: `${"d/".repeat(2_000)}x` }, "x"],
      [{ name: "ok" }, "y"],
    ]),
  );
  expect(files).toMatchObject([{ path: "ok" }]);
  expect(skipped).toEqual([
    { path: "d/".repeat(limits.archivePathBytes / 2), reason: `its path has more than ${limits.archivePathBytes} bytes` },
  ]);
});

const zeros = (bytes: number) => "\0".repeat(bytes);
const refusals: [string, () => Promise<Buffer | Readable>, Partial<ArchiveBounds>, RegExp][] = [
  [
    "too many entries",
    async () => await tarOf(Array.from({ length: 20 }, (_, index): Entry => [{ name: `f${index}` }, zeros(300_000)])),
    { entries: 10 },
    /more than 10 entries/,
  ],
  ["too many bytes in one file", async () => await tarOf([[{ name: "big" }, zeros(100_000)]]), { bytes: 50_000 }, /more than 50000 bytes/],
  [
    "too many bytes in many",
    async () => await tarOf(Array.from({ length: 9 }, (_, index): Entry => [{ name: `f${index}` }, zeros(9_000)])),
    { bytes: 50_000 },
    /more than 50000 bytes/,
  ],
  [
    "links without end",
    async () => await tarOf(Array.from({ length: 11 }, (): Entry => [{ name: "l", type: "symlink", linkname: "l" }])),
    { entries: 10 },
    /more than 10 entries/,
  ],
  ["a header that says it is 8 GiB of names", async () => headerOf("././@LongLink", "L", "77777777777"), {}, /exceeds max size/i],
  ["a size that is no number", async () => headerOf("x", "0", "zzzzzzzzzzz"), {}, /invalid/i],
  ["no archive at all", async () => await Promise.resolve(Buffer.alloc(4_096, "no archive ")), {}, /invalid/i],
  [
    "cut in the middle",
    async () => (await tarOf([[{ name: "half" }, zeros(10_000)]])).subarray(0, 2_000),
    {},
    /unexpected end|premature|closed/i,
  ],
];

test.each(refusals)("refused: %s", async (_name, archive, bounds, message) => {
  const asked = stored(await archive(), { ...archiveBounds, ...bounds });
  const error = await asked.catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "invalid", message: expect.stringMatching(message) });
});

test("a connection that breaks is an error, and leaves no half file", async () => {
  const whole = await tarOf([[{ name: "half" }, zeros(10_000)]]);
  const broken = Readable.from(
    (async function* () {
      yield await Promise.resolve(whole.subarray(0, 2_000));
      throw new Error("the connection was lost");
    })(),
  );
  await expect(stored(broken)).rejects.toThrow("the connection was lost");
});

test("what the store says is said, not that the archive was not read to its end", async () => {
  const archive = Readable.from([
    await tarOf([
      [{ name: "a" }, zeros(100_000)],
      [{ name: "b" }, "x"],
    ]),
  ]);
  await expect(readArchive(archive, async () => await Promise.reject(new Error("the disk is full")))).rejects.toThrow("the disk is full");
  const read: string[] = [];
  const again = Readable.from([
    await tarOf([
      [{ name: "a" }, zeros(100_000)],
      [{ name: "b" }, "x"],
    ]),
  ]);
  await readArchive(again, async ({ path }) => void (await Promise.resolve(read.push(path))));
  expect(read, "bodies that nobody read").toEqual(["a", "b"]);
});

/** One header of a ustar archive, with a right checksum. */
function headerOf(name: string, type: string, size: string): Promise<Buffer> {
  const header = Buffer.alloc(1_024);
  header.write(name, 0);
  header.write("0000644", 100);
  header.write(size, 124);
  header.write("        ", 148);
  header.write(type, 156);
  header.write("ustar\u000000", 257);
  const sum = header.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Promise.resolve(header);
}
