import { expect, test } from "vitest";
import { defaultVariables, StepEnvironment } from "./step-environment.ts";

test("default variables are those of GitHub's reference that have a value", () => {
  const github = { sha: "abc", run_id: 7, ref_protected: false, event: { a: 1 }, token: "secret", head_ref: null };
  expect(defaultVariables(github, { os: "Linux", temp: "/t", tool_cache: "/c", other: "x" })).toEqual({
    GITHUB_ACTIONS: "true",
    GITHUB_SHA: "abc",
    GITHUB_RUN_ID: "7",
    GITHUB_REF_PROTECTED: "false",
    RUNNER_OS: "Linux",
    RUNNER_TEMP: "/t",
    RUNNER_TOOL_CACHE: "/c",
  });
});

function open() {
  return new StepEnvironment({
    inherited: { PATH: "/bin", HOME: "/root" },
    given: { CI: "true", KUBECONFIG: "/given" },
    job: { A: "job", B: "job", C: "job", GITHUB_SHA: "forged", CI: "false" },
    defaults: { GITHUB_SHA: "abc" },
  });
}

test("later ones win, and nobody overwrites GITHUB_*", () => {
  const environment = open();
  environment.add(
    new Map([
      ["B", "added"],
      ["C", "added"],
    ]),
  );
  expect(environment.variables({ C: "step" }, { GITHUB_OUTPUT: "/out" })).toEqual({
    CI: "false",
    KUBECONFIG: "/given",
    A: "job",
    B: "added",
    C: "step",
    GITHUB_SHA: "abc",
    GITHUB_OUTPUT: "/out",
  });
  expect(environment.context({ C: "step" })).toMatchObject({ A: "job", B: "added", C: "step" });
});

test("what a step may not set for those after it", () => {
  const environment = open();
  const refused = environment.add(
    new Map([
      ["GITHUB_TOKEN", "x"],
      ["RUNNER_OS", "x"],
      ["NODE_OPTIONS", "x"],
      ["OK", "y"],
    ]),
  );
  expect(refused).toEqual(["GITHUB_TOKEN", "RUNNER_OS", "NODE_OPTIONS"]);
  expect(environment.context()["OK"]).toBe("y");
});

test("folders that steps add come first, the latest before all, each once", () => {
  const environment = open();
  environment.addPaths(["/b", "/a"]);
  environment.addPaths(["/c", "/a"]);
  expect(environment.variables({}, {})["PATH"]).toBe("/c:/a:/b:/bin");
  expect(environment.variables({ PATH: "/own" }, {})["PATH"]).toBe("/c:/a:/b:/own");
});
