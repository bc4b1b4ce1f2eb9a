import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pack } from "tar-stream";
import { expect, onTestFinished, test } from "vitest";
import { TarCheck } from "./tar-check.ts";

type Member = {
  name: string;
  type?: "file" | "symlink" | "link" | "directory" | "fifo" | "character-device";
  linkname?: string;
  content?: string;
  pax?: Record<string, string>;
};

async function archive(members: readonly Member[]): Promise<Buffer> {
  const tar = pack();
  for (const { content = "", ...header } of members) tar.entry({ ...header, size: content.length }, content);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** @param piece bytes that come at once. */
function check(bytes: Buffer, piece = bytes.length): void {
  const tar = new TarCheck("/job", ["/job/out", "/home/me/.cache"]);
  for (let at = 0; at < bytes.length; at += piece) tar.push(bytes.subarray(at, at + piece));
  tar.end();
}

const long = `out/${"deep/".repeat(40)}file`;

test.each<[name: string, members: Member[]]>([
  ["files and folders", [{ name: "./out", type: "directory" }, { name: "./out/a", content: "a".repeat(700) }, { name: "out/b" }]],
  ["a whole path", [{ name: "/home/me/.cache/x", content: "x" }]],
  ["links to anywhere: they are only links", [{ name: "out/l", type: "symlink", linkname: "/etc" }]],
  ["a long name", [{ name: long, content: "long" }, { name: "out/after" }]],
  ["a hard link inside", [{ name: "out/a" }, { name: "out/h", type: "link", linkname: "out/a" }]],
])("%s may be", async (_, members) => {
  const bytes = await archive(members);
  for (const piece of [bytes.length, 1, 511, 513]) expect(() => check(bytes, piece)).not.toThrow();
});

test.each<[name: string, members: Member[], message: RegExp]>([
  ["above", [{ name: "out/../../etc/passwd" }], /in none of the paths/],
  ["elsewhere", [{ name: "/etc/cron.d/x" }], /\/etc\/cron\.d\/x, which is in none of the paths/],
  ["beside", [{ name: "outer/x" }], /in none of the paths/],
  ["through a link", [{ name: "out/l", type: "symlink", linkname: "/etc" }, { name: "out/l/x" }], /through a link of its own/],
  ["over a link", [{ name: "out/l", type: "symlink", linkname: "/etc/passwd" }, { name: "out/l" }], /through a link of its own/],
  ["a hard link to elsewhere", [{ name: "out/h", type: "link", linkname: "/etc/shadow" }], /in none of the paths/],
  [
    "through another name of a link",
    [{ name: "out/l", type: "symlink", linkname: "/etc" }, { name: "out/h", type: "link", linkname: "out/l" }, { name: "out/h/x" }],
    /another name of a link/,
  ],
  [
    "a hard link through a link",
    [
      { name: "out/l", type: "symlink", linkname: "/etc" },
      { name: "out/h", type: "link", linkname: "out/l/passwd" },
    ],
    /another name of a link/,
  ],
  ["a name of a file with holes", [{ name: "out/a", pax: { "GNU.sparse.name": "/etc/passwd" } }], /a file with holes/],
  ["a device", [{ name: "out/d", type: "character-device" }], /neither file, folder nor link/],
  ["a pipe", [{ name: "out/p", type: "fifo" }], /neither file, folder nor link/],
  ["a long name to elsewhere", [{ name: `${"x/".repeat(100)}${"../".repeat(102)}etc/x` }], /in none of the paths/],
])("%s is refused", async (_, members, message) => {
  const bytes = await archive([{ name: "out/first", content: "first" }, ...members]);
  for (const piece of [bytes.length, 100]) expect(() => check(bytes, piece)).toThrow(message);
});

test("what stands behind the end is refused, as not every tar ends there", async () => {
  const first = await archive([{ name: "out/a" }]);
  const second = await archive([{ name: "/etc/passwd" }]);
  expect(() => check(Buffer.concat([first.subarray(0, 1024), second]))).toThrow(/goes on behind its end/);
  expect(() => check(Buffer.concat([first, second]))).not.toThrow();
});

test("what tar itself writes; what is no archive; one that is cut short", () => {
  const folder = mkdtempSync(join(tmpdir(), "tar-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "out", "x".repeat(90)), { recursive: true });
  writeFileSync(join(folder, "out", "x".repeat(90), "ü".repeat(40)), "content");
  symlinkSync("y".repeat(150), join(folder, "out", "link"));
  for (const format of ["gnu", "pax", "ustar"]) {
    const args = ["--format", format, "-cPf", "-", ...(format === "ustar" ? ["--exclude=link"] : []), "./out"];
    const bytes = execFileSync("tar", args, { cwd: folder });
    expect(() => check(bytes), format).not.toThrow();
  }
  expect(() => check(Buffer.alloc(1024, "x"))).toThrow("this is no tar archive");
  const bytes = execFileSync("tar", ["-cf", "-", "out"], { cwd: folder });
  expect(() => check(bytes.subarray(0, 1100))).toThrow("cut short");
});
