import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import type { ContainerSummary } from "../docker/objects.ts";
import type { DockerClient } from "../docker/client.ts";
import type { KubeClient } from "../kube/client.ts";
import { currentProcess } from "../process/identity.ts";
import { hostsFiles, publishedRegistry, publishRegistry, registryHosting, variablesFor, wireRegistry } from "./registry-wiring.ts";

const none = { mirrors: [], auths: [], variables: {} };
const byHost = (...[wiring]: Parameters<typeof hostsFiles>) => Object.fromEntries(hostsFiles(wiring).map(({ host, text }) => [host, text]));

describe("hosts.toml", () => {
  test("a registry has all names that clients and pods use", () => {
    const files = byHost({ ...none, name: "reg", ports: [5005, 33000] });
    expect(Object.keys(files)).toEqual(["localhost:5005", "127.0.0.1:5005", "localhost:33000", "127.0.0.1:33000", "reg:5000"]);
    for (const text of Object.values(files)) expect(text).toBe('[host."http://reg:5000"]\n  capabilities = ["pull", "resolve"]\n');
  });

  test("without a registry there are none", () => {
    expect(hostsFiles({ ...none, name: "", ports: [], mirrors: ["ghcr.io"] })).toEqual([]);
  });

  test("images under their own name are asked of ours first, and then of their own registry", () => {
    const files = byHost({ ...none, name: "reg", ports: [1], mirrors: ["ghcr.io", "docker.io"] });
    expect(files["ghcr.io"]).toMatch(/^server = "https:\/\/ghcr\.io"\n\n\[host\."http:\/\/reg:5000"\]/);
    expect(files["docker.io"]).toMatch(/^server = "https:\/\/registry-1\.docker\.io"\n/);
  });

  test("credentials go from the environment into a header", () => {
    const auths = [
      { host: "docker.io", endpoint: "https://proxy.corp/v2/hub", username: "$WHO", password: "${TOKEN}" },
      { host: "ghcr.io", endpoint: "https://ghcr.io" },
      { host: "quay.io", endpoint: "https://quay.io", username: "$UNKNOWN" },
    ];
    const files = byHost({ ...none, name: "", ports: [], auths, variables: { WHO: "me", TOKEN: "s:cret" } });
    expect(files["docker.io"]).toContain(`Authorization = "Basic ${Buffer.from("me:s:cret").toString("base64")}"`);
    expect(files["docker.io"]).toContain("override_path = true");
    for (const host of ["ghcr.io", "quay.io"]) {
      expect(files[host]).not.toContain("Authorization");
      expect(files[host]).not.toContain("override_path");
    }
  });
});

describe("writing them into nodes", () => {
  const node = (Id: string, State = "running", role = "worker") =>
    ({ Id, Names: [`/${Id}`], State, Labels: { "io.x-k8s.kind.role": role } }) as unknown as ContainerSummary;
  const wiring = { ...none, nodes: 2, name: "reg", ports: [1] };

  test("waits for all nodes to run, and leaves the load balancer alone", async () => {
    const written: string[] = [];
    const docker = {
      exec: async (id: string) => await Promise.resolve((written.push(id), { exitCode: 0, stderr: Buffer.alloc(0) })),
    } as unknown as DockerClient;
    const looks = [[node("a")], [node("a"), node("b", "created")], [node("a"), node("b"), node("lb", "running", "external-load-balancer")]];
    await wireRegistry(docker, async () => await Promise.resolve(looks.length > 1 ? looks.shift()! : looks[0]!), wiring);
    expect(written).toEqual(["a", "b"]);
  });

  test("secrets are not in the arguments, which every process of the host can read", async () => {
    let argv: string[] = [];
    let stdin = "";
    const docker = {
      exec: async (_: string, given: string[], options: { stdin: string }) => {
        [argv, stdin] = [given, options.stdin];
        return await Promise.resolve({ exitCode: 0, stderr: Buffer.alloc(0) });
      },
    } as unknown as DockerClient;
    const auths = [{ host: "docker.io", endpoint: "https://x", username: "it's", password: "p" }];
    await wireRegistry(docker, async () => await Promise.resolve([node("a")]), { ...wiring, nodes: 1, auths });
    expect(argv).toEqual(["sh"]);
    expect(stdin).toContain(Buffer.from("it's:p").toString("base64"));
  });

  test("a node that cannot be written to is named", async () => {
    const docker = {
      exec: async () => await Promise.resolve({ exitCode: 1, stderr: Buffer.from("read-only file system\n") }),
    } as unknown as DockerClient;
    await expect(wireRegistry(docker, async () => await Promise.resolve([node("a")]), { ...wiring, nodes: 1 })).rejects.toThrow(
      "registry reg known to node a: read-only file system",
    );
  });
});

test.each([
  ["a declared cluster", "declared", "dXM6b3Vycw=="],
  ["a command's throwaway", currentProcess(), "dXM6b3Vycw=="],
  ["a workflow's cluster on a server", { attempt: "a" }, undefined],
] as const)("what credentials name of our environment, for %s", (_name, owner, basic) => {
  const variables = variablesFor({ instance: "i", owner, notAfter: undefined }, { TOKEN: "ours", WHO: "us" });
  const auths = [{ host: "docker.io", endpoint: "https://evil.example", username: "$WHO", password: "$TOKEN" }];
  const { "docker.io": file } = byHost({ ...none, name: "", ports: [], auths, variables });
  expect(/Basic (\S+)"/.exec(file!)?.[1]).toBe(basic);
});

describe("KEP-1755", () => {
  test("what is published is read back", async () => {
    let applied: { data: Record<string, string> } | undefined;
    const client = {
      apply: async (_: string, object: typeof applied) => await Promise.resolve(void (applied = object)),
      get: async () => await Promise.resolve(applied),
    } as unknown as KubeClient;
    expect(await publishedRegistry(client)).toBeUndefined();
    await publishRegistry(client, "reg", 5005);
    expect(parse(applied!.data["localRegistryHosting.v1"]!)).toEqual(registryHosting("reg", 5005));
    expect(await publishedRegistry(client)).toMatchObject({ host: "localhost:5005", hostFromClusterNetwork: "reg:5000" });
  });

  test.each([["[ not yaml"], [""], ["null"]])("what others wrote is no reason to fail: %j", async (text) => {
    const client = { get: async () => await Promise.resolve({ data: { "localRegistryHosting.v1": text } }) } as unknown as KubeClient;
    expect(await publishedRegistry(client)).toBeUndefined();
  });
});
