import { once } from "node:events";
import { type ClientRequest, createServer, type IncomingMessage, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { getRequestListener } from "@hono/node-server";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { waitFor } from "../base/wait.ts";
import { processesMarked } from "../process/marked.ts";
import { run } from "../process/run.ts";
import { type Mirror } from "./mirror.ts";
import { Mirrors } from "./mirrors.ts";
import { scratchFolder, testEnvironment, testRepository } from "./testdata/repository.ts";
import { checkWants, UploadPack } from "./upload-pack.ts";

interface Bench {
  url: string;
  mirror: Mirror;
  uploads: UploadPack;
  /** The commit of the attempt, its parent, and one that is not in its history. */
  commit: string;
  parent: string;
  other: string;
  folder: string;
  /** A git of the runner: its own repository, with settings. */
  git(args: readonly string[], settings?: Record<string, string>): Promise<string>;
}

/** A mirror behind a real HTTP server that lets one commit be fetched. */
async function bench(more: { pathVariable?: string; bigFile?: number } = {}): Promise<Bench> {
  const folder = await scratchFolder();
  const upstream = await testRepository();
  const parent = await upstream.commit({ "a.txt": "one\n" });
  await upstream.git("checkout", "-q", "-b", "secret");
  const other = await upstream.commit({ "s.txt": "secret\n" });
  await upstream.git("checkout", "-q", "main");
  const noise = more.bigFile ? Array.from({ length: more.bigFile }, () => Math.random().toString(36)).join("\n") : "";
  const commit = await upstream.commit({ "a.txt": "two\n", ...(noise ? { noise } : {}) });
  const mirrors = new Mirrors({ environment: testEnvironment, folder: join(folder.path, "mirrors"), now: () => new Date() });
  const mirror = mirrors.of("lab", "1");
  await mirror.fetch({ url: upstream.folder }, { commits: [commit, other] });
  const variables = { ...testEnvironment.variables, ...(more.pathVariable ? { TMPDIR: more.pathVariable } : {}) };
  const uploads = new UploadPack({ ...testEnvironment, variables });
  const served = { folder: mirror.folder, commits: [commit] };
  const listener = getRequestListener(async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/git/info/refs") return await uploads.advertise(request, served);
    if (pathname === "/git/git-upload-pack" && request.method === "POST") return await uploads.serve(request, served);
    return new Response("", { status: 404 });
  });
  const server = createServer((incoming, outgoing) => void listener(incoming, outgoing));
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const runner = join(folder.path, "runner");
  await run("git", ["init", "-q", runner], { env: { PATH: process.env["PATH"], HOME: folder.path } });
  onTestFinished(async () => {
    await uploads.close();
    server.closeAllConnections();
    server.close();
    await mirrors.close();
    await upstream[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/git`;
  const git = async (args: readonly string[], settings: Record<string, string> = {}) => {
    const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const env = { PATH: process.env["PATH"], HOME: folder.path, GIT_TERMINAL_PROMPT: "0", LC_ALL: "C" };
    return (await run("git", [...flags, ...args], { cwd: runner, env, timeoutMs: 30_000 })).stdout;
  };
  return { url, mirror, uploads, commit, parent, other, folder: folder.path, git };
}

describe.each([
  ["2", {}],
  ["2 compressed", { "http.postBuffer": "65536" }],
  ["0", { "protocol.version": "0" }],
] as [string, Record<string, string>][])("version %s", (_, settings) => {
  test("the commit of the attempt is fetched with depth 1, and nothing else", async () => {
    const { url, git, commit, parent } = await bench();
    await git(["fetch", "-q", "--depth", "1", url, commit], settings);
    await git(["checkout", "-q", "FETCH_HEAD"]);
    expect(await git(["rev-parse", "HEAD"])).toBe(commit);
    expect(await git(["log", "--format=%H"])).toBe(commit);
    await expect(git(["cat-file", "-e", parent])).rejects.toThrow(/ended with exit code/);
  });

  test("its history is fetched where it is wanted", async () => {
    const { url, git, commit, parent } = await bench();
    await git(["fetch", "-q", "--depth", "1", url, commit], settings);
    await git(["fetch", "-q", "--unshallow", url, commit], settings);
    expect((await git(["log", "--format=%H", commit])).split("\n")).toEqual([commit, parent]);
  });

  test("no ref of the mirror is shown, and no other commit is given", async () => {
    const { url, git, commit, other, parent } = await bench();
    expect(await git(["ls-remote", url], settings)).toBe(settings["protocol.version"] === "0" ? `${commit}\trefs/attempt/0` : "");
    for (const id of [other, parent])
      await expect(git(["fetch", "--depth", "1", url, id], settings)).rejects.toThrow(/403|not our ref|unadvertised/);
    await expect(git(["cat-file", "-e", other])).rejects.toThrow(/ended with exit code/);
  });
});

test("nothing can be pushed", async () => {
  const { url, git, commit, mirror } = await bench();
  await git(["fetch", "-q", url, commit]);
  await expect(git(["push", url, `${commit}:refs/heads/new`])).rejects.toThrow(/403/);
  expect(await mirror.hasCommit(commit)).toBe(true);
});

describe("a request that is none of git's", () => {
  test.each([
    ["is not lines", Buffer.from("hello"), {}, 400],
    ["ends in the middle of a line", Buffer.from("0032want "), {}, 400],
    ["has a length of 3", Buffer.from("0003"), {}, 400],
    ["is compressed by something else", Buffer.from("0000"), { "content-encoding": "br" }, 400],
    ["is a bomb", gzipSync(Buffer.alloc(64 * 1024 * 1024)), { "content-encoding": "gzip" }, 400],
    ["is endless", Buffer.alloc(5 * 1024 * 1024, "0000"), {}, 400],
    ["wants by name", Buffer.from("001cwant-ref refs/heads/main\n"), {}, 403],
    ["is another command", Buffer.from("0017command=object-info"), {}, 403],
  ])("that %s is refused", async (_, body, headers, status) => {
    const { url } = await bench();
    const answer = await fetch(`${url}/git-upload-pack`, { method: "POST", body, headers: headers as Record<string, string> });
    expect({ status: answer.status, text: await answer.text() }).toMatchObject({ status });
  });

  test("never makes the reader throw anything but a refusal", () => {
    const line = fc
      .string({ unit: "binary-ascii", maxLength: 30 })
      .map((text) => `${(text.length + 4).toString(16).padStart(4, "0")}${text}`);
    const body = fc.array(fc.oneof(line, fc.constantFrom("0000", "0001", "0002", "zzzz", "0003", "ffff")), { maxLength: 20 });
    fc.assert(
      fc.property(body, (parts) => {
        try {
          checkWants(Buffer.from(parts.join(""), "latin1"), []);
        } catch (error) {
          expect(error).toMatchObject({ name: "SeatrialError", code: expect.stringMatching(/^(invalid|refused)$/) });
        }
      }),
    );
  });
});

/** A client that has got the beginning of a large pack, and reads no more of it. */
async function stalledClient({ url, commit }: Bench): Promise<ClientRequest> {
  const lines = ["command=fetch", "0001", `want ${commit}\n`, "done\n", "0000"];
  const body = lines.map((text) => (/^000\d$/.test(text) ? text : `${(text.length + 4).toString(16).padStart(4, "0")}${text}`)).join("");
  const request = httpRequest(`${url}/git-upload-pack`, { method: "POST", headers: { "git-protocol": "version=2" } });
  request.on("error", () => {}); // It is cut.
  request.end(body);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  response.on("error", () => {});
  await once(response, "readable");
  return request;
}

test("a client that goes away ends its git", async () => {
  const mark = join("/nowhere", Math.random().toString(36).slice(2));
  const given = await bench({ pathVariable: mark, bigFile: 800_000 });
  const request = await stalledClient(given);
  expect(processesMarked("TMPDIR", mark)).not.toEqual([]);
  request.destroy();
  await waitFor("git to end", () => (processesMarked("TMPDIR", mark).length === 0 ? true : undefined), { timeoutMs: 10_000, pollMs: 20 });
});

test("closing ends the git of a client that does not read", async () => {
  const mark = join("/nowhere", Math.random().toString(36).slice(2));
  const given = await bench({ pathVariable: mark, bigFile: 800_000 });
  await stalledClient(given);
  expect(processesMarked("TMPDIR", mark)).not.toEqual([]);
  await given.uploads.close();
  await waitFor("git to end", () => (processesMarked("TMPDIR", mark).length === 0 ? true : undefined), { timeoutMs: 10_000, pollMs: 20 });
  expect((await fetch(`${given.url}/git-upload-pack`, { method: "POST", body: "0000" })).status).toBe(503);
});

test("more than run at once wait for their turn", async () => {
  const { url, commit, folder } = await bench();
  const clones = Array.from({ length: 20 }, async (_, index) => {
    const into = join(folder, `clone-${index}`);
    const env = { PATH: process.env["PATH"], HOME: folder };
    await run("git", ["init", "-q", into], { env });
    await run("git", ["fetch", "-q", "--depth", "1", url, commit], { cwd: into, env, timeoutMs: 30_000 });
    return (await run("git", ["rev-parse", "FETCH_HEAD"], { cwd: into, env })).stdout;
  });
  expect(new Set(await Promise.all(clones))).toEqual(new Set([commit]));
});
