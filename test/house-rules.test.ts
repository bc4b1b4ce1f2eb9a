/** The rules of the house are kept by tools: each violation is planted in a copy of the project, and must be found. */
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { houseRuleFindings } from "../scripts/house-rules.ts";
import { run } from "../src/process/run.ts";

const root = join(import.meta.dirname, "..");
let copy = "";

interface Planted {
  name: string;
  file: string;
  text: string;
  /** Of what is found in that file. */
  finds: RegExp;
}

const upwards = /An import upwards/;

const forLint: Planted[] = [
  {
    name: "base imports process",
    file: "src/base/planted.ts",
    text: 'import { run } from "../process/run.ts";\nexport const x = run;\n',
    finds: upwards,
  },
  {
    name: "base imports a type of resources",
    file: "src/base/planted-type.ts",
    text: 'import type { Cluster } from "../resources/cluster.ts";\nexport type X = Cluster;\n',
    finds: upwards,
  },
  {
    name: "process imports hosts",
    file: "src/process/planted.ts",
    text: 'import { openDockerHost } from "../hosts/open.ts";\nexport const x = openDockerHost;\n',
    finds: upwards,
  },
  {
    name: "docker imports clusters",
    file: "src/docker/planted.ts",
    text: 'import { newUid } from "../clusters/boot.ts";\nexport const x = newUid;\n',
    finds: upwards,
  },
  {
    name: "resources import programs",
    file: "src/resources/planted.ts",
    text: 'import { versions } from "../programs/versions.ts";\nexport const x = versions;\n',
    finds: upwards,
  },
  {
    name: "clusters import runner",
    file: "src/clusters/planted.ts",
    text: 'import { ownFailureCode } from "../runner/with.ts";\nexport const x = ownFailureCode;\n',
    finds: upwards,
  },
  {
    name: "a controller imports server",
    file: "src/controllers/reap/planted.ts",
    text: 'import { CommandWorkspace } from "../../server/start.ts";\nexport const x = CommandWorkspace;\n',
    finds: upwards,
  },
  {
    name: "runner imports a type of server",
    file: "src/runner/planted.ts",
    text: 'import type { CommandWorkspace } from "../server/start.ts";\nexport type X = CommandWorkspace;\n',
    finds: upwards,
  },
  {
    name: "server imports cli",
    file: "src/server/planted.ts",
    text: 'import { runCli } from "../cli/cli.ts";\nexport const x = runCli;\n',
    finds: upwards,
  },
  {
    name: "the product imports the lab",
    file: "src/cli/planted-lab.ts",
    text: 'import { labUp } from "../../lab/daemon.ts";\nexport const x = labUp;\n',
    finds: /src is the product/,
  },
  {
    name: "execa outside process",
    file: "src/runner/planted-execa.ts",
    text: 'import { execa } from "execa";\nexport const x = execa;\n',
    finds: /Programs are run by src\/process\/run\.ts alone/,
  },
  {
    name: "a cycle",
    file: "src/base/planted-one.ts",
    text: 'import { two } from "./planted-two.ts";\nexport const one = (): number => two();\n',
    finds: /[Cc]ycle/,
  },
  {
    name: "the environment of the process outside main.ts",
    file: "src/clusters/planted-env.ts",
    text: 'export const x = process.env["HOME"];\n',
    finds: /process\.env/,
  },
  {
    name: "a promise that nobody waits for",
    file: "src/base/planted-floating.ts",
    text: "async function work(): Promise<void> {}\nexport function x(): void {\n  work();\n}\n",
    finds: /[Pp]romise/,
  },
  {
    name: "a switch that forgets a member",
    file: "src/base/planted-switch.ts",
    text: 'export function x(of: "a" | "b"): number {\n  switch (of) {\n    case "a":\n      return 1;\n  }\n  return 2;\n}\n',
    finds: /exhaustive/,
  },
  {
    name: "something thrown that is no error",
    file: "src/base/planted-throw.ts",
    text: 'export function x(): void {\n  throw "no";\n}\n',
    finds: /[Ee]rror/,
  },
  {
    name: "a file of more than 500 lines",
    file: "src/base/planted-long.ts",
    text: Array.from({ length: 501 }, (_, i) => `export const x${i} = ${i};\n`).join(""),
    finds: /too many lines/,
  },
  { name: "a barrel of stars", file: "src/base/planted-barrel.ts", text: 'export * from "./errors.ts";\n', finds: /barrel/i },
  { name: "any", file: "src/base/planted-any.ts", text: "export const x: any = 1;\n", finds: /any/ },
  {
    name: "a test that runs alone",
    file: "src/base/planted.test.ts",
    text: 'import { expect, test } from "vitest";\ntest.only("x", () => expect(1).toBe(1));\n',
    finds: /focused test/,
  },
];

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), "st-rules-"));
  for (const name of ["src", ".oxlintrc.json", "tsconfig.json", "package.json"])
    await cp(join(root, name), join(copy, name), { recursive: true });
  await symlink(join(root, "node_modules"), join(copy, "node_modules"));
});

