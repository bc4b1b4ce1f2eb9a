/** How long does `seatrial check` take for 500 workflow files, as a large organisation's tree of repositories has them? */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ours, type Bench } from "./support/bench.ts";
import { timed } from "./support/context.ts";

const files = 500;

/** With what such files usually have: filters, a matrix, conditions, outputs, expressions in most places. */
const workflow = (index: number) => `name: workflow ${index}
on:
  push: {branches: [main, "release-*"]}
  pull_request: {branches: [main]}
env: {GOFLAGS: -mod=readonly, REGION: "\${{ vars.REGION }}"}
jobs:
  unit:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
      - name: unit tests
        run: go test ./part${index}/...
  lint:
    runs-on: ubuntu-latest
    if: github.event_name == 'pull_request' && !contains(github.ref, 'release')
    steps:
      - uses: actions/checkout@v5
      - run: make lint
  integration:
    needs: [unit, lint]
    if: always() && needs.unit.result == 'success'
    strategy:
      fail-fast: false
      matrix:
        k8s: [v1.36, v1.35]
        suite: [deep, upgrade, helm]
        exclude: [{k8s: v1.35, suite: helm}]
    name: integration \${{ matrix.k8s }} \${{ matrix.suite }}
    cluster: {provider: kind, kubernetesVersion: "\${{ matrix.k8s }}"}
    timeout-minutes: 15
    env: {SUITE: "\${{ matrix.suite }}"}
    outputs: {result: "\${{ steps.test.outputs.result }}"}
    steps:
      - uses: actions/checkout@v5
      - run: kubectl apply -f deploy/
      - id: test
        run: |
          bin/test "$SUITE" \${{ matrix.k8s }}
          echo "result=ok" >> "$GITHUB_OUTPUT"
        env: {TOKEN: "\${{ secrets.TOKEN }}"}
        timeout-minutes: 10
      - if: failure()
        run: kubectl get events -A
  report:
    needs: integration
    if: always()
    steps: [{run: 'echo \${{ needs.integration.outputs.result }}'}]
`;

export const check: Bench = {
  name: "check",
  pairs: 7,
  questions: [{ what: `\`seatrial check\` of ${files} workflow files`, time: "check", target: { most: 2_000 } }],
  prepare: async (context) => {
    const folder = join(context.directory, context.newName("workflows"));
    await mkdir(join(folder, ".seatrial"), { recursive: true });
    for (let index = 0; index < files; index++) await writeFile(join(folder, ".seatrial", `${index}.yml`), workflow(index));
    const run = async () => await context.seatrial(["check"], {}, undefined, undefined, folder);
    return { sides: [{ name: ours, run: async () => ({ check: await timed(run) }) }] };
  },
};
