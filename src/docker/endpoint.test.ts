import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { environmentFrom } from "../base/environment.ts";
import type { SeatrialError } from "../base/errors.ts";
import { formatEndpoint, resolveDockerEndpoint, type DockerEndpoint } from "./endpoint.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "endpoint-"));
});
afterEach(() => {
  rmSync(home, { recursive: true, force: true });
});

const resolveWith = async (variables: Record<string, string>, platform?: NodeJS.Platform) =>
  await resolveDockerEndpoint(environmentFrom({ variables, homeDir: home, tempDir: "/tmp", uid: 1, cwd: "/cwd" }), platform);

const refusalOf = async (variables: Record<string, string>) => {
  const error = await resolveWith(variables).then(
    (endpoint) => expect.unreachable(JSON.stringify(endpoint)),
    (thrown: SeatrialError) => thrown,
  );
  return { code: error.code, message: error.message, all: JSON.stringify([error.message, error.hint, String(error.cause), error.stack]) };
};

const file = (path: string, content = "") => {
  mkdirSync(join(home, path, ".."), { recursive: true });
  writeFileSync(join(home, path), content);
};
const idOf = (context: string) => createHash("sha256").update(context).digest("hex");
const context = (name: string, docker: unknown) =>
  file(`.docker/contexts/meta/${idOf(name)}/meta.json`, JSON.stringify({ Name: name, Metadata: {}, Endpoints: { docker } }));

describe("DOCKER_HOST", () => {
  test.each<[string, Partial<DockerEndpoint>]>([
    ["unix:///run/user/1/docker.sock", { kind: "unix", socketPath: "/run/user/1/docker.sock" }],
    ["  unix:///a.sock\n", { kind: "unix", socketPath: "/a.sock" }],
    ["unix://", { kind: "unix", socketPath: "/var/run/docker.sock" }],
    ["unix://a.sock", { kind: "unix", socketPath: "/cwd/a.sock" }],
    ["tcp://build:1234", { kind: "tcp", host: "build", port: 1234 }],
    ["tcp://build/", { kind: "tcp", host: "build", port: 2375 }],
    ["build:1234", { kind: "tcp", host: "build", port: 1234 }],
    ["tcp://[::1]:1234", { kind: "tcp", host: "::1", port: 1234 }],
    ["ssh://build", { kind: "ssh", host: "build" }],
    ["ssh://me@build:2222/", { kind: "ssh", host: "build", user: "me", port: 2222 }],
    ["SSH://me@Build_1.lab", { kind: "ssh", host: "Build_1.lab", user: "me" }],
    ["ssh://[fe80::1]:22", { kind: "ssh", host: "fe80::1", port: 22 }],
  ])("%s", async (address, endpoint) => {
    expect(await resolveWith({ DOCKER_HOST: address })).toEqual({ name: "default", ...endpoint });
  });

  test.each([
    ["npipe:////./pipe/docker_engine", "named pipes of Windows are not supported"],
    ["http://build:2375", "http:// is not supported"],
    ["fd://", "fd:// is not supported"],
    ["/var/run/docker.sock", "a path needs unix:// before it"],
    ["tcp://", "the host is missing"],
    ["tcp://build:99999", "not a URL that can be read"],
    ["tcp://build:0", "port 0"],
    ["tcp://build:1/path", "a path cannot follow host and port"],
    ["tcp://build:1?x", "nothing may follow"],
    ["tcp://me@build:1", "a user does not belong into a tcp:// address"],
    ["ssh://build/run/docker.sock", "a path cannot follow the host"],
    ["ssh://build#x", "nothing may follow"],
    ["ssh://-oProxyCommand=id", "a host cannot begin with -"],
    ["ssh://-v@build", "a user cannot begin with -"],
    ["ssh://%2Dv@build", "a user cannot begin with -"],
    ["ssh://%2doProxyCommand=id", "characters that no host has"],
    ["ssh://$(id)", "characters that no host has"],
    ["ssh://a;b@build", "characters that no user has"],
    ["ssh://a%0Ab@build", "characters that no user has"],
    ["ssh://%zz@build", "characters that no user has"],
  ])("%s is refused", async (address, message) => {
    const refusal = await refusalOf({ DOCKER_HOST: address });
    expect(refusal.code).toBe("invalid");
    expect(refusal.message).toContain("DOCKER_HOST is ");
    expect(refusal.message).toContain(message);
  });

  test.each([
    "ssh://me:hunter2@build",
    "ssh://me:hunter2@build:port",
    "ssh://me:a@hunter2@build",
    "ssh://me:a/hunter2@build",
    "ssh://:hunter2@build",
    "tcp://me:hunter2@build:1",
    "http://me:hunter2@build",
    "me:hunter2@build:1",
  ])("%s: its password is not repeated", async (address) => {
    expect((await refusalOf({ DOCKER_HOST: address })).all).not.toContain("hunter2");
  });

  test("wins over DOCKER_CONTEXT, and is not wanted when it is empty", async () => {
    context("lab", { Host: "ssh://lab" });
    expect(await resolveWith({ DOCKER_HOST: "ssh://other", DOCKER_CONTEXT: "lab" })).toMatchObject({ host: "other" });
    expect(await resolveWith({ DOCKER_HOST: "", DOCKER_CONTEXT: "lab" })).toMatchObject({ host: "lab" });
  });
});

