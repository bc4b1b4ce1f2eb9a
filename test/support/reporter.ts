/**
 * Tells of tests as they run, in lines: for a terminal, and for a log that somebody reads while it grows. Quick tests are
 * told of by file, slow ones (end-to-end) one by one, at their start and at their end.
 */
import { appendFileSync } from "node:fs";
import { basename, relative } from "node:path";
import type { Reporter, TestCase, TestModule } from "vitest/node";
import { seconds } from "../../src/base/output.ts";
import { resultsVariable, type TestResult } from "./results.ts";

type Thrown = {
  message?: string;
  cause?: unknown;
  diff?: string;
  stack?: string;
  stacks?: { file: string; line: number; column: number }[];
};

export default class LinesReporter implements Reporter {
  #root = process.cwd();
  #isVerbose = false;

  onTestRunStart(specifications: readonly { project: { name: string }; moduleId: string }[]): void {
    this.#isVerbose = specifications.every(({ project }) => project.name === "e2e");
  }

  onTestCaseReady(test: TestCase): void {
    if (this.#isVerbose) say(`  ▶ ${shortFile(test)}: ${test.fullName}`);
  }

  onTestCaseResult(test: TestCase): void {
    const result = resultOf(test, this.#root);
    if (!result) return;
    record(result);
    if (result.state === "failed") say(`  ✗ ${result.file} > ${result.name} (${seconds(result.ms)})\n${indented(result.reason ?? "")}`);
    else if (result.state === "skipped") say(`  ○ ${result.file} > ${result.name}: skipped: ${result.reason}`);
    else if (this.#isVerbose) say(`  ✓ ${shortFile(test)}: ${result.name} (${seconds(result.ms)})`);
  }

  onTestModuleEnd(module: TestModule): void {
    const file = relative(this.#root, module.moduleId);
    for (const error of module.errors()) {
      const reason = reasonOf(error, this.#root);
      record({ file, name: "(the file itself)", state: "failed", ms: 0, reason });
      say(`  ✗ ${file}\n${indented(reason)}`);
    }
    for (const suite of module.children.allSuites()) {
      for (const error of suite.errors()) {
        const reason = reasonOf(error, this.#root);
        record({ file, name: `${suite.fullName} (a hook)`, state: "failed", ms: 0, reason });
        say(`  ✗ ${file} > ${suite.fullName}\n${indented(reason)}`);
      }
    }
    if (this.#isVerbose) return;
    const tests = [...module.children.allTests()].length;
    say(`  ${module.ok() ? "✓" : "✗"} ${file} (${tests} tests, ${seconds(module.diagnostic().duration)})`);
  }

  onTestRunEnd(_modules: readonly TestModule[], errors: readonly Thrown[]): void {
    for (const error of errors) {
      const reason = reasonOf(error, this.#root);
      record({ file: "(no test)", name: "an error that no test caught", state: "failed", ms: 0, reason });
      say(`  ✗ an error that no test caught\n${indented(reason)}`);
    }
  }

  onUserConsoleLog({ content }: { content: string }): void {
    say(indented(content.trimEnd()));
  }
}

/** Two files run side by side: each line says whose it is. */
function shortFile(test: TestCase): string {
  return basename(test.module.moduleId).replace(/\.e2e\.ts$/, "");
}

function resultOf(test: TestCase, root: string): TestResult | undefined {
  const result = test.result();
  if (result.state === "pending") return undefined;
  const common = { file: relative(root, test.module.moduleId), name: test.fullName, ms: test.diagnostic()?.duration ?? 0 };
  if (result.state === "passed") return { ...common, state: "passed" };
  if (result.state === "skipped") return { ...common, state: "skipped", reason: result.note ?? "no reason was given" };
  return { ...common, state: "failed", reason: result.errors.map((error) => reasonOf(error, root)).join("\n") };
}

function reasonOf(error: Thrown, root: string): string {
  const places = (error.stacks ?? []).filter(({ file }) => !file.includes("/node_modules/")).slice(0, 3);
  const at = places.map(({ file, line, column }) => `  at ${relative(root, file)}:${line}:${column}`);
  const stack = places.length === 0 && error.stack ? error.stack.split("\n").slice(1, 6) : [];
  const { message: cause } = (error.cause ?? {}) as { message?: string };
  return [
    error.message ?? "no message",
    ...(cause ? [`because: ${cause}`] : []),
    ...(error.diff ? [error.diff] : []),
    ...at,
    ...stack,
  ].join("\n");
}

function record(result: TestResult): void {
  const path = process.env[resultsVariable];
  if (path) appendFileSync(path, `${JSON.stringify(result)}\n`);
}

function indented(text: string): string {
  return text
    .split("\n")
    .map((line) => `      ${line}`)
    .join("\n");
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
