import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { builtinModules } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { bundleRunner, runnerBundle } from "./bundle.ts";

test("the runner is one light file: Node's own modules, and no package that takes long to load", async () => {
  const code = await bundleRunner();
  const required = [...code.matchAll(/(?:require|import)\("([^"]+)"\)/g)].map(([, name]) => name!);
  expect(required.filter((name) => !builtinModules.includes(name.replace(/^node:/, "")))).toEqual([]);
  expect(code).not.toMatch(/ZodType|undici/);
  expect(code.length).toBeLessThan(320 * 1024);
});

test("it is made once", async () => {
  const cache = await mkdtemp(join(tmpdir(), "bundle-"));
  onTestFinished(async () => await rm(cache, { recursive: true }));
  const path = await runnerBundle(cache);
  const made = await stat(path);
  expect(await readFile(path, "utf8")).toContain("seatrial runner");
  expect(await runnerBundle(cache)).toBe(path);
  expect((await stat(path)).mtimeMs).toBe(made.mtimeMs);
});
