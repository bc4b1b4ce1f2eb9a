import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { parse, stringify } from "yaml";
import { environmentFrom } from "../base/environment.ts";
import { createMask } from "../logs/masking.ts";
import {
  currentContext,
  isMergeable,
  mergeKubeconfig,
  renameKubeconfig,
  secretsInKubeconfig,
  unmergeKubeconfig,
  userKubeconfigPath,
} from "./kubeconfig.ts";

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
    ["the last, when none exists", "{a}:{b}", [], "b"],
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

describe("before a boot it is known whether a cluster can be merged", () => {
  test.each<[string, string, true | RegExp]>([
    ["a kubeconfig", users, true],
    ["an empty file", "", true],
    ["comments alone", "# nothing yet\n", true],
    ["sections that are empty", "clusters:\nusers: []\n", true],
    ["a list", "- a\n- b\n", /is not a kubeconfig: it is not a map/],
    ["words", "hello\n", /is not a kubeconfig: it is not a map/],
    ["a section that is no list", "clusters: {a: b}\n", /is not a kubeconfig: its clusters are not a list/],
    ["no YAML", "clusters: [", /is not a kubeconfig/],
  ])("%s", async (_, text, expected) => {
    const asked = isMergeable(await given("user", text));
    if (expected === true) expect(await asked).toBe(true);
    else await expect(asked).rejects.toMatchObject({ code: "invalid", message: expect.stringMatching(expected) as string });
    expect(await readFile(join(folder, "user"), "utf8")).toBe(text);
  });

  test("nothing there, also at the end of a link", async () => {
    await symlink("nowhere", join(folder, "link"));
    expect(await isMergeable(join(folder, "none"))).toBe(true);
    expect(await isMergeable(join(folder, "link"))).toBe(true);
  });

  test("the null device means that there is none, also by a link", async () => {
    await symlink("/dev/null", join(folder, "link"));
    expect(await isMergeable("/dev/null")).toBe(false);
    expect(await isMergeable(join(folder, "link"))).toBe(false);
  });

  test.each([
    ["a folder", () => folder],
    ["another device", () => "/dev/zero"],
  ])("%s is refused", async (_, path) => {
    await expect(isMergeable(path())).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringContaining("it is not a regular file") as string,
    });
  });
});

describe("what has nothing of a cluster is none of its deletion's business", () => {
  test("it is not locked", async () => {
    const user = await given("user", users);
    await given("user.lock", "");
    await unmergeKubeconfig("kind-demo", await given("own", own("kind-demo")), user, AbortSignal.timeout(2_000));
    expect(await readFile(user, "utf8")).toBe(users);
  });

  test.each([
    ["no YAML", "clusters: ["],
    ["a list", "- a\n"],
  ])("%s", async (_, text) => {
    await unmergeKubeconfig("kind-demo", await given("own", own("kind-demo")), await given("user", text));
  });

  test("a folder", async () => {
    await unmergeKubeconfig("kind-demo", await given("own", own("kind-demo")), folder);
  });

  test("a damaged file that names it is told", async () => {
    const user = await given("user", "clusters: [ {name: kind-demo");
    await expect(unmergeKubeconfig("kind-demo", await given("own", own("kind-demo")), user)).rejects.toThrow(/is not a kubeconfig/);
  });
});

test("a kubeconfig under a name and an address of our own", () => {
  const renamed = renameKubeconfig(own("kubernetes").replaceAll("kubernetes-admin", "x"), "kind-demo", "https://127.0.0.1:4711");
  expect(parse(renamed)).toEqual(parse(own("kind-demo").replace("https://127.0.0.1:1", "https://127.0.0.1:4711")));
});

describe("what is masked of a kubeconfig", () => {
  const { privateKey } = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
  const data = Buffer.from(privateKey).toString("base64");
  const user = { token: "a-token-of-it", password: "a-password-of-it", "client-key-data": data, "client-certificate-data": "Q0VSVA==" };
  const kubeconfig = stringify({ users: [{ name: "a", user }, { name: "b", user: { exec: { command: "login" } } }, { name: "c" }] });

  test("its keys, tokens and passwords, and nothing that opens nothing", () => {
    expect(secretsInKubeconfig(kubeconfig)).toEqual(["a-token-of-it", "a-password-of-it", privateKey]);
    for (const empty of ["", "{}", "users:"]) expect(secretsInKubeconfig(empty)).toEqual([]);
  });

  test.each([
    ["YAML", kubeconfig],
    ["JSON", JSON.stringify(parse(kubeconfig))],
    ["a key's text", privateKey],
    ["one line of it", privateKey.split("\n")[1]!],
  ])("%s shows nothing of them any more", (_name, text) => {
    const shown = createMask(secretsInKubeconfig(kubeconfig)).text(text);
    for (const secret of ["a-token", "a-password", ...privateKey.split("\n").slice(1, -2)]) expect(shown).not.toContain(secret);
    for (let at = 0; at + 12 <= data.length; at += 12) expect(shown).not.toContain(data.slice(at, at + 12));
    expect(shown).toContain("***");
  });
});
