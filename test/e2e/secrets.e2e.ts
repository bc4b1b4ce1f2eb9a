/** Canaries: a job does with a secret whatever jobs do, by mistake or not, and afterwards it is nowhere to be found unmasked. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { expect, test } from "vitest";
import { waitFor } from "../../src/base/wait.ts";
import type { JobView, RunView } from "../../src/server/api/schemas.ts";
import { kubectlPath, seatrial } from "../support/e2e.ts";
import { TestServer } from "../support/server.ts";

/** Every encoding writes it in another way; its halves are told apart from the rest of the text. */
const canary = `Canary+in/the&coal"mine's <shaft> ü?`;

/** What must not be found: the canary as tools write it. None of these is in any file of the test's repository. */
const forms: Record<string, string> = {
  "as it is": canary,
  ...Object.fromEntries([0, 1, 2].map((before) => [`base64 after ${before} bytes`, base64Core(before)])),
  "percent-encoded": encodeURIComponent(canary),
  "percent-encoded, slashes kept": encodeURIComponent(canary).replaceAll("%2F", "/"),
  JSON: JSON.stringify(canary).slice(1, -1),
  XML: canary.replaceAll("&", "&amp;").replaceAll("<", "&lt;"),
  "XML with quotes": canary.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;"),
  "a piece of it": "in/the&coal",
  "what a step made and asked to mask": "cbsobdmf-4711",
  "a piece of it in XML": "in/the&amp;coal",
};

/** What base64 makes of the canary alone when so many bytes stand before it. */
function base64Core(before: number): string {
  const encoded = Buffer.concat([Buffer.alloc(before), Buffer.from(canary)]).toString("base64");
  return encoded.slice(before === 0 ? 0 : 4, 4 * Math.floor((before + Buffer.byteLength(canary)) / 3));
}

/** Which forms a text holds. */
function leaksIn(text: string | Buffer): string[] {
  const bytes = Buffer.from(text);
  return Object.entries(forms).flatMap(([name, form]) => (bytes.includes(form) ? [name] : []));
}

test("the forms are found where they are", () => {
  expect(leaksIn(`x${canary}y`)).toEqual(["as it is", "a piece of it"]);
  expect(leaksIn(Buffer.from(`ab${canary}cd`).toString("base64"))).toEqual(["base64 after 2 bytes"]);
  expect(leaksIn(`"${encodeURIComponent(canary)}"`)).toContain("percent-encoded");
});

