import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { parse } from "yaml";
import { environmentFrom } from "../base/environment.ts";
import { currentContext, mergeKubeconfig, renameKubeconfig, unmergeKubeconfig, userKubeconfigPath, writeFileWhole } from "./kubeconfig.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "kubeconfig-"));
  const made = folder;
  onTestFinished(async () => await rm(made, { recursive: true, force: true }));
});

const own = (name: string, ca = "Q0E=") => `apiVersion: v1
kind: Config
clusters:
- {name: ${name}, cluster: {server: "https://127.0.0.1:1", certificate-authority-data: ${ca}}}
users:
- {name: ${name}, user: {token: t}}
contexts:
- {name: ${name}, context: {cluster: ${name}, user: ${name}}}
current-context: ${name}
`;
const users = `# my clusters
apiVersion: v1
kind: Config
preferences: {colors: true} # an old field
clusters:
- name: work # do not touch
  cluster: {server: "https://10.0.0.1"}
contexts:
- name: work
  context: {cluster: work, user: work}
users:
- name: work
  user:
    exec: {command: login}
current-context: work
`;

async function given(name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text);
  return join(folder, name);
}

describe("the file that kubectl would write to", () => {
  test.each([
    ["the first that exists", "{a}:{b}", ["b"], "b"],
    ["the first, when none exists", "{a}:{b}", [], "a"],
    ["empty parts do not count", ":{b}:", [], "b"],
    ["none is named", "", [], ".kube/config"],
  ])("%s", async (_, variable, existing, expected) => {
    for (const name of existing) await given(name, "");
    const KUBECONFIG = variable.replaceAll(/\{(\w)\}/g, (__, name: string) => join(folder, name));
    const environment = environmentFrom({ variables: { KUBECONFIG }, homeDir: folder, tempDir: "/tmp", uid: 1, cwd: "/" });
    expect(userKubeconfigPath(environment)).toBe(join(folder, expected));
  });
});

describe("merge and unmerge", () => {
  test("what the user wrote stays, comments and unknown fields too", async () => {
    const user = await given("user", users);
    await mergeKubeconfig(await given("own", own("kind-demo")), user);
    const merged = await readFile(user, "utf8");
    for (const kept of ["# my clusters", "# do not touch", "# an old field", "colors: true", "command: login"])
      expect(merged).toContain(kept);
    expect(await currentContext(user)).toBe("kind-demo");
    expect((parse(merged) as { contexts: { name: string }[] }).contexts.map(({ name }) => name)).toEqual(["work", "kind-demo"]);
    expect((await stat(user)).mode & 0o777).toBe(0o600);

    await unmergeKubeconfig("kind-demo", join(folder, "own"), user);
    expect(parse(await readFile(user, "utf8"))).toEqual({ ...(parse(users) as object), "current-context": "" });
  });

  test("merged twice there is one entry of each, the newest", async () => {
    const user = await given("user", "");
    await mergeKubeconfig(await given("own", own("kind-demo")), user);
    await mergeKubeconfig(await given("own", own("kind-demo", "TkVX")), user);
    const merged = parse(await readFile(user, "utf8")) as { clusters: object[]; users: object[]; contexts: object[] };
    expect([merged.clusters.length, merged.users.length, merged.contexts.length]).toEqual([1, 1, 1]);
    expect(merged.clusters[0]).toMatchObject({ cluster: { "certificate-authority-data": "TkVX" } });
  });

  test("entries of the same name that lead to another cluster stay", async () => {
    const user = await given("user", own("kind-demo", "T1RIRVI="));
    await unmergeKubeconfig("kind-demo", await given("own", own("kind-demo")), user);
    expect(await readFile(user, "utf8")).toBe(own("kind-demo", "T1RIRVI="));
  });

  test("a current context that the user chose meanwhile stays", async () => {
    const user = await given("user", users);
    await mergeKubeconfig(await given("own", own("kind-demo")), user);
    await writeFile(user, (await readFile(user, "utf8")).replace(/^current-context:.*/m, "current-context: work"));
    await unmergeKubeconfig("kind-demo", join(folder, "own"), user);
    expect(await currentContext(user)).toBe("work");
  });

  test("there is no file: merge makes it, with its folder; unmerge does not", async () => {
    const user = join(folder, "deep", "er", "config");
    await unmergeKubeconfig("kind-demo", await given("own", own("kind-demo")), user);
    expect(await currentContext(user)).toBeUndefined();
    await mergeKubeconfig(join(folder, "own"), user);
    expect(await currentContext(user)).toBe("kind-demo");
  });

  test("a file that is not YAML is not changed", async () => {
    const user = await given("user", "clusters: [");
    await expect(mergeKubeconfig(await given("own", own("kind-demo")), user)).rejects.toThrow(/is not a kubeconfig/);
    expect(await readFile(user, "utf8")).toBe("clusters: [");
    expect(await readdir(folder)).not.toContain("user.lock");
  });

  test("many at once, each under kubectl's lock, lose nothing", async () => {
    const user = join(folder, "user");
    const names = Array.from({ length: 12 }, (_, i) => `kind-${i}`);
    await Promise.all(names.map(async (name) => await mergeKubeconfig(await given(name, own(name)), user)));
    const merged = parse(await readFile(user, "utf8")) as { contexts: { name: string }[] };
    expect(merged.contexts.map(({ name }) => name).toSorted()).toEqual(names.toSorted());
    expect((await readdir(folder)).filter((file) => file.endsWith(".lock") || file.endsWith(".tmp"))).toEqual([]);
  });

  test("a lock that its holder left is taken away", async () => {
    const user = await given("user", users);
    const lock = await given("user.lock", "");
    const longAgo = new Date(Date.now() - 120_000);
    await utimes(lock, longAgo, longAgo);
    await mergeKubeconfig(await given("own", own("kind-demo")), user);
    expect(await currentContext(user)).toBe("kind-demo");
  });

  test("waiting for a lock that is held ends with the signal", async () => {
    const user = await given("user", users);
    await given("user.lock", "");
    await expect(mergeKubeconfig(await given("own", own("kind-demo")), user, AbortSignal.timeout(100))).rejects.toThrow(/timeout/);
    expect(await readFile(user, "utf8")).toBe(users);
  });
});

describe("a file is written whole or not at all", () => {
  test("a link is followed", async () => {
    await mkdir(join(folder, "real"));
    const target = join(folder, "real", "config");
    await writeFile(target, "old");
    await symlink(target, join(folder, "link"));
    await writeFileWhole(join(folder, "link"), "new");
    expect(await readFile(target, "utf8")).toBe("new");
    expect(await readdir(join(folder, "real"))).toEqual(["config"]);
  });

  test("what cannot be written is told, and nothing is left", async () => {
    await mkdir(join(folder, "taken", "by", "a-folder"), { recursive: true });
    await expect(writeFileWhole(join(folder, "taken"), "x")).rejects.toMatchObject({
      code: "command-failed",
      message: expect.stringContaining("the file is as it was"),
    });
    expect(await readdir(folder)).toEqual(["taken"]);
  });
});

test("a kubeconfig under a name and an address of our own", () => {
  const renamed = renameKubeconfig(own("kubernetes").replaceAll("kubernetes-admin", "x"), "kind-demo", "https://127.0.0.1:4711");
  expect(parse(renamed)).toEqual(parse(own("kind-demo").replace("https://127.0.0.1:1", "https://127.0.0.1:4711")));
});
