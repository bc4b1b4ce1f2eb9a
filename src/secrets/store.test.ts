import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { access, mkdtemp, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { limits } from "../base/limits.ts";
import { waitFor } from "../base/wait.ts";
import { fileBackend } from "./file.ts";
import { type KeySource, keyFromFile, keyFromVariable } from "./key.ts";
import type { SecretRecord } from "./record.ts";
import { SecretStore } from "./store.ts";
import { SecretValues } from "./values.ts";

const repository = { forge: "local", repositoryId: "7" };
const newKey = () => keyFromVariable("KEY", randomBytes(32).toString("base64"));

let path: string;
let key: KeySource;
let now: Date;
let store: SecretStore;
beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), "secrets-"));
  onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  path = join(folder, "secrets.json");
  key = newKey();
  now = new Date("2026-01-02T03:04:05Z");
  store = storeWith(key);
});

function storeWith(current: KeySource, oldKeys: KeySource[] = []): SecretStore {
  return new SecretStore({ backend: fileBackend(path), key: current, oldKeys, now: () => now });
}

const recordsOf = async () => (JSON.parse(await readFile(path, "utf8")) as { records: SecretRecord[] }).records;

async function alter(change: (records: SecretRecord[]) => unknown): Promise<void> {
  const records = await recordsOf();
  change(records);
  await writeFile(path, JSON.stringify({ version: 1, records }));
}

test("a job of the trusted lane gets the server's secrets, and over them its repository's", async () => {
  await store.set("server", "registry_password", "of the server");
  await store.set("server", "ONLY_SERVER", "s");
  await store.set(repository, "REGISTRY_PASSWORD", "of the repository, é\n");
  await store.set({ ...repository, repositoryId: "8" }, "OTHER", "o");
  await store.set({ ...repository, forge: "gitea" }, "OTHER", "o");
  expect((await store.forJob(repository, "trusted")).reveal()).toEqual({
    REGISTRY_PASSWORD: "of the repository, é\n",
    ONLY_SERVER: "s",
  });
});

test("the untrusted lane gets none, and neither file nor key is looked at", async () => {
  await store.set("server", "TOKEN", "hunter2");
  await writeFile(path, "broken");
  const blind = storeWith(async () => await Promise.reject(new Error("the key was asked for")));
  expect((await blind.forJob(repository, "untrusted")).reveal()).toEqual({});
});

test("a list has names and times, and needs no key", async () => {
  await store.set(repository, "b", "1");
  await store.set(repository, "A", "1");
  now = new Date("2026-01-03T00:00:00Z");
  await store.set(repository, "B", "2");
  const blind = storeWith(async () => await Promise.reject(new Error("the key was asked for")));
  expect(await blind.list(repository)).toEqual([
    { name: "A", createdAt: "2026-01-02T03:04:05.000Z", updatedAt: "2026-01-02T03:04:05.000Z" },
    { name: "B", createdAt: "2026-01-02T03:04:05.000Z", updatedAt: "2026-01-03T00:00:00.000Z" },
  ]);
  expect(await blind.list("server")).toEqual([]);
});

test("remove says whether it was there", async () => {
  await store.set(repository, "TOKEN", "hunter2");
  expect(await store.remove("server", "TOKEN")).toBe(false);
  expect(await store.remove(repository, "token")).toBe(true);
  expect(await store.remove(repository, "token")).toBe(false);
  expect(await store.list(repository)).toEqual([]);
});

test("the file is its owner's alone and holds no value", async () => {
  await store.set(repository, "TOKEN", "hunter2hunter2");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const text = await readFile(path, "utf8");
  for (const encoding of ["utf8", "base64", "hex"] as const) expect(text).not.toContain(Buffer.from("hunter2hunter2").toString(encoding));
  await store.set(repository, "OTHER", "hunter2hunter2");
  const [a, b] = await recordsOf();
  expect(a!.nonce).not.toBe(b!.nonce);
  expect(a!.sealed).not.toBe(b!.sealed);
});

