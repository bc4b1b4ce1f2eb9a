/**
 * The phases of a job as kubetest2 writes them (kubetest2 pkg/metadata): `junit_runner.xml` and `metadata.json`, which
 * TestGrid, Spyglass and their like read.
 */
import { open, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";

export interface JunitCase {
  name: "Up" | "Test" | "Down";
  ms: number;
  failure?: string;
}

/** Makes the files that {@link writeJunit} will write, where they are missing. @throws SeatrialError `usage` when they cannot be. */
export async function tryJunit(path: string): Promise<void> {
  try {
    makeFolder(dirname(path));
    for (const file of [path, metadataPath(path)]) await (await open(file, "a")).close();
  } catch (error) {
    throw new SeatrialError("usage", `--junit ${path} cannot be written: ${messageOf(error)}`, {
      hint: "--junit FILE: a file, and metadata.json beside it",
      cause: error,
    });
  }
}

/** Writes the report, and metadata.json beside it. */
export async function writeJunit(path: string, cases: readonly JunitCase[]): Promise<void> {
  await writeFile(path, junitXml(cases));
  await writeFile(metadataPath(path), `${JSON.stringify({ "deployer-version": "seatrial", "tester-version": "exec" })}\n`);
}

function metadataPath(path: string): string {
  return join(dirname(path), "metadata.json");
}

export function junitXml(cases: readonly JunitCase[]): string {
  const seconds = (ms: number) => (ms / 1000).toFixed(6);
  const total = cases.reduce((sum, { ms }) => sum + ms, 0);
  const failures = cases.filter(({ failure }) => failure !== undefined).length;
  const lines = cases.map(({ name, ms, failure }) => {
    const open = `<testcase name="${name}" classname="kubetest2" time="${seconds(ms)}"`;
    return failure === undefined ? `  ${open}></testcase>` : `  ${open}>\n    <failure>${escape(failure)}</failure>\n  </testcase>`;
  });
  return `<testsuite name="kubetest2" failures="${failures}" tests="${cases.length}" time="${seconds(total)}">\n${lines.join("\n")}\n</testsuite>\n`;
}

/** Characters that XML 1.0 cannot hold at all are left out. */
function escape(text: string): string {
  return text
    .replaceAll(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD]/g, "")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;");
}
