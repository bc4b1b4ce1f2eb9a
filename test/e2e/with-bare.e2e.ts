/** `seatrial with bare`: exit codes, signals, evidence, and that nothing is left of it whatever happens. */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { waitFor } from "../../src/base/wait.ts";
import { type Home, kubectlPath, openHome, type Running, seatrial, startSeatrial, untilFile } from "../support/e2e.ts";
import { buildExample } from "../support/example.ts";

const kubectl = await kubectlPath();

/** The names of clusters that a home has on record. */
async function clustersOf(home: Home): Promise<string[]> {
  return (await readdir(join(home.data, "clusters"), { withFileTypes: true }).catch(() => []))
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}

/** The one cluster, as soon as its record is whole: before that there is a folder, and nothing to be deleted. */
async function onlyCluster(home: Home): Promise<string> {
  const recorded = async () => (await clustersOf(home)).find((name) => existsSync(join(home.data, "clusters", name, "cluster.json")));
  return await waitFor("one cluster on record", recorded, { timeoutMs: 30_000, pollMs: 20 });
}

describe("exit codes and environment", () => {
  test("a command that succeeds: 0, its own output alone on stdout, and a cluster that answers", async (context) => {
    const home = await openHome(context);
    const script = `"$KUBECTL" get --raw /readyz && echo && "$KUBECTL" get namespaces -o name | grep default && echo "registry=\${REGISTRY-none}" && ls -d "$ARTIFACTS" && echo "$KUBECONFIG"`;
    const ran = await seatrial(home, ["with", "bare", "--", "sh", "-c", script], { env: { KUBECTL: kubectl } });
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    const [ready, namespace, registry, artifacts, kubeconfig] = ran.stdout.split("\n");
    expect([ready, namespace, registry]).toEqual(["ok", "namespace/default", "registry=none"]);
    expect(artifacts).toMatch(new RegExp(`^${home.cwd}/_artifacts/st-[0-9a-f]{8}$`));
    expect(kubeconfig).toMatch(new RegExp(`^${home.data}/clusters/st-[0-9a-f]{8}/kubeconfig$`));
    expect(ran.stderr).toMatch(/^seatrial: ready after \d+\.\d s; running sh -c /m);
    expect(ran.stderr).toMatch(/^seatrial: up \d+\.\d s, test \d+\.\d s, down \d+\.\d s$/m);
    expect(await readdir(home.cwd), "an empty folder for artifacts is removed").toEqual([]);
    expect(existsSync(home.userKubeconfig), "the user's kubeconfig is not touched").toBe(false);
  });

  test.for([
    { name: "a code of its own", command: ["sh", "-c", "exit 3"], code: 3 },
    { name: "ended by a signal", command: ["sh", "-c", "kill -KILL $$"], code: 137 },
    { name: "a code that is ours too", command: ["sh", "-c", "exit 125"], code: 125 },
  ])("a command that fails: $name", async ({ command, code }, context) => {
    const home = await openHome(context);
    const ran = await seatrial(home, ["with", "bare", "--", ...command]);
    expect(ran, ran.stderr).toMatchObject({ code, stdout: "" });
    expect(ran.stderr).toMatch(/events, pod logs and node logs are in /);
    expect(await clustersOf(home)).toEqual([]);
  });

  test("a program that does not exist: 125, and why", async (context) => {
    const home = await openHome(context);
    const ran = await seatrial(home, ["with", "bare", "--", "no-such-program"]);
    expect(ran, ran.stderr).toMatchObject({ code: 125 });
    expect(ran.stderr).toContain("seatrial: cannot run no-such-program: there is no such program");
    expect(await clustersOf(home)).toEqual([]);
  });

  test("a version that is not to be had: 125, what was tried, and nothing left", async (context) => {
    const home = await openHome(context);
    const ran = await seatrial(home, ["with", "bare", "--kubernetes-version", "v1.36.999", "--", "true"]);
    expect(ran, ran.stderr).toMatchObject({ code: 125 });
    expect(ran.stderr).toContain("there is no kube-apiserver v1.36.999 to be had:");
    expect(ran.stderr).toMatch(/^ +cache: has no kube-apiserver v1\.36\.999$/m);
    expect(await clustersOf(home)).toEqual([]);
  });

  test.for([
    { name: "nothing to boot", args: ["with", "--", "true"], message: '"true" is not a kind of cluster' },
    { name: "an unknown kind of cluster", args: ["with", "minikube", "--", "true"], message: '"minikube" is not a kind of cluster' },
    { name: "no command", args: ["with", "bare"], message: "the command is missing" },
    {
      name: "images without nodes",
      args: ["with", "bare", "--image", "a:b", "--", "true"],
      message: "--image cannot be used with bare: it has no nodes that could run an image",
    },
  ])("usage: $name", async ({ args, message }, context) => {
    const home = await openHome(context);
    const ran = await seatrial(home, args);
    expect(ran.stderr).toContain(message);
    expect(ran.stdout).toBe("");
    expect([2, 125]).toContain(ran.code);
  });
});

