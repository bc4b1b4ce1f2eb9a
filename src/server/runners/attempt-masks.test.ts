import { createHmac } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { limits } from "../../base/limits.ts";
import { AttemptMasks } from "./attempt-masks.ts";
import { openTestStores } from "../testdata/stores.ts";

let directory: string;
let masks: AttemptMasks;

const keyOf = (key: string) => (attempt: string) => createHmac("sha256", key).update(attempt).digest();

beforeEach(async () => {
  const opened = await openTestStores();
  directory = join(opened.directory, "objects");
  masks = new AttemptMasks(opened.stores.objects, keyOf("key"));
});

async function files(): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

test("each value is kept once, for its attempt, until it is forgotten", async () => {
  expect(await masks.of("a")).toEqual([]);
  await masks.add("a", ["first", "ü 漢"]);
  await masks.add("a", ["first", "second\nline"]);
  await masks.add("b", ["other"]);
  expect(await masks.of("a")).toEqual(["first", "ü 漢", "second\nline"]);
  await masks.forget("a");
  await masks.forget("a");
  expect(await masks.of("a")).toEqual([]);
  expect(await masks.of("b")).toEqual(["other"]);
});

test("none can be read on the disk, nor by who has another key; what was altered is told, not left out", async () => {
  await masks.add("a", ["open-sesame"]);
  const [file, ...more] = await files();
  expect(more).toEqual([]);
  const bytes = await readFile(file!);
  expect(bytes.toString("latin1")).not.toContain("sesame");
  const others = new AttemptMasks((await openTestStores()).stores.objects, keyOf("another key"));
  expect(await others.of("a")).toEqual([]);
  bytes[bytes.length - 1]! ^= 1;
  await writeFile(file!, bytes);
  await expect(masks.of("a")).rejects.toThrow("what must be masked of attempt a cannot be read");
});

test("more than could ever be masked is refused, and what was there stays", async () => {
  await masks.add("a", ["kept"]);
  await expect(masks.add("a", ["x".repeat(limits.maskFormsBytes)])).rejects.toMatchObject({ code: "invalid" });
  expect(await masks.of("a")).toEqual(["kept"]);
});
