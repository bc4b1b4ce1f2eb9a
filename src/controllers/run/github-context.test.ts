import { expect, test } from "vitest";
import { runNamed } from "../../history/testdata/resources.ts";
import { defaultVariables } from "../../runner/steps/step-environment.ts";
import { githubContext, workflowOfJob } from "./github-context.ts";

test.each([
  [
    "a forge with pages",
    { server: "https://gitea.example/git", api: "https://gitea.example/git/api/v1" },
    { GITHUB_SERVER_URL: "https://gitea.example/git", GITHUB_API_URL: "https://gitea.example/git/api/v1" },
  ],
  ["a folder of this machine", undefined, { GITHUB_SERVER_URL: "", GITHUB_API_URL: "" }],
])("where the forge is: %s", (_, urls, expected) => {
  const variables = defaultVariables(githubContext(runNamed("run-1"), {}, { urls, retentionDays: 30 }), {});
  expect(variables).toMatchObject({ ...expected, GITHUB_GRAPHQL_URL: "", GITHUB_RETENTION_DAYS: "30" });
});

const commit = "0123456789abcdef0123456789abcdef01234567";
test.each([
  ["the run's own", undefined, {}],
  ["a called one", ".seatrial/called.yml", { workflow_file_path: ".seatrial/called.yml" }],
  [
    "one of another repository, by its tag",
    "acme/ci/.github/workflows/a.yml@v1",
    {
      workflow_ref: "acme/ci/.github/workflows/a.yml@v1",
      workflow_sha: "",
      workflow_repository: "acme/ci",
      workflow_file_path: ".github/workflows/a.yml",
    },
  ],
  [
    "one of another repository, by its commit",
    `acme/ci/.github/workflows/a.yml@${commit}`,
    { workflow_sha: commit, workflow_repository: "acme/ci" },
  ],
])("the workflow file of a job: %s", (_, called, expected) => {
  const run = runNamed("run-1");
  const { source, workflow } = run.spec;
  expect(workflowOfJob(run, called)).toEqual({
    workflow_ref: `${source.repository.name}/${called ?? workflow.path}@${source.ref}`,
    workflow_sha: source.commit,
    workflow_repository: source.repository.name,
    workflow_file_path: called ?? workflow.path,
    ...(called?.includes("@") ? { workflow_ref: called, workflow_file_path: ".github/workflows/a.yml" } : {}),
    ...expected,
  });
});