afterAll(async () => await rm(copy, { recursive: true, force: true }));

async function plant(file: string, text: string): Promise<void> {
  await mkdir(dirname(join(copy, file)), { recursive: true });
  await writeFile(join(copy, file), text);
}

describe("oxlint", () => {
  let found: { filename: string; message: string; code: string; help?: string }[] = [];

  beforeAll(async () => {
    for (const { file, text } of forLint) await plant(file, text);
    await plant("src/base/planted-two.ts", 'import { one } from "./planted-one.ts";\nexport const two = (): number => one();\n');
    const files = forLint.map(({ file }) => file);
    const linted = await run(join(root, "node_modules", ".bin", "oxlint"), ["-f", "json", ...files], {
      cwd: copy,
      env: { PATH: process.env["PATH"] },
      okCodes: [0, 1],
      timeoutMs: 120_000,
    });
    found = (JSON.parse(linted.stdout) as { diagnostics: typeof found }).diagnostics;
  });

  test.for(forLint)("finds: $name", ({ file, finds }) => {
    const messages = found
      .filter(({ filename }) => filename.endsWith(file))
      .map(({ code, message, help }) => `${code}: ${message} ${help ?? ""}`);
    expect(messages.join("\n")).toMatch(finds);
  });

  test("finds nothing in what is allowed", async () => {
    const allowed =
      'import { run } from "../process/run.ts";\nimport { SeatrialError } from "../base/errors.ts";\nexport const x = [run, SeatrialError];\n';
    await plant("src/clusters/planted-allowed.ts", allowed);
    await plant("src/cli/main.ts", 'export const x = process.env["HOME"];\n');
    const linted = await run(
      join(root, "node_modules", ".bin", "oxlint"),
      ["-f", "json", "src/clusters/planted-allowed.ts", "src/cli/main.ts"],
      {
        cwd: copy,
        env: { PATH: process.env["PATH"] },
        timeoutMs: 120_000,
      },
    );
    expect((JSON.parse(linted.stdout) as { diagnostics: unknown[] }).diagnostics).toEqual([]);
  });
});

describe("house rules", () => {
  const cluster = "apiVersion: seatrial.dev/v1alpha1\nkind: Cluster\nmetadata: { name: a }\nspec: { provider: nothing }\n";
  const planted: Planted[] = [
    {
      name: "a link that leads nowhere",
      file: "docs/planted.md",
      text: "# A\n\nSee [there](./nowhere.md).\n",
      finds: /^docs\/planted\.md:3: a link to \.\/nowhere\.md, which is not there$/m,
    },
    {
      name: "a link to no heading",
      file: "docs/planted-heading.md",
      text: "# A heading\n[ok](#a-heading) [not](#another)\n",
      finds: /^docs\/planted-heading\.md:2: a link to #another, and /m,
    },
    {
      name: "an example that does not load",
      file: "examples/planted.yaml",
      text: cluster,
      finds: /^examples\/planted\.yaml:4:\d+: spec\.provider: /,
    },
    {
      name: "YAML in the docs that does not load",
      file: "docs/planted-yaml.md",
      text: `# A\n\n\`\`\`yaml\n${cluster}\`\`\`\n`,
      finds: /^docs\/planted-yaml\.md:7:\d+: spec\.provider: /,
    },
    { name: "a file without a noun", file: "src/base/utils.ts", text: "export const x = 1;\n", finds: /named by the noun/ },
    {
      name: "a barrel of names",
      file: "src/base/planted-names.ts",
      text: '/** All. */\nexport { SeatrialError } from "./errors.ts";\nexport type { Output } from "./output.ts";\n',
      finds: /a barrel file/,
    },
    {
      name: "packages from a mirror",
      file: "package-lock.json",
      text: '{ "resolved": "https://mirror.example/x.tgz" }\n',
      finds: /packages are taken from mirror\.example/,
    },
  ];

  test.for(planted)("finds: $name", async ({ file, text, finds }) => {
    await plant(file, text);
    expect((await houseRuleFindings(copy, [file])).join("\n")).toMatch(finds);
  });

  test("finds the folder of the checkout", async () => {
    await plant("docs/planted-folder.md", `# A\n\nIt is in ${copy}/src, not in x${copy}/src.\n`);
    expect(await houseRuleFindings(copy, ["docs/planted-folder.md"])).toEqual(["docs/planted-folder.md:3: the folder of this checkout"]);
  });

  test("finds nothing in what is allowed", async () => {
    const text = [
      "# A [b](c) `d`",
      "[self](#a-b-d), [site](https://example.org/x#y), `[code](nowhere)`",
      "```",
      "[fenced](nowhere)",
      "```",
      "[file](../package.json)",
      "",
    ].join("\n");
    await plant("docs/planted-allowed.md", text);
    await plant("docs/c", "");
    await plant("examples/kubernetes.yaml", "apiVersion: v1\nkind: Namespace\n");
    expect(await houseRuleFindings(copy, ["docs/planted-allowed.md", "examples/kubernetes.yaml"])).toEqual([]);
  });
});
