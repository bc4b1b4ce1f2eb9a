import { getRequestListener } from "@hono/node-server";
import { randomBytes } from "node:crypto";
import { readdir, rename, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { pause } from "../base/wait.ts";
import { type Mirror } from "./mirror.ts";
import { Mirrors } from "./mirrors.ts";
import { bench, missing, packsOf } from "./testdata/mirror-bench.ts";
import { type TestRepository, testEnvironment, testRepository } from "./testdata/repository.ts";
import { treesOf } from "./trees.ts";
import { UploadPack } from "./upload-pack.ts";

describe("a mirror", () => {
  test("fetches commits by their id, also those that no branch names any more", async () => {
    const { upstream, mirror, first } = await bench();
    const lost = await upstream.commit({ "a.txt": "lost\n" });
    await upstream.git("reset", "-q", "--hard", first);
    expect(await mirror.hasCommit(lost)).toBe(false);
    await mirror.fetch({ url: upstream.folder }, { commits: [lost] });
    expect(await mirror.hasCommit(lost)).toBe(true);
    expect(await mirror.isAncestor(first, lost)).toBe(true);
    expect(await mirror.isAncestor(lost, first)).toBe(false);
    expect(await mirror.readFile(lost, "a.txt")).toBe("lost\n");
  });

  test("fetches a commit without its history, where that is not needed", async () => {
    const { upstream, mirror, first } = await bench();
    const second = await upstream.commit({ "a.txt": "changed\n" });
    await mirror.fetch({ url: upstream.folder }, { commits: [second], isShallow: true });
    expect(await mirror.readFile(second, "a.txt")).toBe("changed\n");
    expect(await mirror.hasCommit(first)).toBe(false);
  });

  test("does not ask for what it has", async () => {
    const { upstream, mirror, first } = await bench();
    await mirror.fetch({ url: upstream.folder }, { commits: [first] });
    await rename(upstream.folder, `${upstream.folder}-away`);
    try {
      await mirror.fetch({ url: upstream.folder }, { commits: [first, first] });
    } finally {
      await rename(`${upstream.folder}-away`, upstream.folder);
    }
  });

  test("many who want the same at once share one fetch; one bad wish spoils no other", async () => {
    const { upstream, mirror, first } = await bench();
    const second = await upstream.commit({ "a.txt": "two\n" });
    const source = { url: upstream.folder };
    const results = await Promise.allSettled([
      ...Array.from({ length: 20 }, async () => await mirror.fetch(source, { commits: [second] })),
      mirror.fetch(source, { commits: [missing] }),
      mirror.fetch(source, { commits: [first] }),
    ]);
    expect(results.map(({ status }) => status)).toEqual([...Array<string>(20).fill("fulfilled"), "rejected", "fulfilled"]);
    // The first fetch brought the others' commits: one pack came.
    expect((await packsOf(mirror)).length).toBe(1);
  });

  test("a caller that gives up stops waiting; the others get what they asked for", async () => {
    const { upstream, mirror, first } = await bench();
    const abort = new AbortController();
    const impatient = mirror.fetch({ url: upstream.folder }, { commits: [first] }, abort.signal);
    const patient = mirror.fetch({ url: upstream.folder }, { commits: [first] });
    abort.abort(new Error("enough"));
    await expect(impatient).rejects.toThrow("enough");
    await patient;
    expect(await mirror.hasCommit(first)).toBe(true);
  });

  test("two mirrors of one folder, as of two processes, do not hinder each other", async () => {
    const { upstream, mirror, mirrors, first, folder } = await bench();
    const other = new Mirrors({ environment: testEnvironment, folder, now: () => new Date("2026-03-01T00:00:00Z") }).of("lab", "1");
    const both = [mirror, other].map(async (each) => await each.fetch({ url: upstream.folder }, { commits: [first] }));
    await Promise.all(both);
    expect(await mirror.hasCommit(first)).toBe(true);
    expect(mirrors.of("lab", "1")).toBe(mirror);
  });

  test.each([
    ["a commit that is not there", "not-found", (upstream: string) => ({ url: upstream }), { commits: [missing] }],
    ["a repository that is not there", "not-found", () => ({ url: "/nowhere/at/all" }), { commits: [missing] }],
    ["a forge that is down", "unreachable", () => ({ url: "http://127.0.0.1:1/a.git" }), { commits: [missing] }],
  ] as const)("%s is %s", async (_, code, source, wanted) => {
    const { upstream, mirror } = await bench();
    await expect(mirror.fetch(source(upstream.folder), wanted)).rejects.toMatchObject({ code, retryable: code === "unreachable" });
  });

  test("refuses a pack with a broken object", async () => {
    const { upstream, mirror } = await bench();
    // A tree with an entry named `.git` is how a checkout would be made to write where hooks are.
    const blob = await upstream.git("rev-parse", "HEAD:a.txt");
    const entry = Buffer.concat([Buffer.from("100644 .git\0"), Buffer.from(blob, "hex")]);
    await writeFile(join(upstream.folder, ".git", "entry"), entry);
    const tree = await upstream.git("hash-object", "-t", "tree", "-w", "--literally", join(upstream.folder, ".git", "entry"));
    const commit = await upstream.git("commit-tree", tree, "-m", "evil");
    await expect(mirror.fetch({ url: upstream.folder }, { commits: [commit] })).rejects.toThrow(/hasDotgit|contains '\.git'/);
    expect(await mirror.hasCommit(commit)).toBe(false);
  });

  test("neither the token nor anything like it is in a message, an argument or a URL", async () => {
    const seen: string[] = [];
    const server = createServer((request, response) => {
      seen.push(`${request.url} ${request.headers.authorization}`);
      response.writeHead(401, { "www-authenticate": "Basic" }).end();
    });
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const { mirror } = await bench();
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/a/b.git`;
    const source = { url, credentials: { username: "bot", password: "canary" } };
    const error = await mirror.fetch(source, { commits: [missing] }).catch((thrown: unknown) => thrown as Error);
    expect(error).toMatchObject({ code: "refused" });
    const basic = Buffer.from("bot:canary").toString("base64");
    expect(seen[0]).toBe(`/a/b.git/info/refs?service=git-upload-pack Basic ${basic}`);
    for (let at: unknown = error; at instanceof Error; at = at.cause)
      expect(`${at.message} ${at.stack}`).not.toMatch(new RegExp(`canary|${basic}`));
  });

  test.each([["../x"], [""], ["a/b"], [".hidden"], ["-option"]])("the name %j is refused", async (name) => {
    const { mirrors } = await bench();
    expect(() => mirrors.of("lab", name)).toThrow(expect.objectContaining({ code: "invalid" }));
    expect(() => mirrors.of(name, "1")).toThrow(expect.objectContaining({ code: "invalid" }));
  });

  test("a fetch that brings too much is ended while it does, and leaves nothing", async () => {
    const { upstream, mirror, first } = await bench();
    const noise = randomBytes(24 * 1024 ** 2).toString("base64");
    const large = await upstream.commit({ noise });
    const { url, sentBytes } = await servedSlowly(upstream, large);
    await mirror.fetch({ url: upstream.folder }, { commits: [first] });
    const before = await filesOf(mirror);
    const tooLarge = mirror.fetch({ url }, { commits: [large], isShallow: true, maxBytes: 2 * 1024 ** 2 });
    await expect(tooLarge).rejects.toMatchObject({
      code: "invalid",
      retryable: false,
      message: `cannot fetch from ${url}: it has more than 2 MiB, which is all that one fetch may bring`,
    });
    expect(sentBytes()).toBeLessThan(16 * 1024 ** 2);
    expect(await filesOf(mirror)).toEqual(before);
    // It is as if nothing had been.
    await mirror.fetch({ url: upstream.folder }, { commits: [large], isShallow: true });
    expect(await mirror.hasCommit(large)).toBe(true);
  });

  test("one that was over before anybody looked is refused all the same", async () => {
    const { upstream, mirror } = await bench();
    const large = await upstream.commit({ noise: randomBytes(1024 ** 2).toString("base64") });
    const tooLarge = mirror.fetch({ url: upstream.folder }, { commits: [large], maxBytes: 1024 ** 2 });
    await expect(tooLarge).rejects.toThrow("more than 1 MiB");
    expect(await mirror.hasCommit(large)).toBe(false);
  });

  test("close ends a fetch that hangs", async () => {
    const server = createServer(() => {}); // It never answers.
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const { mirror, mirrors } = await bench();
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/a.git`;
    const connected = new Promise((resolve) => server.once("request", resolve));
    const fetching = mirror.fetch({ url }, { commits: [missing] });
    fetching.catch(() => {}); // Awaited below.
    await connected;
    await mirrors.close();
    await expect(fetching).rejects.toMatchObject({ code: "aborted" });
  });
});

describe("files of a commit", () => {
  test("are read as they are, and listed by name", async () => {
    const { upstream, mirror } = await bench();
    const text = "no line break at the end, ünïcode, \ttabs\n\n";
    await upstream.write({ ".seatrial/b.yml": text, ".seatrial/a b.yml": "x", ".seatrial/sub/c.yml": "y", ".seatrial/é.yml": "" });
    await symlink("b.yml", join(upstream.folder, ".seatrial", "link.yml"));
    const commit = await upstream.commit({});
    await mirror.fetch({ url: upstream.folder }, { commits: [commit] });
    expect(await mirror.readFile(commit, ".seatrial/b.yml")).toBe(text);
    expect(await mirror.readFile(commit, ".seatrial/a b.yml")).toBe("x");
    expect(await mirror.readFile(commit, ".seatrial/é.yml")).toBe("");
    expect(await mirror.readFile(commit, ".seatrial/none.yml")).toBeUndefined();
    expect((await mirror.listFiles(commit, ".seatrial")).map(({ path, bytes }) => `${path} ${bytes}`)).toEqual([
      ".seatrial/a b.yml 1",
      `.seatrial/b.yml ${Buffer.byteLength(text)}`,
      ".seatrial/é.yml 0",
    ]);
    expect(await mirror.listFiles(commit, "nothing")).toEqual([]);
    await expect(mirror.readFile(commit, ".seatrial/link.yml")).rejects.toThrow("not a regular file");
    await expect(mirror.readFile(commit, ".seatrial")).rejects.toThrow("not a regular file");
    await expect(mirror.readFile(commit, ".seatrial/b.yml", 10)).rejects.toThrow("10 are allowed");
  });

  test("that differ between two commits", async () => {
    const { upstream, mirror, first } = await bench();
    await upstream.git("mv", "a.txt", "c.txt");
    const second = await upstream.commit({ "docs/b.txt": "changed\n" });
    await mirror.fetch({ url: upstream.folder }, { commits: [second] });
    expect(await mirror.changedPaths(first, second)).toEqual({ paths: ["a.txt", "c.txt", "docs/b.txt"], isComplete: true });
    expect(await mirror.changedPaths(second, second)).toEqual({ paths: [], isComplete: true });
  });
});

describe("the merge of base and heads", () => {
  /** main, and two branches from its first commit that change other files. */
  async function branches(given: Awaited<ReturnType<typeof bench>>) {
    const { upstream, mirror, first } = given;
    const base = await upstream.commit({ "a.txt": "base\n" });
    await upstream.git("checkout", "-q", "-b", "one", first);
    const one = await upstream.commit({ "one.txt": "1\n" });
    await upstream.git("checkout", "-q", "-b", "two", first);
    const two = await upstream.commit({ "two.txt": "2\n" });
    await upstream.git("checkout", "-q", "-b", "clash", first);
    const clash = await upstream.commit({ "a.txt": "clash\n", "docs/b.txt": "fine\n" });
    await upstream.git("checkout", "-q", "--orphan", "alone");
    const alone = await upstream.commit({ "z.txt": "z\n" });
    await mirror.fetch({ url: upstream.folder }, { commits: [base, one, two, clash, alone] });
    return { base, one, two, clash, alone };
  }

  test("is one commit with all of them as parents", async () => {
    const given = await bench();
    const { base, one, two } = await branches(given);
    const merge = await given.mirror.mergeOf(base, [one, two]);
    expect(await show(given.mirror, merge)).toEqual([
      `${base} ${one} ${two}`,
      "Seatrial <merge@seatrial.invalid> 1700000240 +0000",
      "Seatrial <merge@seatrial.invalid> 1700000240 +0000",
      `Merge ${one}, ${two} into ${base}`,
    ]);
    for (const [path, text] of Object.entries({ "a.txt": "base\n", "one.txt": "1\n", "two.txt": "2\n" })) {
      expect(await given.mirror.readFile(merge, path)).toBe(text);
    }
  });

  test("has the same id wherever it is made, whatever is in the mirror beside it", async () => {
    const [here, there] = [await bench(), await bench()];
    const { base, one, two } = await branches(here);
    expect(await branches(there)).toMatchObject({ base, one, two });
    await there.upstream.git("checkout", "-q", "main");
    const more = await there.upstream.commit({ ".gitattributes": "* merge=union\n", "more.txt": "more\n" });
    await there.mirror.fetch({ url: there.upstream.folder }, { commits: [more] });
    there.setNow("2027-01-01T00:00:00Z");
    const merge = await here.mirror.mergeOf(base, [one, two]);
    expect(await there.mirror.mergeOf(base, [one, two])).toBe(merge);
    expect(await here.mirror.mergeOf(base, [one, two])).toBe(merge);
    expect(await here.mirror.mergeOf(base, [two, one])).not.toBe(merge);
    // Known once and for all: another version of git, or a machine with other settings, must come to it too.
    expect(merge).toBe("78fcc32db84e07b5faf0695ce131026f0b55b9c8");
  });

  test("of nothing is the base", async () => {
    const given = await bench();
    const { base } = await branches(given);
    expect(await given.mirror.mergeOf(base, [])).toBe(base);
  });

  test("with what is in it already is a commit all the same", async () => {
    const given = await bench();
    const { base } = await branches(given);
    const merge = await given.mirror.mergeOf(base, [given.first]);
    const [merged, before] = await treesOf(testEnvironment, join(given.folder, "lab", "1.git"), [merge, base]);
    expect(merged).toMatch(/^[0-9a-f]{40}$/);
    expect(merged).toBe(before);
  });

  test("that conflicts names the files", async () => {
    const given = await bench();
    const { base, one, clash, alone } = await branches(given);
    await expect(given.mirror.mergeOf(base, [one, clash])).rejects.toMatchObject({
      name: "MergeConflictError",
      code: "conflict",
      why: "conflicts in a.txt",
      mayPass: true,
    });
    const unrelated = { name: "MergeConflictError", why: "their histories have nothing in common" };
    await expect(given.mirror.mergeOf(base, [alone])).rejects.toMatchObject(unrelated);
    await expect(given.mirror.mergeOf(base, [missing])).rejects.toMatchObject({ code: "not-found" });
  });
});

/** The upstream by HTTP, of which a megabyte comes in 100 ms. */
async function servedSlowly(upstream: TestRepository, commit: string): Promise<{ url: string; sentBytes: () => number }> {
  const uploads = new UploadPack(testEnvironment);
  const served = { folder: join(upstream.folder, ".git"), commits: [commit] };
  let bytes = 0;
  const listener = getRequestListener(async (request) => {
    if (request.method === "GET") return await uploads.advertise(request, served);
    const { body, status, headers } = await uploads.serve(request, served);
    const slowly = new TransformStream<Uint8Array, Uint8Array>({
      transform: async (chunk, controller) => {
        bytes += chunk.length;
        await pause(chunk.length / 10_000);
        controller.enqueue(chunk);
      },
    });
    return new Response(body!.pipeThrough(slowly), { status, headers });
  });
  const server = createServer((request, response) => void listener(request, response));
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  onTestFinished(async () => {
    await uploads.close();
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/a.git`, sentBytes: () => bytes };
}

async function filesOf({ folder }: Mirror): Promise<string[]> {
  return (await readdir(folder, { recursive: true })).toSorted();
}

async function show(mirror: Mirror, commit: string): Promise<string[]> {
  await using any = await testRepository();
  const format = "%P%n%an <%ae> %ad%n%cn <%ce> %cd%n%s";
  return (await any.git("--git-dir", mirror.folder, "show", "-s", "--date=raw", `--format=${format}`, commit)).split("\n");
}