/** Steps that each say `SAID what` before what they say. */
const leaking = (kubectl: string) => `
name: ci
on: push
env: {OF_ALL: "\${{ secrets.CANARY }}"}
jobs:
  leaks:
    cluster: {provider: bare}
    env: {CANARY: "\${{ secrets.CANARY }}"}
    outputs:
      plain: "\${{ steps.out.outputs.plain }}"
      coded: "\${{ steps.out.outputs.coded }}"
      fine: "\${{ steps.out.outputs.fine }}"
    steps:
      - name: print it
        run: |
          echo "SAID raw $CANARY end"
          echo "SAID expanded \${{ secrets.CANARY != '' }} $OF_ALL end"
          echo "SAID stderr $CANARY end" >&2
          printf 'SAID base64 '; printf %s "$CANARY" | base64 -w 0; echo ' end'
          printf 'SAID basic '; printf 'u:%s' "$CANARY" | base64 -w 0; echo ' end'
          printf 'SAID later '; printf 'us:%s' "$CANARY" | base64 -w 0; echo ' end'
          printf 'SAID url '; printf %s "$CANARY" | sed 's/%/%25/g; s/+/%2B/g; s,/,%2F,g; s/&/%26/g; s/"/%22/g; s/ /%20/g; s/</%3C/g; s/>/%3E/g; s/ü/%C3%BC/g; s/?/%3F/g'; echo ' end'
          printf 'SAID json "'; printf %s "$CANARY" | sed 's/"/\\\\"/g'; echo '" end'
          printf 'SAID chunks '; for part in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38; do
            printf %s "$CANARY" | cut -b $part | tr -d '\\n'; [ $((part % 9)) -ne 0 ] || sleep 0.1
          done; echo ' end'
          (set -x; : "$CANARY") 2>&1
      - name: "named \${{ secrets.CANARY }}"
        run: "true"
      - name: annotate
        run: |
          echo "::error file=a.go,line=3,title=$CANARY::annotated $CANARY"
          echo "::warning file=$CANARY::w"
          echo "::group::$CANARY"
          echo "::debug::$CANARY"
      - name: export
        run: |
          echo "LEAKED=$CANARY" >> "$GITHUB_ENV"
          echo "$CANARY" >> "$GITHUB_STEP_SUMMARY"
          echo "/$CANARY/bin" >> "$GITHUB_PATH"
      - run: env
      - id: out
        name: outputs
        run: |
          echo "plain=$CANARY" >> "$GITHUB_OUTPUT"
          echo "coded=$(printf %s "$CANARY" | base64 -w 0)" >> "$GITHUB_OUTPUT"
          echo "fine=nothing-of-it" >> "$GITHUB_OUTPUT"
      - name: artifacts
        run: |
          mkdir -p "$ARTIFACTS/deep"
          printf 'SAID artifact %s end\\n' "$CANARY" > "$ARTIFACTS/deep/text.txt"
          printf %s "$CANARY" | base64 > "$ARTIFACTS/base64.txt"
          mkdir -p "$ARTIFACTS/named $CANARY"; echo "$CANARY" > "$ARTIFACTS/named $CANARY/$(printf %s "$CANARY" | base64 -w 0 | tr / _).txt"
          escaped=$(printf %s "$CANARY" | sed 's/&/\\&amp;/g; s/</\\&lt;/g; s/>/\\&gt;/g; s/"/\\&quot;/g')
          numbered=$(printf %s "$CANARY" | sed 's/&/\\&#38;/g; s/</\\&#60;/g; s/"/\\&#34;/g')
          echo "<testsuite name=\\"$escaped\\"><testcase classname=\\"$escaped\\" name=\\"TestLeak $escaped\\"><failure message=\\"want $numbered\\">got $escaped</failure></testcase></testsuite>" > "$ARTIFACTS/junit.xml"
      - name: into the cluster
        env: {KUBECTL: ${kubectl}}
        run: |
          added=$(printf barnacle | tr a-z b-za)-4711
          echo "::add-mask::$added"
          echo "SAID masked $added end"
          "$KUBECTL" create -f - <<END
          apiVersion: v1
          kind: Event
          metadata: {name: seen, namespace: default}
          type: Warning
          reason: Sinking
          message: |
            SAID event $CANARY end
            SAID added $added end
          involvedObject: {kind: Pod, namespace: default, name: boat}
          END
          "$KUBECTL" create configmap leak --from-literal=value="$CANARY"
          echo "SAID kubeconfig $(tr -d '\\n' < "$KUBECONFIG") end"
          printf 'SAID key '; "$KUBECTL" config view --raw -o 'jsonpath={.users[0].user.client-key-data}'; echo ' end'
          printf 'SAID pem '; "$KUBECTL" config view --raw -o 'jsonpath={.users[0].user.client-key-data}' | base64 -d | tr '\\n' ' '; echo ' end'
      - name: broken by an expression
        continue-on-error: true
        run: echo "\${{ fromJSON(secrets.CANARY) }}"
      - name: a folder of that name
        continue-on-error: true
        working-directory: "\${{ secrets.CANARY }}"
        run: "true"
      - name: wait
        run: |
          echo WAITING
          i=0; while [ $i -lt 200 ] && [ ! -e "$HOME/go-on" ]; do sleep 0.1; i=$((i + 1)); done
      - name: fail
        run: |
          echo "SAID last $CANARY end"
          exit 7
  breaks:
    outputs: {bad: "\${{ fromJSON(secrets.CANARY) }}"}
    steps: [{run: "true"}]
  after:
    needs: leaks
    if: always()
    steps:
      - run: echo "AFTER [\${{ needs.leaks.outputs.plain }}] [\${{ needs.leaks.outputs.coded }}] [\${{ needs.leaks.outputs.fine }}]"
`;

