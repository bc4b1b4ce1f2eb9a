/** Archives as `git archive` makes them, and such as somebody else may. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pack } from "tar-stream";
import { expect, onTestFinished, test } from "vitest";
import { unpack } from "./tar.ts";

function place(): { root: string; folder: string } {
  const root = mkdtempSync(join(tmpdir(), "tar-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const folder = join(root, "unpacked");
  mkdirSync(folder);
  return { root, folder };
}

test("what git writes: long names, modes, links to links in any order", () => {
  const { root, folder } = place();
  const from = join(root, "from");
  const long = `${"deep/".repeat(30)}${"x".repeat(120)}`;
  mkdirSync(join(from, long, ".."), { recursive: true });
  writeFileSync(join(from, long), "long");
  writeFileSync(join(from, "z-run"), "#!/bin/sh\n", { mode: 0o755 });
  symlinkSync("b-link", join(from, "a-link"));
  symlinkSync("c-folder/../z-run", join(from, "b-link"));
  symlinkSync("deep", join(from, "c-folder"));
  symlinkSync("nothing", join(from, "d-link"));
  const git = (...args: string[]) => execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...args], { cwd: from });
  git("init", "-q");
  git("add", "-A");
  git("commit", "-q", "-m", "one");
  git("archive", "--format=tar", "-o", join(root, "a.tar"), "HEAD");
  unpack(join(root, "a.tar"), folder);
  expect(readFileSync(join(folder, long), "utf8")).toBe("long");
  expect(statSync(join(folder, "z-run")).mode & 0o777).toBe(0o755);
  expect(readFileSync(join(folder, "a-link"), "utf8")).toBe("#!/bin/sh\n");
  // One that leads to nothing must not begin to lead somewhere.
  expect(() => readlinkSync(join(folder, "d-link"))).toThrow("ENOENT");
});

test.each<[name: string, members: Parameters<ReturnType<typeof pack>["entry"]>[0][], message: string]>([
  ["a name that leads outside", [{ name: "../x" }], 'the name "../x" leads outside of it'],
  ["a link to a whole path", [{ name: "l", type: "symlink", linkname: "/etc/passwd" }], "l is a link to /etc/passwd, outside of it"],
  ["a link that leads outside", [{ name: "l", type: "symlink", linkname: "../secret" }], "l is a link to ../secret, outside of it"],
  [
    "a link that leads outside by another",
    [
      { name: "m/l", type: "symlink", linkname: "n/../../secret" },
      { name: "m/n", type: "symlink", linkname: "." },
    ],
    "outside of it",
  ],
  ["a device", [{ name: "d", type: "character-device" }], "d is neither a file nor a folder nor a link"],
  ["a name twice", [{ name: "a" }, { name: "a" }], "EEXIST"],
])("%s is refused", async (_, members, message) => {
  const { root, folder } = place();
  writeFileSync(join(root, "secret"), "secret");
  const archive = pack();
  for (const member of members) archive.entry(member, "");
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  writeFileSync(join(root, "a.tar"), Buffer.concat(chunks));
  expect(() => unpack(join(root, "a.tar"), folder)).toThrow(message);
});
