import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { readConfig } from "./config.ts";
import { defaultDiskBounds } from "./disk.ts";
import { defaultRetention } from "./retention.ts";
import { defaultWaits } from "./waits.ts";

/** The file in a folder with these others. */
async function fileWith(text: string, others: Record<string, string> = { token: "t\n", secret: "s\n" }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "config-"));
  onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  for (const [name, content] of Object.entries({ ...others, "server.yaml": text })) await writeFile(join(folder, name), content);
  return join(folder, "server.yaml");
}

test("the guide's example", async () => {
  const guide = await readFile(join(import.meta.dirname, "..", "..", "docs", "guides", "server.md"), "utf8");
  const [, example] = /```yaml\n(url:[^]*?)```/.exec(guide)!;
  const { publicUrl, forges } = await readConfig(await fileWith(example!, { "gitea-token": "t", "gitea-secret": "s" }));
  expect(publicUrl).toBe("https://ci.example");
  expect(forges.map(({ forge, repositories }) => [forge.name, repositories])).toEqual([["gitea", ["team/project"]]]);
  expect(forges[0]!.forge.urls).toEqual({ server: "https://gitea.example", api: "https://gitea.example/api/v1" });
  expect(forges[0]!.forge.urls).toEqual({ server: "https://gitea.example", api: "https://gitea.example/api/v1" });
  for (const { forge } of forges) await forge[Symbol.asyncDispose]();
});

test("an empty file: no forges, and all else by default", async () => {
  expect(await readConfig(await fileWith(""))).toMatchObject({ publicUrl: undefined, forges: [] });
});

const gitea = "{url: 'https://gitea.example', tokenFile: token, webhookSecretFiles: [secret]}";

test.for([
  ["broken YAML, with each place", "forges: [\nurl: {", ["server.yaml:2:", "server.yaml:2:"]],
  ["an unknown key", "forge: []", ["server.yaml: forge: "]],
  [
    "two forges of one name",
    `forges: [{name: a, gitea: ${gitea}}, {name: a, gitea: ${gitea}}]`,
    ["forges[1].name: a is the name of another forge"],
  ],
  [
    "the name of the local forge",
    `forges: [{name: local, gitea: ${gitea}}]`,
    ["forges[0].name: local is the forge of this machine's repositories"],
  ],
  [
    "a token that is not there",
    `forges: [{name: a, gitea: ${gitea.replace("tokenFile: token", "tokenFile: none")}}]`,
    ["the token of forge a"],
  ],
  [
    "a secret that is empty",
    `forges: [{name: a, gitea: ${gitea.replace("[secret]", "[empty]")}}]`,
    ["a webhook secret of forge a: ", "is empty"],
  ],
] as const)("%s", async ([, text, expected]) => {
  const file = await fileWith(text, { token: "t", secret: "s", empty: " \n" });
  const error = await readConfig(file).then(
    () => undefined,
    (thrown: unknown) => thrown as Error,
  );
  for (const each of expected) expect(error?.message).toContain(each);
});

test("retention, disk and waits: one value is changed, the others stay", async () => {
  expect(await readConfig(await fileWith(""))).toMatchObject({ retention: defaultRetention, disk: defaultDiskBounds, waits: defaultWaits });
  const text = "retention: {logsDays: 7}\ndisk: {jobsMiB: 10}\nwaits: {hostAwaySeconds: 5}\n";
  const { retention, disk, waits } = await readConfig(await fileWith(text));
  expect(waits).toEqual({ ...defaultWaits, hostAwayMs: 5_000 });
  expect(retention).toEqual({ ...defaultRetention, logsDays: 7 });
  expect(disk).toEqual({ ...defaultDiskBounds, jobsBytes: 10 * 1024 ** 2 });
});

test.each<[string, string, string]>([
  ["less than a cluster may be held", "retention: {runsDays: 1}", "retention.runsDays"],
  ["a part of a day", "retention: {logsDays: 2.5}", "retention.logsDays"],
  ["an unknown name", "disk: {jobsGiB: 1}", "disk"],
  ["less than nothing", "disk: {uploadsMiB: -1}", "disk.uploadsMiB"],
  ["no time at all", "waits: {clusterReadySeconds: 0}", "waits.clusterReadySeconds"],
])("retention, disk and waits: %s is refused", async (_, text, path) => {
  await expect(readConfig(await fileWith(text))).rejects.toMatchObject({ code: "invalid", message: expect.stringContaining(path) });
});

test("what labels mean: the guide's example", async () => {
  const guide = await readFile(join(import.meta.dirname, "..", "..", "docs", "guides", "server.md"), "utf8");
  const [, example] = /```yaml\n(runsOn:[^]*?)```/.exec(guide)!;
  expect((await readConfig(await fileWith(example!))).rules).toEqual([
    { labels: ["gpu"], image: "registry.example/ci/gpu:1", hosts: { labels: { pool: "gpu" } } },
    { labels: ["self-hosted", "big"], hosts: { names: ["big-1", "big-2"] } },
  ]);
  expect((await readConfig(await fileWith(""))).rules).toEqual([]);
});

test.each<[string, string, string]>([
  ["a rule without labels", "runsOn: [{labels: []}]", "runsOn[0].labels"],
  ["labels of Windows", "runsOn: [{labels: [windows-latest]}]", "runsOn[0].labels[0]: must not be a label of Windows or macOS"],
  ["an image for a process", "runsOn: [{labels: [a], executor: host, image: 'a:1'}]", "runsOn[0]: must have no image beside executor host"],
  ["hosts for a process", "runsOn: [{labels: [a], executor: host, hosts: {names: [b]}}]", "must have no hosts beside executor host"],
  ["an image that is none", "runsOn: [{labels: [a], image: 'a b'}]", "runsOn[0].image: must be the reference of an image"],
  ["two places of one key", "secrets: {key: {file: a, variable: B}}", "secrets.key: must be one of file, variable and secret"],
  ["no place of a key", "secrets: {key: {}}", "secrets.key: must be one of file, variable and secret"],
])("%s is refused", async (_, text, message) => {
  await expect(readConfig(await fileWith(text))).rejects.toMatchObject({ code: "invalid", message: expect.stringContaining(message) });
});

test("where the key of secrets is: files are beside the configuration", async () => {
  expect((await readConfig(await fileWith(""))).secretKeys).toBeUndefined();
  const file = await fileWith("secrets: {key: {secret: {name: keys}}, oldKeys: [{file: old.key}, {variable: KEY}]}\n");
  expect((await readConfig(file)).secretKeys).toEqual({
    key: { secret: { name: "keys", field: "key" } },
    oldKeys: [{ file: join(dirname(file), "old.key") }, { variable: "KEY" }],
  });
});

test("mirrors of actions: GitHub unless it says others, and none when it says so", async () => {
  expect((await readConfig(await fileWith(""))).actionMirrors).toEqual([{ prefix: "", url: "https://github.com/" }]);
  const mirrors = [{ prefix: "actions/", url: "/srv/git/" }];
  expect((await readConfig(await fileWith(JSON.stringify({ actions: { mirrors } })))).actionMirrors).toEqual(mirrors);
  expect((await readConfig(await fileWith("actions: {mirrors: []}"))).actionMirrors).toEqual([]);
});