/** What the log shows of each line of the job that begins with `SAID`. */
const shown: Record<string, RegExp> = {
  raw: /^\*\*\*$/,
  expanded: /^true \*\*\*$/,
  stderr: /^\*\*\*$/,
  base64: /^\*\*\*$/,
  basic: /^.{0,4}\*\*\*$/,
  later: /^.{0,4}\*\*\*$/,
  url: /^\*\*\*$/,
  json: /^"\*\*\*"$/,
  chunks: /^\*\*\*$/,
  last: /^\*\*\*$/,
  masked: /^\*\*\*$/,
  kubeconfig: /"client-key-data":"\*\*\*/,
  key: /^\*\*\*.{0,4}$/,
  pem: /^(\*\*\* ?)+$/,
};

test("a secret that a job prints, encodes, cuts up, names things by, and leaves in its cluster is nowhere unmasked", async (context) => {
  const kubectl = await kubectlPath();
  const server = await TestServer.prepare(context, { "README.md": "nothing\n" }, { DOCKER_HOST: "unix:///nowhere/docker.sock" });
  await server.up();
  const set = await seatrial(server.home, ["secret", "set", "CANARY"], { input: canary });
  expect(set, set.stderr).toMatchObject({ code: 0 });
  const goOn = join(server.home.cwd, "go-on");
  const text = leaking(kubectl).replace("$HOME/go-on", goOn);
  expect(leaksIn(text)).toEqual([]);
  const { name } = await server.runOf(await server.push({ ".seatrial/ci.yml": text }));

  // While it runs: in no argument of a process, and not in the spool.
  await waitFor("the job to wait", async () => await isWaiting(server, name), { timeoutMs: 90_000, pollMs: 100 });
  expect(await leaksInArguments()).toEqual([]);
  for (const attempt of await readdir(join(server.home.data, "attempts"))) {
    expect(leaksIn(await readFile(join(server.home.data, "attempts", attempt, "log"))), "the spool").toEqual([]);
  }
  await writeFile(goOn, "");
  const view = await server.ended(name);
  const jobs = Object.fromEntries(view.jobs.map((job) => [job.job, job]));
  expect(view.jobs.map(({ job, verdict, cause, message }) => ({ job, verdict, cause, message })).toSorted(byJob)).toEqual([
    { job: "after", verdict: "passed" },
    { job: "breaks", verdict: "error", cause: "invalid-workflow", message: expect.stringContaining("outputs: ") },
    { job: "leaks", verdict: "failed", message: "fail: exit code 7" },
  ]);

  // What is shown: all of it, with stars in its place.
  const log = await server.page(`/api/v1/jobs/${jobs["leaks"]!.name}/log`);
  const said = Object.fromEntries(Array.from(log.matchAll(/^SAID (\w+) (.*) end$/gm), ([, what, rest]) => [what, rest]));
  for (const [what, pattern] of Object.entries(shown)) expect(said[what], `${what}\n${log}`).toMatch(pattern);
  expect(log).toContain("LEAKED=***\n");
  expect(log).toContain("output plain is left out: it may hold a secret");
  expect(jobs["leaks"]!.attempts[0]!.steps.map((step) => step.name)).toContain("named ***");
  expect(await server.page(`/api/v1/jobs/${jobs["after"]!.name}/log`)).toContain("AFTER [] [] [nothing-of-it]\n");
  const tests = await server.get<{ items: object[] }>(`/api/v1/jobs/${jobs["leaks"]!.name}/tests`);
  expect(tests.items).toMatchObject([{ suite: "***", name: "TestLeak ***", message: "want ***", details: "got ***" }]);
  const artifacts = await artifactsOf(server, jobs["leaks"]!);
  expect(artifacts["deep/text.txt"]).toBe("SAID artifact *** end\n");
  expect(artifacts["named ***/***.txt"]).toBe("***\n");
  expect(artifacts["clusters/cluster/events.txt"]).toContain("SAID event *** end");
  expect(artifacts["clusters/cluster/events.txt"]).toContain("SAID added *** end");

  // Where it could be: every answer of the API, the pages, the resources, and every byte of the installation.
  for (const job of view.jobs) {
    for (const path of ["", "/log", "/lines", "/tests", "/artifacts"]) {
      expect(leaksIn(await server.page(`/api/v1/jobs/${job.name}${path}`)), `${job.job}${path}`).toEqual([]);
    }
    expect(leaksIn(await server.page(`/jobs/${job.name}`)), `the page of ${job.job}`).toEqual([]);
  }
  for (const path of [`/api/v1/runs/${name}`, `/api/v1/runs/${name}/checks`, `/runs/${name}`, "/"])
    expect(leaksIn(await server.page(path)), path).toEqual([]);
  for (const [path, content] of Object.entries(artifacts)) expect(leaksIn(`${path} ${content}`), path).toEqual([]);
  const resources = await server.kubectl("get", "runs,jobruns,clusters,hosts", "-o", "yaml");
  expect(resources).toContain("nothing-of-it");
  expect(leaksIn(resources), "the resources").toEqual([]);

  await server.clean();
  await waitFor(
    "the cluster to go",
    async () => ((await server.kubectl("get", "clusters", "-o", "name")).trim() === "" ? true : undefined),
    {
      timeoutMs: 30_000,
      pollMs: 100,
    },
  );
  const found: string[] = [];
  let isFineFound = false;
  for (const entry of await readdir(server.home.directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const bytes = await readFile(path).catch(() => Buffer.alloc(0)); // Gone meanwhile.
    isFineFound ||= bytes.includes("nothing-of-it");
    found.push(...leaksIn(bytes).map((form) => `${path}: ${form}`));
    if (entry.name === "masks") found.push(`${path}: it is of no use any more`);
  }
  expect(isFineFound, "what is looked through has what the job said").toBe(true);
  expect(found).toEqual([]);
}, 240_000);

function byJob(a: { job: string }, b: { job: string }): number {
  return a.job.localeCompare(b.job);
}

/** Whether the job that leaks has come to the step that waits. */
async function isWaiting(server: TestServer, run: string): Promise<true | undefined> {
  const view = await server.get<RunView>(`/api/v1/runs/${run}`);
  const leaks = view.jobs.find(({ job }) => job === "leaks");
  const ended = [view.run, leaks].find((each) => each?.phase === "Finished");
  if (ended) throw new Error(`it has ended: ${ended.message}`);
  return leaks && (await server.page(`/api/v1/jobs/${leaks.name}/log`)).includes("\nWAITING\n") ? true : undefined;
}

/** Where /proc says what processes were started with; elsewhere nothing is looked at. */
async function leaksInArguments(): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc").catch(() => [])) {
    const bytes = await readFile(join("/proc", pid, "cmdline")).catch(() => Buffer.alloc(0));
    found.push(...leaksIn(bytes).map((form) => `process ${pid}: ${form}`));
  }
  return found;
}

/** All artifacts of a job by their paths, as `seatrial artifacts get` brings them. */
async function artifactsOf(server: TestServer, { name }: JobView): Promise<Record<string, string>> {
  const got = await seatrial(server.home, ["artifacts", "get", name, "--to", "artifacts"]);
  expect(got, got.stderr).toMatchObject({ code: 0 });
  const folder = join(server.home.cwd, "artifacts");
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  return Object.fromEntries(
    await Promise.all(
      files.map(async ({ parentPath, name: file }) => {
        const path = join(parentPath, file);
        return [relative(folder, path), await readFile(path, "utf8")] as const;
      }),
    ),
  );
}
