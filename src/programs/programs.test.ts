import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { environmentFrom } from "../base/environment.ts";
import { cachedProgramPath, platform } from "./cache.ts";
import { goEnvironment, stagingModules } from "./go-build.ts";
import { Programs, type ProgramsOptions } from "./programs.ts";
import { compareVersions, defaultKubernetesVersion, parseMinor, versionIn, versions } from "./versions.ts";

const { os, arch } = platform();
let folder: string;
let bin: string;
const open: { close(): unknown }[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "programs-"));
  bin = join(folder, "bin");
  await mkdir(bin);
});

afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
  await rm(folder, { recursive: true, force: true });
});

function environment(variables: Record<string, string> = {}) {
  return environmentFrom({
    variables: { PATH: bin, SEATRIAL_CACHE: join(folder, "cache"), ...variables },
    homeDir: folder,
    tempDir: folder,
    uid: 1,
    cwd: folder,
  });
}

function programs(options: Partial<ProgramsOptions> = {}): Programs {
  const made = new Programs({ environment: environment(), isOffline: true, ...options });
  open.push(made);
  return made;
}

const saying = (text: string) => `#!/bin/sh\necho '${text}'\n`;

async function program(path: string, text: string): Promise<string> {
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, saying(text));
  await chmod(path, 0o755);
  return path;
}

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push({
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A site that has just these files; every other path is not found. */
async function site(files: (url: string) => Record<string, string | Buffer>): Promise<string> {
  let url = "";
  url = await serve((request, response) => {
    const content = files(url)[request.url!];
    response.statusCode = content === undefined ? 404 : 200;
    response.end(content ?? "no such file");
  });
  return url;
}

const sum = (algorithm: string, content: string | Buffer) => createHash(algorithm).update(content).digest("hex");
const everySite = (url: string) => ({
  envtestIndex: `${url}/index.yaml`,
  kubernetes: `${url}/k8s`,
  kindReleases: `${url}/kind`,
  kwokReleases: `${url}/kwok`,
  etcdReleases: `${url}/etcd`,
});
const isLeft = async (name: string) =>
  (await readdir(join(folder, "cache", "programs", name), { recursive: true }).catch(() => [])).filter((each) =>
    each.includes(".download"),
  );

describe("versions", () => {
  test.each([
    ["v1.36.3", "v1.36.10", -1],
    ["v1.36.3", "v1.35.9", 1],
    ["v1.36.3", "1.36.3", 0],
    ["nothing", "v0.0.1", -1],
  ])("%s against %s is %i", (a, b, expected) => expect(Math.sign(compareVersions(a, b))).toBe(expected));

  test.each([
    ["kind v0.33.0 go1.26.8 linux/amd64", "v0.33.0"],
    ["etcd Version: 3.6.8\nGo Version: go1.26.8", "v3.6.8"],
    ['{"clientVersion": {"gitVersion": "v1.32.4-dispatcher"}}', "v1.32.4-dispatcher"],
    ["no version", undefined],
  ])("in %j is %s", (text, expected) => expect(versionIn(text)).toBe(expected));

  test("a minor is two numbers", () => {
    expect(parseMinor("v1.36")).toEqual({ major: 1, minor: 36 });
    expect(parseMinor("v1.36.3")).toBeUndefined();
  });
});

describe("explicit path", () => {
  test("is taken before everything else", async () => {
    const path = await program(join(folder, "my-kind"), "kind v0.20.0 go1.20");
    const found = await programs({ environment: environment({ SEATRIAL_KIND: path }) }).find({ name: "kind" });
    expect(found).toEqual({ name: "kind", path, version: "v0.20.0", source: "explicit", steps: [] });
  });

  test("that is no program is an error, not passed over", async () => {
    const given = programs({ environment: environment({ SEATRIAL_KUBE_APISERVER: "/nowhere/apiserver" }) });
    await expect(given.find({ name: "kube-apiserver" })).rejects.toThrow("SEATRIAL_KUBE_APISERVER names /nowhere/apiserver");
  });

  test("of another version than asked is an error", async () => {
    const path = await program(join(folder, "apiserver"), "Kubernetes v1.34.0");
    const given = programs({ environment: environment({ TEST_ASSET_KUBE_APISERVER: path }) });
    await expect(given.find({ name: "kube-apiserver", version: "v1.36.3" })).rejects.toThrow("which is v1.34.0; v1.36.3 is asked for");
  });

  test("KUBEBUILDER_ASSETS is taken when it has the version, else said and passed over", async () => {
    await program(join(folder, "assets", "kube-apiserver"), "Kubernetes v1.34.0");
    const given = programs({ environment: environment({ KUBEBUILDER_ASSETS: join(folder, "assets") }) });
    expect((await given.find({ name: "kube-apiserver" })).version).toBe("v1.34.0");
    await expect(given.find({ name: "kube-apiserver", version: "v1.36.3" })).rejects.toThrow("KUBEBUILDER_ASSETS is v1.34.0, not v1.36.3");
  });
});

describe("PATH", () => {
  test.each([
    ["kubectl", undefined, '{"gitVersion": "v1.35.0"}', true],
    ["kubectl", undefined, '{"gitVersion": "v1.37.1"}', true],
    ["kubectl", undefined, '{"gitVersion": "v1.32.4-dispatcher"}', false],
    ["kubectl", "v1.35.4", '{"gitVersion": "v1.36.3"}', false],
    ["kube-apiserver", undefined, "Kubernetes v1.36.1", true],
    ["kube-apiserver", undefined, "Kubernetes v1.37.0", false],
    ["kube-apiserver", "v1.36.3", "Kubernetes v1.36.3", true],
    ["kind", undefined, "kind v0.34.0", true],
    ["kind", undefined, "kind v0.29.0", false],
    ["etcd", undefined, "etcd Version: 3.6.1", true],
    ["etcd", undefined, "etcd Version: 3.4.23", false],
    ["kwok", undefined, "it will not say", false],
  ] as const)("%s (asked: %s) that says %s: taken %s", async (name, version, text, isTaken) => {
    const path = await program(join(bin, name), text);
    const found = await programs().look({ name, version });
    expect(found?.path).toBe(isTaken ? path : undefined);
  });

  test("a later folder has the right one", async () => {
    const second = join(folder, "second");
    await program(join(bin, "kind"), "kind v0.10.0");
    const path = await program(join(second, "kind"), "kind v0.33.0");
    const found = await programs({ environment: environment({ PATH: `${bin}:${second}` }) }).find({ name: "kind" });
    expect(found).toMatchObject({ path, source: "path", steps: [`PATH: ${join(bin, "kind")} is v0.10.0, not v0.33.0 or newer`] });
  });
});

describe("cache", () => {
  test("a minor is the newest patch that the cache has", async () => {
    for (const version of ["v1.30.2", "v1.30.10"])
      await program(cachedProgramPath(environment(), "kube-apiserver", version), `Kubernetes ${version}`);
    const found = await programs().find({ name: "kube-apiserver", version: "v1.30" });
    expect(found).toMatchObject({ version: "v1.30.10", source: "cache", steps: ["PATH: has no kube-apiserver"] });
  });

  test("nothing anywhere: every step says why", async () => {
    const error = await programs()
      .find({ name: "kwok" })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "missing-program" });
    expect((error as Error).message.split("\n")).toEqual([
      "there is no kwok v0.8 to be had:",
      "  PATH: has no kwok",
      `  cache: has no kwok ${versions.kwok}`,
      "  download, build: not tried, we are offline",
    ]);
  });

  test.each([["v1.36.x"], ["latest"]])("version %s is refused", async (version) => {
    await expect(programs().find({ name: "kubectl", version })).rejects.toMatchObject({ code: "invalid" });
  });
});