describe("signals", () => {
  const rows = [
    { signal: "SIGTERM", code: 143 },
    { signal: "SIGINT", code: 130 },
  ] as const;

  test.for(rows)("$signal while it boots: $code, and nothing left", async ({ signal, code }, context) => {
    const home = await openHome(context);
    const running = startSeatrial(home, ["with", "bare", "--", "touch", "ran"]);
    await running.says(/create \d/); // Its processes are there, and it is not Ready.
    running.child.kill(signal);
    const ran = await running.ended;
    expect(ran, ran.stderr).toMatchObject({ code, signal: null });
    expect(existsSync(join(home.cwd, "ran"))).toBe(false);
    expect(await home.leaks()).toEqual([]);
  });

  test.for(rows)("$signal while the command runs is passed on: $code", async ({ signal, code }, context) => {
    const home = await openHome(context);
    // The command tells of the signal, takes its time, and ends with a code that must not win.
    const script = `trap 'echo got it >told; exit 7' ${signal.slice(3)}; touch began; while :; do sleep 0.1; done`;
    const running = startSeatrial(home, ["with", "bare", "--", "sh", "-c", script]);
    await untilFile(running, join(home.cwd, "began"));
    running.child.kill(signal);
    const ran = await running.ended;
    expect(ran, ran.stderr).toMatchObject({ code, signal: null });
    expect(await readFile(join(home.cwd, "told"), "utf8")).toBe("got it\n");
    expect(await home.leaks()).toEqual([]);
  });

  test("a command that does not listen is ended by force", async (context) => {
    const home = await openHome(context);
    const running = startSeatrial(home, ["with", "bare", "--", "sh", "-c", "trap '' TERM; touch began; while :; do sleep 0.1; done"]);
    await untilFile(running, join(home.cwd, "began"));
    running.child.kill("SIGTERM");
    const ran = await running.ended;
    expect(ran, ran.stderr).toMatchObject({ code: 143 });
    expect(await home.leaks()).toEqual([]);
  });
});

