import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { readConfig } from "./config.ts";
import { defaultDiskBounds } from "./disk.ts";
import { defaultRetention } from "./retention.ts";

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

test("retention and disk: one value is changed, the others stay", async () => {
  expect(await readConfig(await fileWith(""))).toMatchObject({ retention: defaultRetention, disk: defaultDiskBounds });
  const { retention, disk } = await readConfig(await fileWith("retention: {logsDays: 7}\ndisk: {jobsMiB: 10}\n"));
  expect(retention).toEqual({ ...defaultRetention, logsDays: 7 });
  expect(disk).toEqual({ ...defaultDiskBounds, jobsBytes: 10 * 1024 ** 2 });
});

test.each<[string, string, string]>([
  ["less than a cluster may be held", "retention: {runsDays: 1}", "retention.runsDays"],
  ["a part of a day", "retention: {logsDays: 2.5}", "retention.logsDays"],
  ["an unknown name", "disk: {jobsGiB: 1}", "disk"],
  ["less than nothing", "disk: {uploadsMiB: -1}", "disk.uploadsMiB"],
])("retention and disk: %s is refused", async (_, text, path) => {
  await expect(readConfig(await fileWith(text))).rejects.toMatchObject({ code: "invalid", message: expect.stringContaining(path) });
});
