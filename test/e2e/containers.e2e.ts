/** Containers of jobs: the one that steps run in, services, Docker actions; what goes wrong with them, and that nothing of them is left. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, type TestContext } from "vitest";
import { waitFor } from "../../src/base/wait.ts";
import type { DockerClient } from "../../src/docker/client.ts";
import type { JobRun } from "../../src/resources/job-run.ts";
import { archiveOf } from "../../src/runner/containers/archive.ts";
import { labBaseImage } from "../../src/runner/executors/runner-image.ts";
import { ApiClient } from "../../src/server/api/client.ts";
import type { RunView } from "../../src/server/api/schemas.ts";
import { needDocker, openHome, type Home, seatrial } from "../support/e2e.ts";
import { commit } from "../support/repository.ts";
import { TestServer } from "../support/server.ts";

/** Images of the lab: one with `sh` and `bash` (Debian), one whose program answers HTTP and which has no shell. */
const debian = "offline/base:bookworm";
const server = "offline/test:1";
const registryImage = "offline/registry:3.1.2";

interface Ended {
  verdict: string | undefined;
  cause: string | undefined;
  message: string;
  log: string;
}

/** Runs one job of a workflow to its end. @param job what it has beside its name. */
async function runJob(home: Home, job: string, files: Record<string, string> = {}, flags: readonly string[] = []): Promise<Ended> {
  const text = `on: push\njobs:\n  a:\n${job.trimEnd().replaceAll(/^(?=.)/gm, "    ")}\n`;
  await commit(home.cwd, { ".seatrial/ci.yml": text, "hello.txt": "hello\n", ...files });
  const ran = await seatrial(home, ["run", "-o", "json", ...flags], { timeoutMs: 120_000, env: { GREETING_OF_THE_SERVER: "no" } });
  const views = (ran.stdout === "" ? [] : JSON.parse(ran.stdout)) as RunView[];
  const [view] = views[0]?.jobs ?? [];
  if (!view) throw new Error(`there was no job: ${ran.stderr}`);
  const logged = await seatrial(home, ["logs", view.name]);
  const { verdict, cause, message = "" } = view;
  return { verdict, cause, message, log: logged.stdout };
}

async function openDocker(context: TestContext): Promise<{ home: Home; docker: DockerClient }> {
  const { client } = await needDocker(context);
  const home = await openHome(context, { SEATRIAL_EXECUTOR: "docker" });
  for (const image of [debian, server]) if (!(await client.image(image))) context.skip(`image ${image} of the lab is not there`);
  return { home, docker: client };
}

/** An image that is there for one test. */
async function makeImage(context: TestContext, docker: DockerClient, tag: string, dockerfile: string): Promise<string> {
  await docker.buildImage(tag, await archiveOf([{ name: "Dockerfile", content: dockerfile }]));
  context.onTestFinished(async () => await docker.removeImage(tag));
  return tag;
}

test("steps run in the job's container: its files, environment and user, with checkout, outputs and GitHub's places", async (context) => {
  const { home } = await openDocker(context);
  const ended = await runJob(
    home,
    `
env: {WHO: job}
container:
  image: ${debian}
  env: {FROM: "container of the \${{ env.WHO }}"}
  options: --env EXTRA=1 --memory 300m --cpus 1
  volumes: ["cache:/var/cache/own"]
steps:
  - uses: actions/checkout@v5
  - id: one
    run: |
      command -v node && exit 1
      test "$(cat hello.txt)" = hello && test "$PWD" = "$GITHUB_WORKSPACE" && test -w /var/cache/own
      test "$HOME" = /github/home && test -f /github/workspace/hello.txt && test -f /github/workflow/event.json && cd && touch here
      echo "shell $(readlink /proc/$$/exe)"
      echo "$FROM, $EXTRA, \${GREETING_OF_THE_SERVER-none}"
      echo number=42 >>"$GITHUB_OUTPUT"
      echo ADDED=later >>"$GITHUB_ENV"
      echo "::warning file=hello.txt,line=1::careful"
  - run: echo "\${{ steps.one.outputs.number }} $ADDED \${{ job.container.id != '' }} $(ls /github/home)"
  - shell: bash
    run: sleep 100 & echo "bash $BASH_VERSION" | cut -c1-6; exit 3
`,
  );
  expect(ended).toMatchObject({ verdict: "failed", message: expect.stringContaining("exit code 3") });
  expect(ended.log).toMatch(/\ncontainer of the job, 1, none\n/);
  expect(ended.log).toMatch(/\nshell \/\S*dash\n/);
  expect(ended.log).toMatch(/\n42 later true here\n[^]*\nbash 5\n/);
  expect(await home.leaks()).toEqual([]);
});

