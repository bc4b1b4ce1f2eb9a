/** What one test came to: written by the reporter, one JSON document a line, and read by test/run.ts. */
export interface TestResult {
  /** Path of the file from the root of the project. */
  file: string;
  /** Names of the suites and of the test. */
  name: string;
  state: "passed" | "failed" | "skipped";
  ms: number;
  /** Why it failed, with the place; why it was skipped. */
  reason?: string;
}

/** The variable that names the file for the results. */
export const resultsVariable = "SEATRIAL_TEST_RESULTS";
