import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { limits } from "../../base/limits.ts";
import { keepSummary } from "./summaries.ts";

test("of each step one, in parts; too much, or no folder, is told and fails nothing", () => {
  const artifacts = mkdtempSync(join(tmpdir(), "summaries-"));
  onTestFinished(() => rmSync(artifacts, { recursive: true }));
  const said: string[] = [];
  const keep = (step: number, text: string, folder = artifacts) => keepSummary(folder, step, text, (line) => said.push(line));
  keep(11, "# one");
  keep(11, "two\n");
  keep(2, "x".repeat(limits.summaryBytes));
  expect(readdirSync(join(artifacts, "step-summaries"))).toEqual(["0012.md"]);
  expect(readFileSync(join(artifacts, "step-summaries", "0012.md"), "utf8")).toBe("# one\ntwo\n");
  writeFileSync(join(artifacts, "file"), "");
  execFileSync("mkfifo", [join(artifacts, "step-summaries", "0005.md")]);
  keep(4, "to nobody");
  symlinkSync(join(artifacts, "file"), join(artifacts, "step-summaries", "0006.md"));
  keep(5, "elsewhere");
  expect(readFileSync(join(artifacts, "file"), "utf8")).toBe("");
  keep(0, "lost", join(artifacts, "file"));
  expect(said).toEqual([
    `the step's summary has ${limits.summaryBytes + 1} bytes; what is over ${limits.summaryBytes} is left out`,
    "the step's summary could not be kept: ENXIO",
    "the step's summary could not be kept: ELOOP",
    "the step's summary could not be kept: ENOTDIR",
  ]);
});