describe("what is kept", () => {
  test("--junit writes junit_runner.xml and metadata.json of a run that passed", async (context) => {
    const home = await openHome(context);
    const ran = await seatrial(home, ["with", "bare", "--junit", "reports/junit_runner.xml", "--", "true"]);
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    const xml = await readFile(join(home.cwd, "reports", "junit_runner.xml"), "utf8");
    const time = String.raw`time="\d+\.\d{6}"`;
    expect(xml).toMatch(new RegExp(`^<testsuite name="kubetest2" failures="0" tests="3" ${time}>\n`));
    for (const name of ["Up", "Test", "Down"])
      expect(xml).toMatch(new RegExp(`<testcase name="${name}" classname="kubetest2" ${time}></testcase>`));
    expect(JSON.parse(await readFile(join(home.cwd, "reports", "metadata.json"), "utf8"))).toEqual({
      "deployer-version": "seatrial",
      "tester-version": "exec",
    });
  });

  test("--junit names the phase that failed", async (context) => {
    const home = await openHome(context);
    const failed = await seatrial(home, ["with", "bare", "--junit", "j.xml", "--", "sh", "-c", "exit 9"]);
    expect(failed).toMatchObject({ code: 9 });
    expect(await readFile(join(home.cwd, "j.xml"), "utf8")).toMatch(
      /failures="1" tests="3"[^]*name="Test"[^>]*>\s*<failure>the command ended with exit code 9<\/failure>/,
    );
    const unbooted = await seatrial(home, ["with", "bare", "--kubernetes-version", "v1.36.999", "--junit", "j.xml", "--", "true"]);
    expect(unbooted).toMatchObject({ code: 125 });
    expect(await readFile(join(home.cwd, "j.xml"), "utf8")).toMatch(
      /name="Up"[^>]*>\s*<failure>cluster st-[0-9a-f]{8} was not made: there is no kube-apiserver v1\.36\.999/,
    );
  });

  test("a command that fails leaves events and the control plane's logs under ARTIFACTS", async (context) => {
    const home = await openHome(context);
    const artifacts = join(home.cwd, "mine");
    const script = 'echo from the command >"$ARTIFACTS/own.txt"; exit 1';
    const ran = await seatrial(home, ["with", "bare", "--", "sh", "-c", script], { env: { ARTIFACTS: artifacts } });
    expect(ran, ran.stderr).toMatchObject({ code: 1 });
    expect(await readFile(join(artifacts, "own.txt"), "utf8")).toBe("from the command\n");
    const cluster = (await readdir(artifacts)).find((name) => name.startsWith("cluster-st-"))!;
    expect((await readdir(join(artifacts, cluster))).toSorted()).toEqual(["events.txt", "nodes"]);
    expect((await readdir(join(artifacts, cluster, "nodes"))).toSorted()).toEqual(["etcd.log", "kube-apiserver.log"]);
    expect(await readFile(join(artifacts, cluster, "nodes", "kube-apiserver.log"), "utf8")).toContain("Serving securely");
  });

  test("--keep-on-failure leaves the cluster, says how to use and delete it, and reap leaves it alone", async (context) => {
    const home = await openHome(context);
    const ran = await seatrial(home, ["with", "bare", "--keep-on-failure", "--", "sh", "-c", '"$KUBECTL" create namespace mine; exit 1'], {
      env: { KUBECTL: kubectl },
    });
    expect(ran, ran.stderr).toMatchObject({ code: 1 });
    const kubeconfig = /^ {2}export KUBECONFIG=(\S+)$/m.exec(ran.stderr)?.[1];
    const deletion = /^ {2}seatrial (delete cluster st-[0-9a-f]{8}) /m.exec(ran.stderr)?.[1];
    expect(kubeconfig && deletion, ran.stderr).toBeTruthy();
    // The next command, of another process, reaps nothing of it.
    const used = await seatrial(
      home,
      ["with", "bare", "--", "sh", "-c", `"$KUBECTL" --kubeconfig "${kubeconfig}" get namespace mine -o name`],
      { env: { KUBECTL: kubectl } },
    );
    expect(used.stdout).toBe("namespace/mine\n");
    const deleted = await seatrial(home, deletion!.split(" "));
    expect(deleted, deleted.stderr).toMatchObject({ code: 0 });
    expect(await home.leaks()).toEqual([]);
  });

  test("a process that the command left running is ended, also in a session of its own", async (context) => {
    const home = await openHome(context);
    const ran = await seatrial(home, [
      "with",
      "bare",
      "--",
      "sh",
      "-c",
      "sleep 1000 & setsid sleep 1001 >/dev/null 2>&1 & sleep 0.2; exit 0",
    ]);
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    expect(await home.leaks()).toEqual([]);
  });
});

