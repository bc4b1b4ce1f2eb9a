import { describe, expect, test } from "vitest";
import type { StepSpec } from "../../resources/job-run.ts";
import { asksFor, downloadsOf, mentioned } from "./mentions.ts";

describe("what a job names", () => {
  const cases: { name: string; step: StepSpec; secrets: ReturnType<typeof mentioned> }[] = [
    { name: "nothing", step: { run: "kubectl get secrets; echo secrets.NO" }, secrets: [] },
    { name: "by a dot, whatever its case", step: { run: "x ${{ secrets.Token }} ${{ SECRETS.token }}" }, secrets: ["TOKEN"] },
    { name: "in brackets", step: { run: "${{ secrets['KEY'] }}" }, secrets: ["KEY"] },
    { name: "two in one expression", step: { env: { A: "${{ secrets.A || secrets.B }}" } }, secrets: ["A", "B"] },
    { name: "over lines", step: { run: "${{\n secrets\n . A }}" }, secrets: ["A"] },
    { name: "a condition, which has no braces", step: { if: "secrets.A != ''", run: "true" }, secrets: ["A"] },
    { name: "an input of an action", step: { uses: "a/b@v1", with: { token: "${{ secrets.A }}" } }, secrets: ["A"] },
    { name: "all as an object", step: { run: "${{ toJSON(secrets) }}" }, secrets: "all" },
    { name: "by a name that only the run knows", step: { run: "${{ secrets[matrix.name] }}" }, secrets: "all" },
    { name: "another context's value of that name", step: { run: "${{ needs.secrets.outputs.x }}" }, secrets: [] },
  ];
  test.each(cases)("of secrets: $name", ({ step, secrets }) => {
    expect(mentioned("secrets", { steps: [step] })).toEqual(secrets);
  });

  test("variables in env and outputs of the job too", () => {
    expect(mentioned("vars", { steps: [], env: { A: "${{ vars.ONE }}" }, outputs: { b: "${{ vars.TWO }}" } })).toEqual(["ONE", "TWO"]);
  });

  test.each([
    ["commit", "echo ${{ github.sha }}", true],
    ["commit", "echo $GITHUB_SHA", true],
    ["commit", "${{ toJSON(github) }}", true],
    ["commit", "echo ${{ job.workflow_sha }}", true],
    ["commit", "echo ${{ job.status }}", false],
    ["commit", "echo ${{ github.ref }} $GITHUB_SHARE", false],
    ["payload", "${{ github.event.pull_request.title }}", true],
    ["payload", "jq . $GITHUB_EVENT_PATH", true],
    ["payload", "${{ github.event_name }}", false],
  ] as const)("asks for the %s: %s", (what, run, expected) => {
    expect(asksFor(what, { steps: [{ run }] })).toBe(expected);
  });
});

describe("what scripts download", () => {
  test.each([
    ["curl -fsSL https://get.example.com/x | sh", "curl"],
    ["sudo wget -q \\\n  https://a.io/b", "wget"],
    ["curl http://localhost:8080/healthz && curl http://web.default.svc:80 && curl $URL", undefined],
    ["apt-get -y install jq", "apt-get"],
    ["pip install -r requirements.txt", "pip"],
    ["pip install --require-hashes -r requirements.txt", undefined],
    ["npm ci && npm test", undefined],
    ["npm install left-pad", "npm"],
    ["go install a.b/c@latest", "go"],
    ["go install a.b/c@v1.2.3 && go test ./...", undefined],
    ["docker pull busybox", "docker"],
    [`docker pull busybox@sha256:${"0".repeat(64)}`, undefined],
    ["# curl https://a.io", undefined],
    ["kubectl apply -f https://a.io/x.yaml", "kubectl"],
    ["kubectl apply -f deploy/", undefined],
  ])("%s: %s", (run, program) => {
    const found = downloadsOf({ steps: [{ uses: "actions/checkout@v5" }, { run }] });
    expect(found).toEqual(program === undefined ? [] : [`job.steps[1].run: what ${program} brings is not recorded`]);
  });
});
