/** A mirror for tests, and what is in it. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { type Mirror } from "../mirror.ts";
import { Mirrors } from "../mirrors.ts";
import { scratchFolder, type TestRepository, testEnvironment, testRepository } from "./repository.ts";

/** A commit that is nowhere. */
export const missing = "0123456789abcdef0123456789abcdef01234567";

export interface Bench {
  upstream: TestRepository;
  mirrors: Mirrors;
  mirror: Mirror;
  folder: string;
  setNow(day: string): void;
}

/** An upstream with one commit, and its mirror, which has nothing yet. */
export async function bench(): Promise<Bench & { first: string }> {
  const folder = await scratchFolder();
  const upstream = await testRepository();
  let now = new Date("2026-03-01T12:00:00Z");
  const mirrors = new Mirrors({ environment: testEnvironment, folder: folder.path, now: () => now });
  onTestFinished(async () => {
    await mirrors.close();
    await upstream[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });
  const first = await upstream.commit({ "a.txt": "one\n", "docs/b.txt": "two\n" }, "first");
  return { upstream, mirrors, mirror: mirrors.of("lab", "1"), folder: folder.path, first, setNow: (day) => (now = new Date(day)) };
}

export async function refsOf(mirror: Mirror): Promise<string[]> {
  await using any = await testRepository();
  return (await any.git("--git-dir", mirror.folder, "for-each-ref", "--format=%(refname) %(objectname)")).split("\n");
}

export async function isWhole({ folder }: Mirror): Promise<void> {
  await using any = await testRepository();
  await any.git("--git-dir", folder, "rev-list", "--objects", "--all", "--quiet");
}

export async function packsOf(mirror: Mirror): Promise<string[]> {
  return (await readdir(join(mirror.folder, "objects", "pack"))).filter((name) => name.endsWith(".pack"));
}
