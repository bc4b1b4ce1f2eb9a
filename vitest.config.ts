/**
 * Three projects: `unit` (with the conformance suites that need no cluster), in parallel; `e2e`, one file after the other; `workflows`,
 * the conformance cases of workflow files, several at a time against one server.
 */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    retry: 0,
    // Tests wait for states, each with a deadline of its own; this is the bound for those that forgot.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 120_000,
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["src/**/*.test.ts", "lab/**/*.test.ts", "bench/**/*.test.ts", "test/**/*.test.ts"],
          pool: "forks",
          // All processors: one less is Vitest's default, and half of the smallest machine.
          maxWorkers: "100%",
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.e2e.ts"],
          pool: "forks",
          fileParallelism: false,
          // Two clusters boot side by side on the smallest machine; more only take longer together.
          maxConcurrency: 2,
          testTimeout: 600_000,
          hookTimeout: 1_200_000,
        },
      },
      {
        extends: true,
        test: {
          name: "workflows",
          include: ["test/workflows/**/*.e2e.ts"],
          pool: "forks",
          // More than there are processors: a case waits for its runner most of the time.
          maxConcurrency: 6,
          testTimeout: 120_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
