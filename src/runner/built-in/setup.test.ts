import { chmodSync, existsSync, mkdirSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { builtInActions } from "./built-in-actions.ts";
import { TestContext } from "./testdata/context.ts";

const actionOf = (name: string) => builtInActions.find((action) => action.name === name)!;

/** A machine with programs of some versions. */
function machine(programs: Readonly<Record<string, string>>): TestContext {
  const context = new TestContext();
  for (const [path, printed] of Object.entries(programs)) {
    context.write({ [path]: `#!/bin/sh\necho '${printed}' >&2\n` });
    chmodSync(join(context.root, path), 0o755);
  }
  // No program of the machine that runs the test.
  mkdirSync(join(context.root, "shell"));
  for (const name of ["sh", "head", "readlink"]) {
    const from = ["/usr/bin", "/bin"].map((folder) => join(folder, name)).find((path) => existsSync(path))!;
    symlinkSync(from, join(context.root, "shell", name));
  }
  const path = ["bin", "shell"].map((name) => join(context.root, name)).join(":");
  context.env = { HOME: context.env["HOME"]!, PATH: path, SEATRIAL_TOOLS: join(context.root, "more") };
  return context;
}

const goPrograms = {
  "bin/go": "go version go1.26.5 linux/amd64",
  "tools/go/1.22.3/x64/bin/go": "go version go1.22.3 linux/amd64",
  "more/go/1.22.10/x64/bin/go": "go version go1.22.10 linux/amd64",
  "more/go/1.27.0-rc.1/x64/bin/go": "go version go1.27rc1 linux/amd64",
};

describe("which one is taken", () => {
  test.each<[name: string, inputs: Record<string, string>, files: Record<string, string>, path: string]>([
    ["the newest of a minor", { "go-version": "1.22" }, {}, "more/go/1.22.10/x64/bin"],
    ["exactly one", { "go-version": "1.22.3" }, {}, "tools/go/1.22.3/x64/bin"],
    ["by its own name", { "go-version": "go1.22.3" }, {}, "tools/go/1.22.3/x64/bin"],
    ["a range", { "go-version": ">=1.23" }, {}, "bin"],
    ["before a release", { "go-version": "1.27rc1" }, {}, "more/go/1.27.0-rc.1/x64/bin"],
    ["stable", { "go-version": "stable" }, {}, "bin"],
    ["nothing asked", {}, {}, "bin"],
    ["go.mod", { "go-version-file": "go.mod" }, { "go.mod": "module x\n\ngo 1.22\n" }, "more/go/1.22.10/x64/bin"],
    ["its toolchain", { "go-version-file": "go.mod" }, { "go.mod": "go 1.21\ntoolchain go1.22.3\n" }, "tools/go/1.22.3/x64/bin"],
    [".go-version", { "go-version-file": "sub/.go-version" }, { "sub/.go-version": "1.22.3\n" }, "tools/go/1.22.3/x64/bin"],
    [
      ".tool-versions",
      { "go-version-file": ".tool-versions" },
      { ".tool-versions": "nodejs 1\ngolang 1.22.3 # old\n" },
      "tools/go/1.22.3/x64/bin",
    ],
  ])("%s", async (_, inputs, files, path) => {
    const context = machine(goPrograms);
    context.write(Object.fromEntries(Object.entries(files).map(([name, text]) => [`workspace/${name}`, text])));
    await context.main(actionOf("actions/setup-go"), inputs);
    expect(context.paths).toEqual([join(context.root, path)]);
  });
});

test("none of that version: what was asked, what there is, what to do", async () => {
  const context = machine(goPrograms);
  await expect(context.main(actionOf("actions/setup-go"), { "go-version": "1.19.x" })).rejects.toMatchObject({
    code: "missing-program",
    message: expect.stringMatching(/^there is no Go 1\.19\.x here: there is 1\.26\.5 \(\S+\/bin\/go\), 1\.22\.3 \(.*1\.22\.10/),
    hint: expect.stringContaining("named by SEATRIAL_TOOLS"),
  });
  await expect(machine({}).main(actionOf("azure/setup-helm"), { version: "v3.14.0" })).rejects.toThrow("there is no helm v3.14.0 here");
});

test.each([
  [{ "go-version": "newest" }, '"newest" is no version and no range'],
  [{ "go-version-file": "none" }, "go-version-file none is not there"],
  [{ "go-version-file": "empty" }, "empty says no version of Go"],
  [{ "go-versoin": "1" }, "go-versoin is not an input of actions/setup-go, did you mean go-version?"],
])("%j is refused", async (inputs, message) => {
  const context = machine(goPrograms);
  context.write({ "workspace/empty": "\n# nothing\n" });
  await expect(context.main(actionOf("actions/setup-go"), inputs)).rejects.toThrow(message);
});

describe("the others", () => {
  test.each<
    [action: string, programs: Record<string, string>, inputs: Record<string, string>, files: Record<string, string>, expected: object]
  >([
    [
      "actions/setup-node",
      { "bin/node": "v20.1.0", "tools/node/24.2.0/x64/bin/node": "v24.2.0" },
      { "node-version": "lts/*" },
      {},
      { outputs: { "node-version": "v24.2.0", "cache-hit": "false" }, paths: ["tools/node/24.2.0/x64/bin"] },
    ],
    [
      "actions/setup-node",
      { "bin/node": "v20.1.0", "tools/node/24.2.0/x64/bin/node": "v24.2.0" },
      { "node-version-file": "package.json" },
      { "package.json": '{"engines": {"node": "^20"}}' },
      { outputs: { "node-version": "v20.1.0" }, paths: ["bin"] },
    ],
    [
      "actions/setup-python",
      { "bin/python3": "Python 3.14.1", "tools/Python/3.12.4/x64/bin/python3": "Python 3.12.4" },
      { "python-version": "3.12" },
      {},
      {
        outputs: { "python-version": "3.12.4", "cache-hit": "false" },
        paths: ["tools/Python/3.12.4/x64/bin"],
        variables: { pythonLocation: "tools/Python/3.12.4/x64" },
      },
    ],
    [
      "actions/setup-python",
      { "bin/python3": "Python 3.14.1", "tools/Python/3.12.4/x64/bin/python3": "Python 3.12.4" },
      { "python-version-file": "pyproject.toml", "update-environment": "false" },
      { "pyproject.toml": '[project]\nrequires-python = ">=3.9,<3.13"\n' },
      { outputs: { "python-version": "3.12.4" }, paths: [], variables: {} },
    ],
    [
      "actions/setup-java",
      {
        "bin/java": 'openjdk version "17.0.9" 2023-10-17',
        "tools/Java_Temurin-Hotspot_jdk/21.0.1-12/x64/bin/java": 'openjdk version "21.0.1"',
      },
      { "java-version": "21", distribution: "temurin" },
      {},
      {
        outputs: { distribution: "temurin", version: "21.0.1" },
        variables: { JAVA_HOME: "tools/Java_Temurin-Hotspot_jdk/21.0.1-12/x64" },
      },
    ],
    ["azure/setup-helm", { "bin/helm": "v3.14.0+g3fc9f4b" }, { version: "v3.14.0" }, {}, { paths: ["bin"] }],
    ["azure/setup-kubectl", { "bin/kubectl": "Client Version: v1.36.3" }, { version: "v1.36.3" }, {}, { paths: ["bin"] }],
    ["azure/setup-kubectl", { "bin/kubectl": "Client Version: v1.36.3" }, {}, {}, { paths: ["bin"] }],
    ["azure/setup-kubectl", { "bin/kubectl": "Client Version: v1.32.4-dispatcher" }, {}, {}, { paths: ["bin"] }],
    ["azure/setup-kubectl", { "bin/kubectl": "Client Version: v1.29.0-eks-5e0fdde" }, { version: "v1.29.0" }, {}, { paths: ["bin"] }],
    [
      "azure/setup-kubectl",
      { "bin/kubectl": "Client Version: v1.36.0-rc.1", "tools/kubectl/1.35.4/x64/kubectl": "Client Version: v1.35.4" },
      {},
      {},
      { paths: ["tools/kubectl/1.35.4/x64"] },
    ],
  ])("%s of %j, %j", async (name, programs, inputs, files, expected) => {
    const context = machine(programs);
    context.write(Object.fromEntries(Object.entries(files).map(([path, text]) => [`workspace/${path}`, text])));
    await context.main(actionOf(name), inputs);
    const inside = (path: string) => (path.startsWith(dirname(context.root)) ? path.slice(context.root.length + 1) : path);
    const seen = {
      outputs: context.outputs,
      paths: context.paths.map(inside),
      variables: Object.fromEntries(Object.entries(context.variables).map(([key, value]) => [key, inside(value)])),
    };
    expect(seen).toMatchObject(expected);
  });
});