test.each<[string, string, string, string]>([
  ["an empty name", "", "x", 'the name of secret "" must not be empty'],
  ["a name with a dash", "A-B", "x", 'the name of secret "A-B" must have letters, digits and _ only'],
  ["a name with a digit first", "1A", "x", 'the name of secret "1A" must not begin with a digit'],
  ["a name of the forge", "github_x", "x", `the name of secret "github_x" must not begin with GITHUB_: these are the forge's own`],
  ["a name that is too long", "A".repeat(256), "x", `the name of secret "${"A".repeat(256)}" must not be longer than 255 characters`],
  ["an empty value", "A", "", "the value of secret A is empty"],
  ["a value over the bound", "A", "é".repeat(24_577), "the value of secret A has 49154 bytes; 49152 are allowed"],
])("%s is refused", async (_name, secret, value, message) => {
  await expect(store.set(repository, secret, value)).rejects.toMatchObject({ code: "invalid", message });
  await expect(access(path)).rejects.toThrow("ENOENT");
});

test("a scope has no more than its share; what is there can still be changed", async () => {
  await store.set(repository, "S0", "x");
  await alter((records) => {
    for (let i = 1; i < limits.secretsPerScope; i++) records.push({ ...records[0]!, name: `S${i}` });
  });
  await expect(store.set(repository, "MORE", "hunter2")).rejects.toMatchObject({
    code: "refused",
    message: /^repository local\/7 has 100 secrets/,
  });
  await store.set(repository, "s1", "changed");
  await store.set("server", "MORE", "x");
});

const cannotDecrypt =
  "secret TOKEN of repository local/7 cannot be decrypted: its record was altered, or moved there from another name or scope";
const flip = (base64: string) => {
  const bytes = Buffer.from(base64, "base64");
  bytes[0]! ^= 1;
  return bytes.toString("base64");
};

test.each<[string, (records: SecretRecord[]) => unknown]>([
  ["its value was altered", ([token]) => (token!.sealed = flip(token!.sealed))],
  ["its nonce was altered", ([token]) => (token!.nonce = flip(token!.nonce))],
  ["its tag was altered", ([token]) => (token!.tag = flip(token!.tag))],
  ["its tag was cut", ([token]) => (token!.tag = Buffer.from(token!.tag, "base64").subarray(0, 4).toString("base64"))],
  ["it was moved from another name", (records) => records.splice(0, 1, { ...records[1]!, name: "TOKEN" })],
  ["it was moved from another repository", (records) => records.splice(0, 1, { ...records[2]!, scope: repository })],
  ["it was moved from the server", (records) => records.splice(0, 1, { ...records[3]!, scope: repository })],
])("no job gets secrets when %s", async (_name, change) => {
  await store.set(repository, "TOKEN", "hunter2");
  await store.set(repository, "OTHER", "hunter2");
  await store.set({ ...repository, repositoryId: "8" }, "TOKEN", "hunter2");
  await store.set("server", "TOKEN", "hunter2");
  await alter(change);
  await expect(store.forJob(repository, "trusted")).rejects.toMatchObject({ code: "invalid", message: cannotDecrypt });
});

test("with another key nothing is read, and the error names both", async () => {
  await store.set(repository, "TOKEN", "hunter2");
  const other = newKey();
  await expect(storeWith(other).forJob(repository, "trusted")).rejects.toMatchObject({
    code: "not-found",
    message: `secret TOKEN of repository local/7 was encrypted with key ${(await key()).id}; given: ${(await other()).id}`,
  });
});

test("rotation encrypts everything anew; then the old key is not needed", async () => {
  await store.set(repository, "A", "1");
  await store.set("server", "B", "2");
  const next = newKey();
  const both = storeWith(next, [key]);
  await both.set(repository, "C", "3");
  expect((await both.forJob(repository, "trusted")).reveal()).toEqual({ A: "1", B: "2", C: "3" });
  expect(await both.rotate()).toBe(2);
  expect(await both.rotate()).toBe(0);
  expect((await storeWith(next).forJob(repository, "trusted")).reveal()).toEqual({ A: "1", B: "2", C: "3" });
});

test("rotation changes nothing when one record cannot be read", async () => {
  await store.set(repository, "A", "1");
  await storeWith(newKey()).set(repository, "B", "2");
  const before = await readFile(path, "utf8");
  await expect(storeWith(newKey(), [key]).rotate()).rejects.toMatchObject({ code: "not-found" });
  expect(await readFile(path, "utf8")).toBe(before);
});

