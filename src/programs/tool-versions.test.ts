import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Environment, environmentFrom } from "../base/environment.ts";
import { ToolVersions } from "./tool-versions.ts";

async function machine(
  tools: Record<string, string>,
): Promise<{ environment: Environment; write: typeof writeTool; calls(): Promise<number> }> {
  const home = await mkdtemp(join(tmpdir(), "tools-"));
  onTestFinished(async () => await rm(home, { recursive: true, force: true }));
  const bin = join(home, "bin");
  await mkdir(bin);
  const environment = environmentFrom({
    variables: { PATH: bin, SEATRIAL_CACHE: join(home, "cache") },
    homeDir: home,
    tempDir: home,
    uid: 0,
    cwd: home,
  });
  const write = async (name: string, says: string) => await writeTool(join(bin, name), says, join(home, "calls"));
  for (const [name, says] of Object.entries(tools)) await write(name, says);
  return { environment, write, calls: async () => (await readFile(join(home, "calls"), "utf8").catch(() => "")).split("\n").length - 1 };
}

async function writeTool(path: string, says: string, calls = "/dev/null"): Promise<void> {
  await writeFile(path, `#!/bin/sh\necho "$0 $*" >> ${calls}\n${says}\n`);
  await chmod(path, 0o755);
}

describe("versions of tools", () => {
  test("each tool in PATH, as it writes its version itself; what does not tell is unknown, what is not there is left out", async () => {
    const { environment } = await machine({
      bash: "echo 'GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)'",
      docker: "echo 'Docker version 20.10.24+dfsg1, build 297e128'",
      git: "echo 'git version 2.39.5'",
      go: "echo 'go version go1.26.3 linux/amd64'",
      kubectl: "echo 'Client Version: v1.36.3'",
      make: "echo 'GNU Make 4.3'",
      helm: "exit 1",
      python3: "echo nothing",
    });
    expect(await new ToolVersions(environment).inPath()).toEqual({
      bash: "5.2.15",
      docker: "20.10.24+dfsg1",
      git: "2.39.5",
      go: "1.26.3",
      kubectl: "1.36.3",
      make: "4.3",
      helm: "unknown",
      python3: "unknown",
    });
  });

  test("a tool is asked once, by this process and the next, until its file is another", async () => {
    const { environment, write, calls } = await machine({ git: "echo 'git version 2.39.5'" });
    const versions = new ToolVersions(environment);
    await Promise.all([versions.inPath(), versions.inPath()]);
    expect(await new ToolVersions(environment).inPath()).toEqual({ git: "2.39.5" });
    expect(await calls()).toBe(1);
    await write("git", "echo 'git version 2.47.0 (another)'");
    expect(await versions.inPath()).toEqual({ git: "2.47.0" });
    expect(await calls()).toBe(2);
  });
});
