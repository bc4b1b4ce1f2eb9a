import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { environmentFrom } from "../base/environment.ts";
import { CommandWorkspace } from "./start.ts";

test("a Docker host that cannot be connected to is tried once for all that asks for it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "st-"));
  onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  // An ssh whose host refuses; it counts how often it is run.
  const script = `#!/bin/sh\necho >>"${folder}/count"\necho "ssh: connect to host dead port 22: Connection refused" >&2\nexit 255\n`;
  await writeFile(join(folder, "ssh"), script, { mode: 0o700 });
  const environment = environmentFrom({
    variables: { DOCKER_HOST: "unix:///nowhere.sock", PATH: `${folder}:${process.env["PATH"]}`, XDG_RUNTIME_DIR: folder },
    homeDir: folder,
    tempDir: folder,
    uid: 1,
    cwd: folder,
  });
  const quiet = { out: () => {}, write: () => {}, err: () => {} };
  await using workspace = new CommandWorkspace(environment, quiet, new AbortController().signal);
  const connect = async () => await (await workspace.onHost("ssh://dead")).docker();
  await expect(connect()).rejects.toMatchObject({ code: "unreachable" });
  const once = await readFile(join(folder, "count"), "utf8");
  await expect(connect()).rejects.toThrow(/cannot connect to ssh:\/\/dead/);
  expect(await readFile(join(folder, "count"), "utf8")).toBe(once);
});