describe("what must not change the result, or keep it from cleaning up", () => {
  test("a command that damages its kubeconfig keeps its exit code", async (context) => {
    const home = await openHome(context);
    const ran = await seatrial(home, ["with", "bare", "--", "sh", "-c", 'rm "$KUBECONFIG"; exit 7']);
    expect(ran, ran.stderr).toMatchObject({ code: 7 });
    expect(ran.stderr).toContain("seatrial: not all evidence was kept");
  });

  test("folders that cannot be made are told before anything is booted", async (context) => {
    const home = await openHome(context);
    await writeFile(join(home.cwd, "file"), "");
    const artifacts = await seatrial(home, ["with", "bare", "--", "true"], { env: { ARTIFACTS: join(home.cwd, "file", "a") } });
    expect(artifacts, artifacts.stderr).toMatchObject({ code: 125 });
    expect(artifacts.stderr).toContain(`ARTIFACTS: cannot make the folder ${join(home.cwd, "file")}: a file is in its place`);
    const junit = await seatrial(home, ["with", "bare", "--junit", "file/junit.xml", "--", "true"]);
    expect(junit, junit.stderr).toMatchObject({ code: 125 });
    expect(junit.stderr).toContain(`--junit ${join(home.cwd, "file", "junit.xml")} cannot be written: cannot make the folder`);
  });

  test("a reader that is gone: the cluster is deleted all the same", async (context) => {
    const home = await openHome(context);
    const running = startSeatrial(home, ["with", "bare", "--", "sh", "-c", "touch started; sleep 1; exit 4"]);
    await untilFile(running, join(home.cwd, "started"));
    running.child.stdout?.destroy();
    running.child.stderr?.destroy();
    expect((await running.ended).code).toBe(4);
    expect(await clustersOf(home)).toEqual([]);
  });

  test("a closed terminal (SIGHUP): 129, and nothing left", async (context) => {
    const home = await openHome(context);
    const running = startSeatrial(home, ["with", "bare", "--", "sh", "-c", "touch started; sleep 60"]);
    await untilFile(running, join(home.cwd, "started"));
    running.child.kill("SIGHUP");
    expect((await running.ended).code).toBe(129);
    expect(await clustersOf(home)).toEqual([]);
  });

  test("one record that cannot be read does not keep others from their work", async (context) => {
    const home = await openHome(context);
    await mkdir(join(home.data, "clusters", "bad"), { recursive: true });
    await writeFile(join(home.data, "clusters", "bad", "cluster.json"), "{");
    expect(await seatrial(home, ["with", "bare", "--", "true"])).toMatchObject({ code: 0 });
    const ran = await seatrial(home, ["delete", "cluster", "bad"]);
    expect(ran).toMatchObject({ code: 2 });
    expect(ran.stderr).toContain("hint: remove that folder");
    await rm(join(home.data, "clusters", "bad"), { recursive: true });
  });
});

describe("kill -9, and the next command", () => {
  test.for([
    { when: "while it boots", until: async (running: Running) => await running.says("booting bare cluster") },
    { when: "when its processes are there", until: async (running: Running) => await running.says(/create \d/) },
    { when: "while the command runs", until: async (running: Running, home: Home) => await untilFile(running, join(home.cwd, "began")) },
  ])("$when", async ({ until }, context) => {
    const home = await openHome(context);
    const running = startSeatrial(home, ["with", "bare", "--", "sh", "-c", "touch began; sleep 1000"]);
    await until(running, home);
    const name = await onlyCluster(home);
    running.child.kill("SIGKILL");
    expect(await running.ended).toMatchObject({ signal: "SIGKILL" });
    expect(await clustersOf(home)).toEqual([name]);
    const next = await seatrial(home, ["with", "bare", "--", "true"]);
    expect(next, next.stderr).toMatchObject({ code: 0 });
    expect(next.stderr).toContain(`seatrial: deleted cluster ${name}: its owner, process ${running.pid}, has ended`);
    expect(await home.leaks()).toEqual([]);
  });

  test("seatrial reap does the same", async (context) => {
    const home = await openHome(context);
    const running = startSeatrial(home, ["with", "bare", "--", "sh", "-c", "touch began; sleep 1000"]);
    await untilFile(running, join(home.cwd, "began"));
    const name = await onlyCluster(home);
    const early = await seatrial(home, ["reap"]);
    expect(early, early.stderr).toMatchObject({ code: 0, stdout: "" });
    running.child.kill("SIGKILL");
    await running.ended;
    const reaped = await seatrial(home, ["reap"]);
    expect(reaped, reaped.stderr).toMatchObject({
      code: 0,
      stdout: `cluster ${name}: deleted: its owner, process ${running.pid}, has ended\n`,
    });
    expect(await home.leaks()).toEqual([]);
  });
});