describe("TLS by variables", () => {
  const address = { DOCKER_HOST: "tcp://build" };
  const paths = (folder: string) => ({ ca: join(folder, "ca.pem"), cert: join(folder, "cert.pem"), key: join(folder, "key.pem") });

  test("DOCKER_TLS_VERIFY takes the files of DOCKER_CERT_PATH and the port for TLS", async () => {
    for (const name of ["ca", "cert", "key"]) file(`certs/${name}.pem`);
    const tls = { ...paths(join(home, "certs")), skipVerify: false };
    const variables = { ...address, DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: join(home, "certs") };
    expect(await resolveWith(variables)).toEqual({ kind: "tcp", name: "default", host: "build", port: 2376, tls });
  });

  test("DOCKER_TLS alone does not check, and takes what ~/.docker has", async () => {
    expect(await resolveWith({ ...address, DOCKER_TLS: "1" })).toMatchObject({ port: 2376, tls: { skipVerify: true, cert: undefined } });
    file(".docker/cert.pem");
    file(".docker/key.pem");
    expect(await resolveWith({ ...address, DOCKER_TLS: "1" })).toMatchObject({ tls: { cert: join(home, ".docker/cert.pem") } });
  });

  test("neither of them, no TLS, as with the docker CLI", async () => {
    expect(await resolveWith({ ...address, DOCKER_CERT_PATH: "/certs" })).toEqual({
      kind: "tcp",
      name: "default",
      host: "build",
      port: 2375,
    });
  });

  test.each([
    [[], { DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: "certs" }, "ca.pem and cert.pem and key.pem are not in /cwd/certs"],
    [[".docker/cert.pem"], { DOCKER_TLS_VERIFY: "1" }, "ca.pem and key.pem are not in "],
    [[".docker/key.pem"], { DOCKER_TLS: "1" }, "DOCKER_TLS is set, but cert.pem is not in "],
  ])("%j is not enough for %j", async (files, variables, message) => {
    for (const name of files) file(name);
    const refusal = await refusalOf({ ...address, ...(variables as Record<string, string>) });
    expect(refusal).toMatchObject({ code: "not-found", message: expect.stringContaining(message) });
  });
});

describe("contexts", () => {
  test("DOCKER_CONTEXT wins over the current one; `default` is the usual socket", async () => {
    context("lab", { Host: "ssh://me@lab" });
    context("other", { Host: "unix:///other.sock" });
    file(".docker/config.json", JSON.stringify({ currentContext: "lab" }));
    expect(await resolveWith({})).toEqual({ kind: "ssh", name: "lab", host: "lab", user: "me" });
    expect(await resolveWith({ DOCKER_CONTEXT: "other" })).toEqual({ kind: "unix", name: "other", socketPath: "/other.sock" });
    expect(await resolveWith({ DOCKER_CONTEXT: "default" })).toEqual({ kind: "unix", name: "default", socketPath: "/var/run/docker.sock" });
  });

  test("DOCKER_CONFIG moves the files", async () => {
    context("lab", { Host: "ssh://lab" });
    expect(await resolveWith({ DOCKER_CONFIG: "/nowhere" })).toMatchObject({ name: "default" });
    expect(await resolveWith({ DOCKER_CONFIG: join(home, ".docker"), DOCKER_CONTEXT: "lab" })).toMatchObject({ host: "lab" });
  });

  test("TLS files of a context; the variables do not count for it", async () => {
    context("tls", { Host: "tcp://build:1", SkipTLSVerify: false });
    expect(await resolveWith({ DOCKER_CONTEXT: "tls", DOCKER_TLS_VERIFY: "1" })).not.toHaveProperty("tls");
    const folder = `.docker/contexts/tls/${idOf("tls")}/docker`;
    for (const name of ["ca", "cert", "key"]) file(`${folder}/${name}.pem`);
    expect(await resolveWith({ DOCKER_CONTEXT: "tls" })).toMatchObject({
      port: 1,
      tls: { key: join(home, folder, "key.pem"), skipVerify: false },
    });
    rmSync(join(home, folder, "key.pem"));
    expect((await refusalOf({ DOCKER_CONTEXT: "tls" })).message).toContain('Docker context "tls" has TLS, but key.pem is not in ');
  });

  test("an unknown one: those that exist are listed", async () => {
    context("b", { Host: "ssh://b" });
    context("a", { Host: "ssh://a" });
    expect(await refusalOf({ DOCKER_CONTEXT: "c" })).toMatchObject({
      code: "not-found",
      message: 'there is no Docker context "c"; those that exist: default, a, b',
    });
  });

  test("a context that is no use", async () => {
    context("kubernetes", undefined);
    expect((await refusalOf({ DOCKER_CONTEXT: "kubernetes" })).message).toContain("has no docker endpoint");
    context("bad", { Host: "ssh://me:hunter2@lab" });
    const refusal = await refusalOf({ DOCKER_CONTEXT: "bad" });
    expect(refusal.message).toContain('Docker context "bad" is "ssh://me:***@lab": a password');
    expect(refusal.all).not.toContain("hunter2");
  });

  test("a broken config.json is named and not quoted", async () => {
    file(".docker/config.json", '{"auths": {"r": {"auth": "aHVudGVyMg==" ');
    const refusal = await refusalOf({});
    expect(refusal.message).toBe(`${join(home, ".docker/config.json")} is not valid JSON`);
    expect(refusal.all).not.toContain("aHVud");
  });
});

test("macOS: the socket of Docker Desktop where the usual one is missing", async () => {
  file(".docker/run/docker.sock");
  const usual = "/var/run/docker.sock";
  expect(await resolveWith({}, "linux")).toMatchObject({ socketPath: usual });
  expect(await resolveWith({}, "darwin")).toMatchObject({ socketPath: existsSync(usual) ? usual : join(home, ".docker/run/docker.sock") });
});

test.each(["unix:///a.sock", "tcp://build:1", "tcp://[::1]:1", "ssh://build", "ssh://me@build:22"])(
  "%s is written as it was read",
  async (address) => {
    expect(formatEndpoint(await resolveWith({ DOCKER_HOST: address }))).toBe(address);
  },
);
