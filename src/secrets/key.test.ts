import { randomBytes } from "node:crypto";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { openSecrets } from "./file.ts";
import { keyAt, keyFromFile, keyFromSecret, keyFromVariable } from "./key.ts";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "key-"));
  path = join(folder, "data", "secrets.key");
  const made = folder;
  onTestFinished(async () => await rm(made, { recursive: true, force: true }));
});

test("a file is made at the first use, for its owner alone, and read afterwards", async () => {
  const made = await keyFromFile(path)();
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(Buffer.from(await readFile(path, "utf8"), "base64")).toHaveLength(32);
  expect((await keyFromFile(path)()).id).toBe(made.id);
  expect(await readdir(join(folder, "data"))).toEqual(["secrets.key", "secrets.key.lock"]);
});

test("several first uses at once make one key", async () => {
  const keys = await Promise.all(Array.from({ length: 8 }, async () => await keyFromFile(path)()));
  expect(new Set(keys.map(({ id }) => id)).size).toBe(1);
});

test("a file that others can read is refused", async () => {
  await keyFromFile(path)();
  await chmod(path, 0o640);
  await expect(keyFromFile(path)()).rejects.toMatchObject({
    code: "refused",
    message: `the key of the secret store, ${path}, can be read or written by others`,
    hint: `chmod 600 ${path}`,
  });
});

test.each([
  ["empty", ""],
  ["too short", randomBytes(16).toString("base64")],
  ["too long", randomBytes(33).toString("base64")],
  ["no base64", "!".repeat(44)],
])("a file that is %s is an error and stays as it is", async (_name, text) => {
  await keyFromFile(path)();
  await writeFile(path, text);
  await expect(keyFromFile(path)()).rejects.toMatchObject({
    code: "invalid",
    message: `the key of the secret store, in ${path}, is not 32 bytes in base64`,
  });
  expect(await readFile(path, "utf8")).toBe(text);
});

test("a variable, a Secret's text and its bytes give the same key", async () => {
  const bytes = randomBytes(32);
  const text = bytes.toString("base64");
  const keys = await Promise.all([
    keyFromVariable("SEATRIAL_SECRETS_KEY", `${text}\n`)(),
    keyFromSecret("Secret seatrial/keys", "key", async () => ({ key: text }))(),
    keyFromSecret("Secret seatrial/keys", "key", async () => ({ key: Buffer.from(text).toString("base64") }))(),
  ]);
  expect(new Set(keys.map(({ id }) => id)).size).toBe(1);
  expect(keys[0]!.secret.export()).toEqual(bytes);
});

test.each([
  ["a variable", keyFromVariable("KEY", undefined), "the key of the secret store was looked for in KEY, which is not set"],
  [
    "a Secret",
    keyFromSecret("Secret a/b", "key", async () => undefined),
    "the key of the secret store was looked for in Secret a/b, which has no key",
  ],
  [
    "a field",
    keyFromSecret("Secret a/b", "key", async () => ({ other: "" })),
    "the key of the secret store was looked for in Secret a/b, which has no key",
  ],
])("%s that is not there is named", async (_name, source, message) => {
  await expect(source()).rejects.toMatchObject({ code: "not-found", message });
});

test("a key is not shown, and errors do not quote what was taken for one", async () => {
  const bytes = randomBytes(32);
  const key = await keyFromVariable("KEY", bytes.toString("base64"))();
  const shown = inspect(key, { depth: 9, showHidden: true }) + JSON.stringify(key);
  for (const encoding of ["base64", "hex", "latin1"] as const) expect(shown).not.toContain(bytes.toString(encoding));
  const error = await keyFromVariable("KEY", "hunter2")().catch((thrown: unknown) => thrown);
  expect(inspect(error)).not.toContain("hunter2");
});

test("a key is where a configuration says", async () => {
  const text = randomBytes(32).toString("base64");
  const asked: string[] = [];
  const places = {
    variables: { KEY: text },
    namespace: "seatrial",
    readSecret: async (namespace: string, name: string) => {
      asked.push(`${namespace}/${name}`);
      return await Promise.resolve(name === "keys" ? { key: Buffer.from(text).toString("base64") } : undefined);
    },
  };
  const keys = await Promise.all(
    [{ variable: "KEY" }, { secret: { name: "keys", field: "key" } }, { secret: { namespace: "other", name: "keys", field: "key" } }].map(
      async (place) => await keyAt(place, places)(),
    ),
  );
  expect(new Set(keys.map(({ id }) => id)).size).toBe(1);
  expect(asked).toEqual(["seatrial/keys", "other/keys"]);
  await expect(keyAt({ secret: { name: "none", field: "key" } }, places)()).rejects.toMatchObject({
    message: "the key of the secret store was looked for in Secret seatrial/none, which has no key",
  });
  await expect(keyAt({ file: path }, places, true)(), "an old one is not made").rejects.toMatchObject({
    message: `an old key of the secret store was looked for in ${path}, which is not there`,
  });
  const { id } = await keyAt({ file: path }, places)();
  expect((await keyAt({ file: path }, places, true)()).id).toBe(id);
});

test("secrets whose key is elsewhere get no second one beside them", async () => {
  const key = keyFromVariable("KEY", randomBytes(32).toString("base64"));
  const server = openSecrets(folder, { key, oldKeys: [] });
  await server.set("server", "TOKEN", "hunter2");
  await expect(openSecrets(folder).set("server", "OTHER", "x")).rejects.toMatchObject({
    code: "not-found",
    message: expect.stringContaining("secrets.key, their key, is not there"),
  });
  expect(await readdir(folder)).not.toContain("secrets.key");
  expect(await openSecrets(folder).list("server")).toHaveLength(1);
  expect((await server.forJob({ forge: "f", repositoryId: "1" }, "trusted")).reveal()).toEqual({ TOKEN: "hunter2" });
});
