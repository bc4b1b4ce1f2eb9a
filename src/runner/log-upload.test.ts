import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { limits } from "../base/limits.ts";
import { waitFor } from "../base/wait.ts";
import { LogUpload } from "./log-upload.ts";
import { Spool } from "./spool.ts";

/** A server that keeps what it was sent, and a spool that is sent to it. */
async function open(answer?: (offset: number, stored: number) => number | Promise<number>) {
  const folder = await mkdtemp(join(tmpdir(), "upload-"));
  const spool = new Spool(join(folder, "log"));
  onTestFinished(async () => {
    spool.close();
    await rm(folder, { recursive: true });
  });
  let stored = Buffer.alloc(0);
  const calls: { offset: number; length: number; at: number }[] = [];
  const broken: unknown[] = [];
  const log = async (offset: number, bytes: Buffer) => {
    calls.push({ offset, length: bytes.length, at: performance.now() });
    if (offset === stored.length) stored = Buffer.concat([stored, bytes]);
    return { offset: answer ? await answer(offset, stored.length) : stored.length };
  };
  const upload = new LogUpload(spool, { log }, (error) => broken.push(error));
  return { spool, upload, calls, broken, stored: () => stored.toString(), has: () => stored.length };
}

test("the first bytes go out at once, what comes quickly goes together, the rest at the end", async () => {
  const { spool, upload, calls, stored } = await open();
  const from = performance.now();
  spool.append(Buffer.from("first\n"));
  await waitFor("the first call", () => calls[0], { timeoutMs: 1_000, pollMs: 1 });
  expect(calls[0]!.at - from).toBeLessThan(100);
  for (let i = 0; i < 50; i++) spool.append(Buffer.from(`${i}\n`));
  await upload.finish();
  expect(stored()).toBe(`first\n${Array.from({ length: 50 }, (_, i) => `${i}\n`).join("")}`);
  expect(calls.length).toBeLessThanOrEqual(3);
});

test("nothing at all ends at once", async () => {
  const { upload, calls } = await open();
  await upload.finish();
  expect(calls).toEqual([]);
});

test("a call has a bound, and no pause where there is more", async () => {
  const { spool, upload, calls, has } = await open();
  const size = limits.runnerLogChunkBytes * 3 + 5;
  spool.append(Buffer.alloc(size, "x"));
  await upload.finish();
  expect(has()).toBe(size);
  expect(calls.map(({ length }) => length)).toEqual([
    limits.runnerLogChunkBytes,
    limits.runnerLogChunkBytes,
    limits.runnerLogChunkBytes,
    5,
  ]);
});

test("the server says where it is: what it has not is sent again, what it has is not", async () => {
  let call = 0;
  const { spool, upload, calls, stored } = await open((_offset, size) => (call++ === 0 ? 0 : size));
  spool.append(Buffer.from("hello\n"));
  await upload.finish();
  // It took the first call and lost its answer; the second it refused, and said where to go on.
  expect(calls.map(({ offset }) => offset)).toEqual([0, 0]);
  expect(stored()).toBe("hello\n");
});

test("an answer that cannot be is told once, and at the end", async () => {
  const { spool, upload, broken } = await open(() => 99);
  spool.append(Buffer.from("hello\n"));
  await waitFor("the trouble", () => broken[0], { timeoutMs: 1_000, pollMs: 5 });
  await expect(upload.finish()).rejects.toMatchObject({ code: "conflict" });
  expect(broken).toHaveLength(1);
});
