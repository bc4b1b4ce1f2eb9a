import { expect, test } from "vitest";
import { formatProblem, InvalidError } from "../base/errors.ts";
import { decideJob } from "./plan/decide.ts";
import { readWorkflow } from "./read/read.ts";

const job = (text: string) => `on: push\njobs:\n  a:\n${text.replaceAll(/^/gm, "    ")}\n    steps: [{run: x}]\n`;

function problemsOf(text: string): string[] {
  try {
    readWorkflow(job(text), "f.yml");
    return [];
  } catch (error) {
    if (error instanceof InvalidError) return error.problems.map(formatProblem);
    throw error;
  }
}

/** What the JobRuns of job `a` have of containers. */
function planned(text: string, github: Record<string, string> = {}) {
  const workflow = readWorkflow(job(text), "f.yml");
  const status = { isSuccess: true, isFailure: false, isCancelled: false };
  const decision = decideJob(workflow, "a", { github, vars: { TAG: "18" }, needs: {} }, status);
  if (decision.kind !== "run") return decision;
  return decision.cells.map(({ container, services }) => ({ ...(container && { container }), ...(services && { services }) }));
}

test.each<[string, string, string[]]>([
  ["an image alone", "container: node:24", []],
  ["an empty container", "container:", []],
  ["no image", "container: {env: {A: b}}", ["f.yml:4:5: jobs.a.container.image: is required"]],
  [
    "no reference of an image",
    "container: Node 24",
    ['f.yml:4:16: jobs.a.container: "Node 24" is no reference of an image, as in node:24 or registry.example/ci@sha256:…'],
  ],
  ["another key", "container: {image: x, privileged: true}", ["f.yml:4:27: jobs.a.container.privileged: is not a known key"]],
  [
    "a part of the host",
    "container:\n  image: x\n  options: --cpus 1 --privileged\n  volumes: [/var/run/docker.sock:/var/run/docker.sock, ok:/data]",
    [
      "f.yml:6:16: jobs.a.container.options: --privileged is refused: it would give the job a part of its host",
      'f.yml:7:17: jobs.a.container.volumes[0]: volume "/var/run/docker.sock:/var/run/docker.sock" is refused: it is a folder of the host',
    ],
  ],
  [
    "half of the credentials",
    "container: {image: x, credentials: {username: me}}",
    ["f.yml:4:40: jobs.a.container.credentials.password: is required"],
  ],
  [
    "a secret in the image",
    "container: {image: '${{ secrets.X }}'}",
    ["f.yml:4:29: jobs.a.container.image: context secrets is not available here; there are: github, inputs, vars, needs, strategy, matrix"],
  ],
  [
    "secrets where they may be",
    "container: {image: x, credentials: {username: me, password: '${{ secrets.X }}'}, env: {A: '${{ secrets.Y }}'}}",
    [],
  ],
  [
    "services as GitHub's guide has them",
    'services:\n  redis:\n    image: redis\n    options: >-\n      --health-cmd "redis-cli ping"\n      --health-interval 10s\n      --health-timeout 5s\n      --health-retries 5\n    ports: [6379:6379]',
    [],
  ],
  ["a service without a map", "services: {redis: redis}", ["f.yml:4:16: jobs.a.services.redis: must be a map with `image`"]],
  [
    "a port that is none",
    "services: {a: {image: x, ports: [53/udp]}}",
    ['f.yml:4:38: jobs.a.services.a.ports[0]: port "53/udp": udp is not supported, tcp is'],
  ],
  [
    "names alike",
    "services: {db: {image: x}, DB: {image: x}}",
    ["f.yml:4:32: jobs.a.services.DB: there is another of that name before it, in other case"],
  ],
  [
    "a name with a space",
    "services: {'a b': {image: x}}",
    [
      'f.yml:4:16: jobs.a.services["a b"]: must be made of letters, digits, - and _, begin with a letter or _, and have at most 63 characters',
    ],
  ],
])("read: %s", (_name, text, problems) => {
  expect(problemsOf(text)).toEqual(problems);
});

test("planned with what is known then; secrets stay text", () => {
  const text = `strategy: {matrix: {image: ["node:24", ""]}}
container:
  image: \${{ matrix.image }}
  env: {TOKEN: "\${{ secrets.TOKEN }}"}
  credentials: {username: me, password: "\${{ secrets.P }}"}
services:
  db:
    image: postgres:\${{ vars.TAG }}
    ports: ["\${{ 5432 }}:5432"]
    options: --health-cmd "pg_isready -U \${{ github.actor }}"
  none: {image: "\${{ vars.MISSING }}"}`;
  const services = [{ name: "db", image: "postgres:18", ports: ["5432:5432"], options: '--health-cmd "pg_isready -U octocat"' }];
  expect(planned(text, { actor: "octocat" })).toEqual([
    {
      container: {
        image: "node:24",
        env: { TOKEN: "${{ secrets.TOKEN }}" },
        credentials: { username: "me", password: "${{ secrets.P }}" },
      },
      services,
    },
    // An empty image is no container.
    { services },
  ]);
});

test("what an expression gives is judged as what is written", () => {
  expect(planned("container: {image: x, options: '${{ github.options }}'}", { options: "--pid host" })).toEqual({
    kind: "invalid",
    message: "f.yml:4:36: jobs.a.container.options: --pid is refused: it would give the job a part of its host",
  });
});