test.each<[string, () => Promise<void>]>([
  ["truncated", async () => await truncate(path, 100)],
  ["empty", async () => await truncate(path, 0)],
  ["of another form", async () => await writeFile(path, '{"version":2,"records":[]}')],
])("a file that is %s is an error, and is not overwritten", async (_name, breakIt) => {
  await store.set(repository, "TOKEN", "hunter2");
  await breakIt();
  const before = await readFile(path, "utf8");
  const expected = { code: "invalid", message: `${path} is not a whole file of secrets; it was not touched` };
  await expect(store.list(repository)).rejects.toMatchObject(expected);
  await expect(store.set(repository, "TOKEN", "x")).rejects.toMatchObject(expected);
  await expect(store.forJob(repository, "trusted")).rejects.toMatchObject(expected);
  expect(await readFile(path, "utf8")).toBe(before);
});

test("two writers at once lose nothing", async () => {
  const writers = [store, storeWith(key)];
  await Promise.all(Array.from({ length: 20 }, async (_, i) => await writers[i % 2]!.set(repository, `S${i}`, `value ${i}`)));
  const values = (await store.forJob(repository, "trusted")).reveal();
  expect(values).toEqual(Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`S${i}`, `value ${i}`])));
});

test("what a killed writer left beside the file is harmless", async () => {
  await store.set(repository, "TOKEN", "old");
  await writeFile(`${path}.new`, '{"version":1,"rec', { mode: 0o644 });
  expect((await store.forJob(repository, "trusted")).reveal()).toEqual({ TOKEN: "old" });
  await store.set(repository, "TOKEN", "new");
  expect((await store.forJob(repository, "trusted")).reveal()).toEqual({ TOKEN: "new" });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test("a writer that is killed at any moment leaves a whole file with each value that it said was set", async () => {
  const keyPath = `${path}.key`;
  const ours = storeWith(keyFromFile(keyPath));
  await ours.set(repository, "N", "0");
  const from = (file: string) => JSON.stringify(join(import.meta.dirname, file));
  const script = `
    const { fileBackend } = await import(${from("file.ts")});
    const { keyFromFile } = await import(${from("key.ts")});
    const { SecretStore } = await import(${from("store.ts")});
    const store = new SecretStore({ backend: fileBackend(${JSON.stringify(path)}), key: keyFromFile(${JSON.stringify(keyPath)}), now: () => new Date() });
    for (let n = Number(process.argv[1]); ; n++) {
      await store.set(${JSON.stringify(repository)}, "N", String(n));
      process.stdout.write(n + "\\n");
    }`;
  let last = 0;
  for (const more of [1, 3, 5]) {
    const child = spawn(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", script, String(last + 1)],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    onTestFinished(() => void child.kill("SIGKILL"));
    const goal = last + more;
    child.stdout.on("data", (chunk: Buffer) => (last = Number(chunk.toString().trim().split("\n").at(-1))));
    await waitFor(`the writer to get to ${goal}`, () => (last >= goal ? true : undefined), { timeoutMs: 30_000, pollMs: 1 });
    child.kill("SIGKILL");
    await once(child, "close");
    const { N } = (await ours.forJob(repository, "trusted")).reveal();
    // It may have been killed after the write, before it said so.
    expect([last, last + 1]).toContain(Number(N));
    last = Number(N);
  }
});

test("nothing that prints, logs or serialises shows a value", async () => {
  await store.set(repository, "TOKEN", "hunter2");
  const values = await store.forJob(repository, "trusted");
  const shown = [
    `${String(values)}`,
    inspect(values, { depth: 9, showHidden: true }),
    JSON.stringify({ values }),
    inspect(store, { depth: 9 }),
  ];
  for (const text of shown) expect(text).not.toContain("hunter2");
  expect(String(values)).toBe("secrets: TOKEN");
  expect(JSON.stringify(values)).toBe('{"names":["TOKEN"]}');
  expect(inspect(new SecretValues())).toBe("[secrets: none]");
});