test("an image whose user is not root, and whose program is not run", async (context) => {
  const { home, docker } = await openDocker(context);
  const image = await makeImage(
    context,
    docker,
    "seatrial/test-user:1",
    `FROM ${debian}\nENV OF_IMAGE=yes\nWORKDIR /somewhere\nUSER 1001:1002\nENTRYPOINT ["/bin/false"]\nCMD ["never"]\n`,
  );
  const ended = await runJob(
    home,
    `
container: ${image}
steps:
  - uses: actions/checkout@v5
  - id: one
    run: |
      echo "I am $(id -u):$(id -g), $OF_IMAGE, $PWD"
      echo more >>hello.txt && mkdir new && touch "$RUNNER_TEMP/x" "$HOME/y" && echo n=1 >>"$GITHUB_OUTPUT" && echo kept >"$ARTIFACTS/kept.txt"
  - run: test "\${{ steps.one.outputs.n }}" = 1
  - {run: sleep 100, timeout-minutes: 0.01, continue-on-error: true}
`,
  );
  expect(ended, ended.log).toMatchObject({ verdict: "passed" });
  expect(ended.log).toMatch(/I am 1001:1002, yes, \/seatrial\/attempt\/workspace\n/);
});

test.for<[string, string, string, RegExp]>([
  ["an image that is nowhere", "container: seatrial/no-such-image:1", "image", /container of the job: .*seatrial\/no-such-image:1/],
  ["an image without sh", `container: ${server}`, "container", /image offline\/test:1 has no sh, by which the steps of a job are run/],
  [
    "credentials that no secret gives",
    "container: {image: seatrial/no-such-image:1, credentials: {username: u, password: '${{ secrets.NONE }}'}}",
    "image",
    /no-such-image/,
  ],
  [
    "a service that never gets healthy",
    `services:
  sick:
    image: ${debian}
    command: sh -c "echo I am sick; sleep 1000"
    options: --health-cmd "exit 1" --health-interval 200ms --health-retries 2`,
    "container",
    /service sick is unhealthy/,
  ],
  [
    "a service that ends, beside a container that is there",
    `container: ${debian}
services:
  gone:
    image: ${debian}
    command: sh -c "echo I am sick; exit 7"
    options: --health-cmd "exit 1" --health-start-period 60s`,
    "container",
    /service gone ended before the first step: exit code 7/,
  ],
])("no step is run: %s", async ([name, job, cause, message], context) => {
  const { home } = await openDocker(context);
  const ended = await runJob(home, `${job}\nsteps: [{run: echo never}]\n`);
  expect(ended, ended.log).toMatchObject({ verdict: "error", cause, message: expect.stringMatching(message) });
  expect(ended.log).not.toContain("never");
  if (name.startsWith("a service")) expect(ended.log).toMatch(/::group::Log of service \w+\n(.*\n)*?.*I am sick\n(.*\n)*?::endgroup::/);
  expect(await home.leaks()).toEqual([]);
});

