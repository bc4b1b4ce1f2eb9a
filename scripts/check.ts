/**
 * `make check`: every check, and every failure of each.
 *
 *   node scripts/check.ts [NAME…]     only those, by the names that it prints
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../src/base/errors.ts";
import { seconds } from "../src/base/output.ts";
import { CommandFailedError, run } from "../src/process/run.ts";
import { houseRuleFindings, projectFiles } from "./house-rules.ts";

const root = join(import.meta.dirname, "..");
const checkMs = 600_000;

interface Check {
  name: string;
  /** Gives what is wrong; nothing when all is well. */
  findings(): Promise<string>;
}

const checks: Check[] = [
  { name: "types", findings: async () => await output("tsc", ["--noEmit", "--pretty", "false"]) },
  { name: "lint", findings: async () => await output("oxlint", ["--report-unused-disable-directives-severity=error"]) },
  { name: "format", findings: async () => await output("oxfmt", ["--list-different"]) },
  { name: "unused", findings: async () => await output("knip", ["--no-progress"]) },
  { name: "house rules", findings: async () => (await houseRuleFindings(root, await projectFiles(root))).join("\n") },
  {
    name: "reference",
    findings: async () => (existsSync(join(root, "scripts", "reference.ts")) ? await node("scripts/reference.ts", "--check") : ""),
  },
];

const wanted = process.argv.slice(2);
const chosen = checks.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
const results = await Promise.all(
  chosen.map(async ({ name, findings }) => {
    const from = performance.now();
    const found = await findings().catch((error: unknown) => `could not be made: ${messageOf(error)}`);
    return { name, found: found.trim(), ms: performance.now() - from };
  }),
);
for (const { name, found } of results) if (found !== "") console.log(`── ${name}\n${found}\n`);
for (const { name, found, ms } of results) console.log(`${found === "" ? "✓" : "✗"} ${name} (${seconds(ms)})`);
if (results.some(({ found }) => found !== "")) {
  console.log("make fix repairs what can be repaired");
  process.exitCode = 1;
}

/** What a tool of node_modules prints when it fails. */
async function output(tool: string, args: readonly string[]): Promise<string> {
  return await printed(join(root, "node_modules", ".bin", tool), args);
}

async function node(...args: string[]): Promise<string> {
  return await printed(process.execPath, ["--disable-warning=ExperimentalWarning", ...args]);
}

async function printed(command: string, args: readonly string[]): Promise<string> {
  try {
    await run(command, args, { cwd: root, env: { ...process.env, NO_COLOR: "1" }, timeoutMs: checkMs });
    return "";
  } catch (error) {
    if (!(error instanceof CommandFailedError)) throw error;
    return [error.stdout, error.stderr].filter(Boolean).join("\n") || error.message;
  }
}
