import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { Spool } from "./spool.ts";

let path: string;
beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), "spool-"));
  path = join(folder, "log");
  onTestFinished(async () => await rm(folder, { recursive: true }));
});

function open(most?: number): Spool {
  const spool = new Spool(path, most);
  onTestFinished(() => spool.close());
  return spool;
}

test("bytes are read from the offset that is wanted, before and after some were acknowledged", () => {
  const spool = open();
  spool.append(Buffer.from("hello "));
  spool.append(Buffer.from("world"));
  expect(spool.read(0, 5).toString()).toBe("hello");
  spool.acknowledge(6);
  expect(spool.read(6, 100).toString()).toBe("world");
  expect({ end: spool.end, acknowledged: spool.acknowledged }).toEqual({ end: 11, acknowledged: 6 });
});

test("the server may have lost what it had not stored; it cannot want what is gone or never was", () => {
  const spool = open(10);
  spool.append(Buffer.from("0123456789"));
  spool.acknowledge(6);
  spool.acknowledge(2);
  expect(spool.read(2, 3).toString()).toBe("234");
  spool.acknowledge(10);
  expect(() => spool.acknowledge(9)).toThrow("the server asks for the log from byte 9 on, and the runner has the bytes from 10 to 10");
  expect(() => spool.acknowledge(11)).toThrow("from byte 11 on");
});

test("one that is full has room again when all of it is acknowledged, and its file is empty then", async () => {
  const spool = open(10);
  let drained = 0;
  spool.onDrained(() => drained++);
  spool.append(Buffer.from("01234567"));
  expect(spool.isFull).toBe(false);
  spool.append(Buffer.from("89ab"));
  expect(spool.isFull).toBe(true);
  spool.acknowledge(11);
  expect({ isFull: spool.isFull, drained }).toEqual({ isFull: true, drained: 0 });
  spool.acknowledge(12);
  expect({ isFull: spool.isFull, drained }).toEqual({ isFull: false, drained: 1 });
  expect((await stat(path)).size).toBe(0);
  spool.append(Buffer.from("next"));
  expect(spool.read(12, 10).toString()).toBe("next");
});

test("the file is its user's alone", async () => {
  open();
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});