describe("download", () => {
  const kindPath = `/kind/${versions.kind}/kind-${os}-${arch}`;
  const kind = saying(`kind ${versions.kind} go1.26`);

  test("with the right checksum is in the cache and taken from there the next time", async () => {
    const url = await site(() => ({ [kindPath]: kind, [`${kindPath}.sha256sum`]: `${sum("sha256", kind)}  kind-${os}-${arch}\n` }));
    const options = { isOffline: false, sites: everySite(url) };
    const found = await programs(options).find({ name: "kind" });
    expect(found).toMatchObject({
      source: "download",
      version: versions.kind,
      path: cachedProgramPath(environment(), "kind", versions.kind),
    });
    expect(await readFile(found.path, "utf8")).toBe(kind);
    expect(await isLeft("kind")).toEqual([]);
    expect((await programs(options).find({ name: "kind" })).source).toBe("cache");
  });

  test("asked for twice at once is made once", async () => {
    let requests = 0;
    const url = await serve((request, response) => {
      if (request.url === kindPath) requests++;
      response.end(request.url === kindPath ? kind : sum("sha256", kind));
    });
    const options = { isOffline: false, sites: everySite(url) };
    const found = await Promise.all([1, 2, 3].map(async () => await programs(options).find({ name: "kind" })));
    expect(found.map((each) => each.source).sort()).toEqual(["cache", "cache", "download"]);
    expect(requests).toBe(1);
  });

  test.each([
    [
      "a wrong checksum",
      (): Record<string, string> => ({ [kindPath]: `${kind}evil`, [`${kindPath}.sha256sum`]: sum("sha256", kind) }),
      "as published: it is not used",
    ],
    ["no checksum in the file", () => ({ [kindPath]: kind, [`${kindPath}.sha256sum`]: "<html>" }), "has no checksum of kind-"],
    ["not found", () => ({}), "answered 404"],
  ])("%s: nothing is kept, and the step says so", async (_, files, message) => {
    const url = await site(files);
    const error = await programs({ isOffline: false, sites: everySite(url), environment: withoutGo() })
      .find({ name: "kind" })
      .catch((thrown: unknown) => thrown as Error);
    expect((error as Error).message).toContain(message);
    expect((error as Error).message).toMatch(/download: .*\n {2}build: /s);
    expect(await isLeft("kind")).toEqual([]);
    expect(await programs().look({ name: "kind" })).toBeUndefined();
  });

  test("a site that does not answer costs its timeout once, a refused connection nothing", async () => {
    let requests = 0;
    const silent = await serve(() => void requests++);
    const slow = programs({ isOffline: false, sites: everySite(silent), timeouts: { firstByteMs: 100 }, environment: withoutGo() });
    await expect(slow.find({ name: "kind" })).rejects.toThrow("cannot be reached (no answer within 0.1 s)");
    await expect(slow.find({ name: "kwok" })).rejects.toThrow("cannot be reached");
    expect(requests).toBe(1);
    const refused = programs({ isOffline: false, sites: everySite("http://127.0.0.1:1"), environment: withoutGo() });
    await expect(refused.find({ name: "kind" })).rejects.toThrow("127.0.0.1:1 cannot be reached (ECONNREFUSED)");
  });

  test("a control plane archive gives the one regular file, and its index the newest patch", async () => {
    const archive = pack();
    archive.entry({ name: "controller-tools/envtest/kube-apiserver", type: "symlink", linkname: "/etc/passwd" });
    archive.entry({ name: "controller-tools/envtest/etcd" }, "something else");
    archive.entry({ name: "controller-tools/envtest/kube-apiserver" }, saying("Kubernetes v1.40.2"));
    archive.finalize();
    const packed = gzipSync(await buffer(archive));
    const entry = (url: string, version: string) =>
      `  ${version}:\n    envtest-${version}-${os}-${arch}.tar.gz: {hash: ${sum("sha512", packed)}, selfLink: "${url}/${version}.tar.gz"}\n`;
    const url = await site((self) => ({
      "/index.yaml": `releases:\n${entry(self, "v1.40.2")}${entry(self, "v1.40.1")}`,
      "/v1.40.2.tar.gz": packed,
    }));
    const found = await programs({ isOffline: false, sites: everySite(url) }).find({ name: "kube-apiserver", version: "v1.40" });
    expect(found).toMatchObject({ version: "v1.40.2", source: "download" });
    expect(await readFile(found.path, "utf8")).toBe(saying("Kubernetes v1.40.2"));
    expect(await readdir(join(found.path, ".."))).toEqual(["kube-apiserver"]);
  });

  test("what is another version than its name says is not kept", async () => {
    const path = `/k8s/${defaultKubernetesVersion}/bin/${os}/${arch}/kube-scheduler`;
    const old = saying("Kubernetes v1.20.0");
    const url = await site(() => ({ [path]: old, [`${path}.sha256`]: sum("sha256", old) }));
    const asked = programs({ isOffline: false, sites: everySite(url), environment: withoutGo() }).find({ name: "kube-scheduler" });
    await expect(asked).rejects.toThrow(`is v1.20.0, not ${defaultKubernetesVersion}`);
  });

  /** A go tool that fails at once, so that no test builds. */
  function withoutGo() {
    return environment({ PATH: `${bin}:${failingGo}` });
  }
  let failingGo: string;
  beforeEach(async () => {
    failingGo = join(folder, "go-that-fails");
    await mkdir(failingGo);
    await writeFile(join(failingGo, "go"), "#!/bin/sh\necho 'no modules today' >&2; exit 1\n", { mode: 0o755 });
  });
});

describe("build", () => {
  test("the go tool gets the user's proxies, and none of the flags and targets of other work", () => {
    const env = goEnvironment(
      environment({ GOPROXY: "https://proxy.example", GOFLAGS: "-mod=vendor", GOOS: "plan9", TOKEN: "secret", HTTPS_PROXY: "http://p:1" }),
    );
    expect(env).toMatchObject({
      GOPROXY: "https://proxy.example",
      HTTPS_PROXY: "http://p:1",
      GOFLAGS: "",
      CGO_ENABLED: "0",
      PATH: bin,
      HOME: folder,
    });
    expect(Object.keys(env)).not.toContain("GOOS");
    expect(Object.keys(env)).not.toContain("TOKEN");
  });

  test("staging modules are read from go.mod", () => {
    const goMod =
      "module k8s.io/kubernetes\n\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\tother => ../x\n)\nreplace k8s.io/kubectl => ./staging/src/k8s.io/kubectl\n";
    expect(stagingModules(goMod)).toEqual(["k8s.io/api", "k8s.io/kubectl"]);
  });
});