test("two at once, of one installation, do not meet", async (context) => {
  const home = await openHome(context);
  const own = (me: string, other: string) =>
    `"$KUBECTL" create namespace ${me} >/dev/null && touch ${me} && for i in $(seq 600); do [ -e ${other} ] && break; sleep 0.1; done; [ -e ${other} ] && "$KUBECTL" get namespaces -o name | grep -E '/(one|two)$'`;
  const ran = await Promise.all([
    seatrial(home, ["with", "bare", "--", "sh", "-c", own("one", "two")], { env: { KUBECTL: kubectl } }),
    seatrial(home, ["with", "bare", "--", "sh", "-c", own("two", "one")], { env: { KUBECTL: kubectl } }),
  ]);
  expect(ran.map(({ code, stdout }) => ({ code, stdout }))).toEqual([
    { code: 0, stdout: "namespace/one\n" },
    { code: 0, stdout: "namespace/two\n" },
  ]);
});

describe("the example controller", () => {
  test("its tests pass", async (context) => {
    const home = await openHome(context);
    const folder = await buildExample(context, home);
    const env = { KUBECTL: kubectl, ARTIFACTS: join(home.cwd, "artifacts") };
    const passed = await seatrial(home, ["with", "bare", "--", "./run-tests.sh"], { cwd: folder, env });
    expect(passed, passed.stderr + passed.stdout).toMatchObject({ code: 0 });
    expect(passed.stdout).toMatch(/^PASS$/m);
    expect(await readFile(join(env.ARTIFACTS, "junit_e2e.xml"), "utf8")).toContain('name="TestChangeOfLanguageUpdatesConfigMap"');
  });

  test("broken as the README says, its tests fail as the README says", async (context) => {
    const home = await openHome(context);
    const folder = await buildExample(context, home, {
      change: async (copy) => {
        const path = join(copy, "controller.go");
        const text = await readFile(path, "utf8");
        expect(text).toContain("if upToDate(found, wanted) {");
        await writeFile(path, text.replace("if upToDate(found, wanted) {", "if true {"));
      },
    });
    const env = { KUBECTL: kubectl, ARTIFACTS: join(home.cwd, "artifacts") };
    const failed = await seatrial(home, ["with", "bare", "--", "./run-tests.sh"], { cwd: folder, env });
    expect(failed, failed.stderr + failed.stdout).toMatchObject({ code: 1 });
    const names = [...failed.stdout.matchAll(/^--- FAIL: (\w+)/gm)].map(([, name]) => name!).toSorted();
    expect(names).toEqual(["TestChangeOfLanguageUpdatesConfigMap", "TestEditedConfigMapIsRepaired"]);
    expect(failed.stdout).toContain('greeting is "Hello, Ada!", want "Hallo, Ada!"');
    expect(failed.stderr).toContain("run-tests: the tests failed; the end of the controller's log");
    expect(await readdir(env.ARTIFACTS)).toEqual(
      expect.arrayContaining(["controller.log", "junit_e2e.xml", expect.stringMatching(/^cluster-st-/)]),
    );
  });
});
