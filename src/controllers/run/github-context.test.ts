import { expect, test } from "vitest";
import { runNamed } from "../../history/testdata/resources.ts";
import { defaultVariables } from "../../runner/steps/step-environment.ts";
import { githubContext } from "./github-context.ts";

test.each([
  [
    "a forge with pages",
    { server: "https://gitea.example/git", api: "https://gitea.example/git/api/v1" },
    { GITHUB_SERVER_URL: "https://gitea.example/git", GITHUB_API_URL: "https://gitea.example/git/api/v1" },
  ],
  ["a folder of this machine", undefined, { GITHUB_SERVER_URL: "", GITHUB_API_URL: "" }],
])("where the forge is: %s", (_, urls, expected) => {
  expect(defaultVariables(githubContext(runNamed("run-1"), {}, urls), {})).toMatchObject(expected);
});
