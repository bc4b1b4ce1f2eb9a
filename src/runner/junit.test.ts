import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { junitXml, tryJunit } from "./junit.ts";

test("the phases as kubetest2 writes them", () => {
  const xml = junitXml([
    { name: "Up", ms: 1500 },
    { name: "Test", ms: 250, failure: "exit <3> & \u0000more" },
    { name: "Down", ms: 0 },
  ]);
  expect(xml).toBe(
    [
      '<testsuite name="kubetest2" failures="1" tests="3" time="1.750000">',
      '  <testcase name="Up" classname="kubetest2" time="1.500000"></testcase>',
      '  <testcase name="Test" classname="kubetest2" time="0.250000">',
      "    <failure>exit &lt;3&gt; &amp; more</failure>",
      "  </testcase>",
      '  <testcase name="Down" classname="kubetest2" time="0.000000"></testcase>',
      "</testsuite>",
      "",
    ].join("\n"),
  );
});

test("where it will be written is tried: a folder is no file", async () => {
  const folder = await mkdtemp(join(tmpdir(), "junit-"));
  onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  await expect(tryJunit(folder)).rejects.toMatchObject({
    code: "usage",
    message: expect.stringContaining(`--junit ${folder} cannot be written: EISDIR`) as string,
  });
  await tryJunit(join(folder, "deep", "junit_runner.xml"));
  expect(await readdir(join(folder, "deep"))).toEqual(["junit_runner.xml", "metadata.json"]);
});

test.runIf(existsSync("/proc/self")).each(["/proc/x.xml", "/proc/x/y.xml"])("%s is told to be impossible", async (path) => {
  await expect(tryJunit(path)).rejects.toMatchObject({ code: "usage" });
});