test("an image of a registry that asks who it is: credentials come from secrets, and are shown nowhere", async (context) => {
  const { home, docker } = await openDocker(context);
  if (!(await docker.image(registryImage))) context.skip("the lab's images are not there");
  const env = ["REGISTRY_AUTH=htpasswd", "REGISTRY_AUTH_HTPASSWD_REALM=r", "REGISTRY_AUTH_HTPASSWD_PATH=/tmp/htpasswd"];
  const body = {
    Image: registryImage,
    Env: env,
    ExposedPorts: { "5000/tcp": {} },
    HostConfig: { PortBindings: { "5000/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] } },
  };
  const registry = await docker.createContainer("", body);
  context.onTestFinished(async () => await docker.removeContainer(registry));
  await docker.startContainer(registry);
  // It makes up a password where it has none, and says it once.
  const said = async () => /password=(\S+)/.exec(await docker.containerLogs(registry, 100))?.[1];
  const password = await waitFor("the registry's password", said, { timeoutMs: 30_000, pollMs: 100 });
  const port = (await docker.container(registry))!.NetworkSettings.Ports["5000/tcp"]![0]!.HostPort;
  const image = `localhost:${port}/private/base:1`;
  const forget = async () => {
    const names = (await docker.image(debian))?.RepoDigests?.filter((name) => name.startsWith(`localhost:${port}/`)) ?? [];
    for (const name of [image, ...names]) if (await docker.image(name)) await docker.removeImage(name);
  };
  context.onTestFinished(forget);
  await docker.tagImage(debian, image);
  await docker.pushImage(image, undefined, { username: "docker", password, serveraddress: `localhost:${port}` });
  await forget();
  const job = `
container: {image: "${image}", credentials: {username: docker, password: "\${{ secrets.PASSWORD }}"}}
steps: [{run: echo it runs}]
`;
  const refused = await runJob(home, job, { "secrets.env": "PASSWORD=not-the-password\n" }, ["--secrets-file", "secrets.env"]);
  expect(refused, refused.log).toMatchObject({ verdict: "error", cause: "image", log: expect.not.stringContaining("it runs\n") });
  const ended = await runJob(home, job, { "secrets.env": `PASSWORD=${password}\n` }, ["--secrets-file", "secrets.env"]);
  expect(ended, ended.log).toMatchObject({ verdict: "passed" });
  expect(ended.log).toMatch(/» The job runs in localhost:\d+\/private\/base@sha256:[0-9a-f]{64}\n/);
  expect(refused.log + refused.message + ended.log).not.toMatch(new RegExp(`${password}|not-the-password`));
});

test("services: healthy before the first step, on localhost by their ports and by their names", async (context) => {
  const { home } = await openDocker(context);
  const ended = await runJob(
    home,
    `
services:
  web:
    image: ${server}
    command: serve 80
    ports: [80]
  slow:
    image: ${debian}
    env: {SECRET: "\${{ secrets.MISSING }}x"}
    command: sh -c "sleep 1; test $SECRET = x && touch /healthy; sleep 1000"
    options: --health-cmd "test -e /healthy" --health-interval 100ms --health-retries 100 --hostname slow
steps:
  - shell: bash
    run: |
      exec 3<>/dev/tcp/localhost/\${{ job.services.web.ports['80'] }}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; head -1 <&3
      exec 4<>/dev/tcp/web/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&4; head -1 <&4
      test -n "\${{ job.services.web.id }}" && test -n "\${{ job.services.slow.network }}"
`,
  );
  expect(ended, ended.log).toMatchObject({ verdict: "passed" });
  expect(ended.log.match(/HTTP\/1\.0 200 OK/g)).toHaveLength(2);
  expect(ended.log).toContain("» Service slow is healthy");
});

test("a job's container that is killed, and one that is out of memory", async (context) => {
  const { home, docker } = await openDocker(context);
  const job = (step: string) =>
    `container: {image: "${debian}", options: --memory 40m}\nsteps:\n  - run: ${step}\n  - {if: always(), run: echo after}\n`;
  const killed = runJob(home, job("echo begun; sleep 100"));
  const instance = async () => await home.instance();
  const find = async () => {
    const id = await instance();
    const found = id ? await docker.containers([`seatrial.dev/instance=${id}`, "seatrial.dev/attempt"]) : [];
    return found.find(({ State }) => State === "running")?.Id;
  };
  const id = await waitFor("the job's container", find, { timeoutMs: 60_000, pollMs: 100 });
  const sleeps = async () => (await docker.exec(id, ["sh", "-c", "grep -l sleep /proc/[0-9]*/comm"])).stdout.toString().includes("/proc/");
  await waitFor("its step", async () => ((await sleeps()) ? true : undefined), { timeoutMs: 30_000, pollMs: 100 });
  await docker.removeContainer(id);
  expect(await killed).toMatchObject({ verdict: "error", cause: "lost-runner", log: expect.not.stringContaining("\nafter\n") });
  const full = await runJob(home, job("head -c 200m /dev/zero | tail -c 150m >/dev/null"));
  expect(full, full.log).toMatchObject({ verdict: "failed" });
  expect(full.log).toMatch(/exit code 137|Killed/);
  // What comes after it goes on in the same container.
  expect(full.log).toContain("\nafter\n");
  expect(await home.leaks()).toEqual([]);
});

test("the server is killed while services run: they are found again, the job goes on, and nothing is left", async (context) => {
  const { client } = await needDocker(context);
  if (!(await client.image(labBaseImage))) context.skip("the lab's images are not there");
  const place = await TestServer.prepare(context, { "README.md": "nothing\n" }, { SEATRIAL_EXECUTOR: "docker" });
  await place.up();
  const sha = await place.push({
    ".seatrial/ci.yml": `
on: push
jobs:
  a:
    container: ${debian}
    services: {web: {image: "${server}", command: serve 80, ports: ["8093:80"]}}
    steps:
      - run: echo it waits now; while ! test -e /github/home/go; do sleep 0.1; done
      - shell: bash
        run: exec 3<>/dev/tcp/localhost/8093; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; head -1 <&3
`,
  });
  const { name: run } = await place.runOf(sha);
  await place.logSays(run, "a", "it waits now\n");
  await place.kill();
  await place.up();
  const instance = (await place.home.instance())!;
  const parts = async () => await client.containers([`seatrial.dev/instance=${instance}`, "seatrial.dev/attempt"]);
  const seen = await place.job(run, "a");
  expect(
    (await parts()).filter(({ State }) => State === "running"),
    `${seen?.phase}: ${seen?.message}\n${await place.log()}`,
  ).toHaveLength(2);
  const inside = (await parts()).find(({ Names }) => Names[0]!.endsWith("-job"))!;
  await client.exec(inside.Id, ["touch", "/github/home/go"]);
  const ended = await place.jobEnded(run, "a");
  expect(ended, ended.message).toMatchObject({ verdict: "passed" });
  const { items } = JSON.parse(await place.kubectl("get", "jobruns", "--output=json")) as { items: JobRun[] };
  const images = items[0]?.status?.attempts?.[0]?.images?.toSorted((a, b) => a.reference.localeCompare(b.reference));
  const digest = expect.stringMatching(/sha256:[0-9a-f]{64}$/) as string;
  expect(images).toEqual([debian, server].map((reference) => ({ reference, digest })));
  await waitFor("all to be removed", async () => ((await parts()).length === 0 ? true : undefined), { timeoutMs: 30_000, pollMs: 100 });
  expect(await client.networks(`seatrial.dev/instance=${instance}`)).toEqual([]);
});

test("Docker actions: an image and a Dockerfile, with inputs, outputs and exit codes", async (context) => {
  const { home } = await openDocker(context);
  const ended = await runJob(
    home,
    `
steps:
  - uses: actions/checkout@v5
  - id: image
    uses: docker://${debian}
    env: {OF_STEP: step}
    with:
      entrypoint: /bin/sh
      args: -c "pwd; cat hello.txt; echo $HOME, $OF_STEP, $INPUT_ENTRYPOINT; echo number=42 >>$GITHUB_OUTPUT; echo to stderr >&2; touch made"
  - id: own
    uses: ./own
    with: {who-to-greet: Mona}
  - id: bare
    uses: docker://${server}
    with: {args: resolve localhost}
  - run: echo "\${{ steps.image.outputs.number }} \${{ steps.own.outputs.time }} $ADDED"; test -e made
  - uses: docker://${debian}
    with: {entrypoint: /bin/sh, args: -c "exit 9"}
`,
    {
      "own/action.yml": `
name: own
inputs: {who-to-greet: {default: World}}
outputs: {time: {description: when}}
runs: {using: docker, image: Dockerfile, args: ["\${{ inputs.who-to-greet }}"], env: {OF_ACTION: action}}
`,
      "own/Dockerfile": `FROM ${debian}\nCOPY entrypoint.sh /entrypoint.sh\nENTRYPOINT ["sh", "/entrypoint.sh"]\n`,
      "own/entrypoint.sh": `echo "Hello $1, $INPUT_WHO_TO_GREET, $OF_ACTION, $(tr '\\0' '\\n' </proc/$$/environ | sed -n 's/^INPUT_WHO-TO-GREET=//p')"
echo time=now >>"$GITHUB_OUTPUT"; echo ADDED=added >>"$GITHUB_ENV"; echo "::notice::seen"
`,
    },
  );
  expect(ended, ended.log).toMatchObject({ verdict: "failed", message: expect.stringContaining("exit code 9") });
  expect(ended.log).toMatch(/\n\/github\/workspace\nhello\n\/github\/home, step,/);
  expect(ended.log).toContain("\nto stderr\n");
  expect(ended.log).toMatch(/\nHello Mona, , action, Mona\n/);
  expect(ended.log).toMatch(/» Runs docker:\/\/offline\/test:1\n.*(127\.0\.0\.1|::1)/);
  expect(ended.log).toContain("\n42 now added\n");
  expect(await home.leaks()).toEqual([]);
});

test("a JavaScript action in a job's container runs there, with the runner's Node", async (context) => {
  const { home } = await openDocker(context);
  const ended = await runJob(
    home,
    `
container: ${debian}
steps:
  - uses: actions/checkout@v5
  - id: own
    uses: ./own
  - run: echo "got \${{ steps.own.outputs.where }}"
`,
    {
      "own/action.yml": "name: own\nruns: {using: node24, main: main.js}\n",
      "own/main.js": `const { existsSync, appendFileSync } = require("node:fs");
appendFileSync(process.env.GITHUB_OUTPUT, "where=" + (existsSync("/usr/local/bin/node") ? "runner" : "container") + " " + process.version.split(".")[0] + "\\n");
`,
    },
  );
  expect(ended, ended.log).toMatchObject({ verdict: "passed" });
  expect(ended.log).toContain("\ngot container v24\n");
});

test("a change that is not trusted: its services are reached, nothing else is, and no credentials are used", async (context) => {
  const { client } = await needDocker(context);
  if (!(await client.image(debian))) context.skip("the lab's images are not there");
  const place = await TestServer.prepare(context, { "README.md": "nothing\n" }, { SEATRIAL_EXECUTOR: "auto" });
  await place.up();
  const change = ["patch", "host", "local", "--type=merge", "--patch", '{"spec":{"lanes":["untrusted"]}}'];
  const isThere = async () => await place.kubectl(...change).catch(() => undefined);
  await waitFor("the server's own host", isThere, { timeoutMs: 60_000, pollMs: 200 });
  const zeros = "0".repeat(40);
  const token = (await readFile(join(place.home.data, "api-token"), "utf8")).trim();
  const run = await ApiClient.over(place.url, token).createRun({
    source: {
      forge: "local",
      repository: { id: "1", name: "project" },
      event: "pull_request",
      ref: "refs/pull/7/merge",
      base: { ref: "main", sha: zeros },
      heads: [{ number: 7, sha: zeros, ref: "patch", repositoryId: "2", author: { id: "9", login: "stranger" } }],
      commit: zeros,
      lane: "untrusted",
    },
    workflow: {
      path: ".seatrial/ci.yml",
      text: `
on: pull_request
jobs:
  reach:
    container: ${debian}
    services:
      web: {image: "${server}", command: serve 80, ports: ["8091:80"]}
    steps:
      - shell: bash
        run: |
          exec 3<>/dev/tcp/localhost/8091; exec 4<>/dev/tcp/web/80
          test ! -e /var/run/docker.sock
          # Nobody answers for the host: a port of it that is closed would be refused.
          gateway=$(awk '$2 == "00000000" {print $3}' /proc/net/route)
          host=$(printf %d.%d.%d.%d 0x\${gateway:6:2} 0x\${gateway:4:2} 0x\${gateway:2:2} 0x\${gateway:0:2})
          for other in $host 169.254.169.254; do
            timeout 2 bash -c "exec 3<>/dev/tcp/$other/9" 2>answer && exit 1
            ! grep -i refused answer || exit 1
          done
          test "$(grep CapEff /proc/self/status)" = "$(grep CapEff /proc/1/status)"
  refused:
    container: {image: "${debian}", credentials: {username: u, password: p}}
    steps: [{run: echo never}]
`,
    },
    event: {},
  });
  const reach = await place.jobEnded(run, "reach");
  expect(reach, reach.message + (await place.page(`/api/v1/jobs/${reach.name}/log`))).toMatchObject({ verdict: "passed" });
  const refused = await place.jobEnded(run, "refused");
  expect(refused).toMatchObject({
    verdict: "error",
    cause: "image",
    message: expect.stringContaining("credentials for an image are not used"),
  });
});

test("a job that is aborted while its Docker action runs ends with it", async (context) => {
  const { home, docker } = await openDocker(context);
  const ended = await runJob(
    home,
    `
steps:
  - uses: docker://${debian}
    timeout-minutes: 0.2
    with: {entrypoint: /bin/sh, args: -c "echo it began; sleep 1000"}
  - {if: always(), run: echo after}
`,
  );
  expect(ended, ended.log).toMatchObject({ verdict: "failed", message: expect.stringContaining("it has run for its 0.2 minutes") });
  expect(ended.log).toMatch(/\nit began\n[^]*\nafter\n/);
  expect(await docker.containers([`seatrial.dev/instance=${(await home.instance())!}`])).toEqual([]);
});

test("a job that is aborted while it waits for a service ends at once, and nothing of it is left", async (context) => {
  const { client } = await needDocker(context);
  if (!(await client.image(debian))) context.skip("the lab's images are not there");
  const place = await TestServer.prepare(context, { "README.md": "nothing\n" }, { SEATRIAL_EXECUTOR: "docker" });
  await place.up();
  const sha = await place.push({
    ".seatrial/ci.yml": `
on: push
jobs:
  a:
    services:
      slow:
        image: ${debian}
        command: sleep 1000
        options: --health-cmd "exit 1" --health-start-period 1000s
    steps: [{run: echo never}]
`,
  });
  const { name: run } = await place.runOf(sha);
  const instance = (await place.home.instance())!;
  const parts = async () => await client.containers([`seatrial.dev/instance=${instance}`, "seatrial.dev/attempt"]);
  await waitFor("the service", async () => ((await parts()).some(({ State }) => State === "running") ? true : undefined), {
    timeoutMs: 60_000,
    pollMs: 100,
  });
  const token = (await readFile(join(place.home.data, "api-token"), "utf8")).trim();
  await ApiClient.over(place.url, token).abort(run, "enough");
  expect(await place.jobEnded(run, "a", 30_000)).toMatchObject({ verdict: "aborted" });
  await waitFor("all to be removed", async () => ((await parts()).length === 0 ? true : undefined), { timeoutMs: 30_000, pollMs: 100 });
});

test("a job with a container where there is executor host alone says what it needs", async (context) => {
  const home = await openHome(context);
  const ended = await runJob(home, "container: node:24\nsteps: [{run: echo never}]\n");
  expect(ended).toMatchObject({ verdict: "error", message: expect.stringContaining("which need a Docker host") });
});

test("a step in a container costs no more than 60 ms", async (context) => {
  const { home } = await openDocker(context);
  const count = 30;
  const ended = await runJob(home, `container: ${debian}\nsteps:\n${`  - run: date +%s%N\n`.repeat(count)}`);
  expect(ended, ended.log).toMatchObject({ verdict: "passed" });
  const times = ended.log.split("\n").flatMap((line) => (/^\d{19}$/.test(line) ? [Number(BigInt(line) / 1_000n) / 1_000] : []));
  expect(times).toHaveLength(count);
  const gaps = times.slice(1).map((time, i) => time - times[i]!);
  // The fastest quarter: what else the machine does is no cost of ours (bench/step-overhead.ts measures without it).
  const quarter = gaps.toSorted((a, b) => a - b)[Math.floor(gaps.length / 4)]!;
  expect(quarter, gaps.map(Math.round).join(", ")).toBeLessThan(60);
});
