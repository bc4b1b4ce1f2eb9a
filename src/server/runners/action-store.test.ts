import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { extract } from "tar-stream";
import { describe, expect, onTestFinished, test } from "vitest";
import { environmentFrom } from "../../base/environment.ts";
import { SeatrialError } from "../../base/errors.ts";
import { treeBomb } from "../../git/testdata/tree-bomb.ts";
import { parseUses, type RepositoryUses } from "../../workflows/actions/uses.ts";
import { ActionStore, actionsSchema, placesAt } from "./action-store.ts";

const uses = (text: string) => parseUses(text) as RepositoryUses;
const nowhere = async () => await Promise.resolve([]);

/** A place with mirrors of actions. */
function open(mirrors: (root: string) => { prefix: string; url: string }[] = (root) => [{ prefix: "", url: `${root}/mirror/` }]) {
  const root = mkdtempSync(join(tmpdir(), "actions-"));
  const environment = environmentFrom({
    variables: { PATH: process.env["PATH"], SEATRIAL_HOME: join(root, "data") },
    homeDir: root,
    tempDir: join(root, "temp"),
    uid: 0,
    cwd: root,
  });
  const clock = { now: Date.parse("2026-01-01") };
  const store = new ActionStore({ environment, mirrors: mirrors(root), now: () => new Date(clock.now) });
  onTestFinished(async () => {
    await store[Symbol.asyncDispose]();
    rmSync(root, { recursive: true });
  });
  const git = (path: string, ...args: string[]) =>
    execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...args], { cwd: join(root, path), encoding: "utf8" }).trim();
  /** Commits the text as the file `action.yml`, and puts the tag there. */
  const commit = (path: string, text: string, tag: string) => {
    mkdirSync(join(root, path), { recursive: true });
    git(path, "init", "-q", "-b", "main");
    writeFileSync(join(root, path, "action.yml"), text);
    git(path, "add", "-A");
    git(path, "commit", "-q", "-m", text);
    git(path, "tag", "-f", "-a", "-m", "a tag of its own", tag);
    return git(path, "rev-parse", "HEAD");
  };
  return { root, store, git, commit, clock };
}

test("a tag, its commit, and the archive of its tree", async () => {
  const { store, commit } = open();
  const one = commit("mirror/o/r", "one", "v1");
  const found = await store.find(uses("o/r@v1"), new Map(), nowhere);
  expect(found).toMatchObject({ commit: one, notice: undefined });
  expect(await store.readFile(found, "action.yml")).toBe("one");
  expect(await store.readFile(found, "none")).toBeUndefined();
  const { body, bytes } = await store.archive(found);
  const chunks: Buffer[] = [];
  for await (const chunk of Readable.fromWeb(body as never)) chunks.push(chunk as Buffer);
  expect(Buffer.concat(chunks)).toHaveLength(bytes);
  const names: string[] = [];
  const tar = extract().on("entry", ({ name }, stream, next) => {
    names.push(name);
    stream.resume().on("end", next);
  });
  await new Promise<void>((done) => tar.on("finish", () => done()).end(Buffer.concat(chunks)));
  expect(names).toEqual(["action.yml"]);
});

test("a tag and a branch of one name: the tag, unless the whole name says which", async () => {
  const { store, commit, git } = open();
  const tag = commit("mirror/o/r", "one", "v1");
  const branch = commit("mirror/o/r", "two", "v2");
  git("mirror/o/r", "branch", "v1");
  for (const [ref, id] of [
    ["v1", tag],
    ["refs/tags/v1", tag],
    ["refs/heads/v1", branch],
  ] as const)
    expect(await store.find(uses(`o/r@${ref}`), new Map(), nowhere), ref).toMatchObject({ commit: id });
});

test("a tag that moved behind the lock: what is locked is used, and that it moved is said", async () => {
  const { store, commit, root, clock } = open();
  const one = commit("mirror/o/r", "one", "v1");
  const lock = new Map([["o/r@v1", one]]);
  expect(await store.find(uses("o/r@v1"), lock, nowhere)).toMatchObject({ commit: one, notice: undefined });
  const two = commit("mirror/o/r", "two", "v1");
  clock.now += 3_600_000;
  const found = await store.find(uses("o/r/path@v1"), lock, nowhere);
  expect(found).toMatchObject({ commit: one });
  expect(found.notice).toBe(
    `action o/r@v1: v1 is now commit ${two} in ${root}/mirror/o/r; commit ${one} of .seatrial/actions.lock is used`,
  );
  expect(await store.readFile(found, "action.yml")).toBe("one");
  // Without a lock it is whatever the tag is.
  expect(await store.find(uses("o/r@v1"), new Map(), nowhere)).toMatchObject({ commit: two, notice: undefined });
});

test("a commit that is locked and gone: both commits are named, and where they are not", async () => {
  const { store, commit, root } = open();
  const now = commit("mirror/o/r", "one", "v1");
  const gone = "1".repeat(40);
  await expect(store.find(uses("o/r@v1"), new Map([["o/r@v1", gone]]), nowhere)).rejects.toMatchObject({
    code: "not-found",
    message: `action o/r@v1: .seatrial/actions.lock has commit ${gone}, which is not in ${root}/mirror/o/r any more, and v1 is commit ${now} there`,
    hint: "when the new one is right: seatrial actions lock --update",
  });
});

test("mirrors by prefix, in their order, then what else there is; a missing one is looked for in all", async () => {
  const { store, commit, root } = open((at) => [
    { prefix: "o/", url: `${at}/first/` },
    { prefix: "", url: `${at}/second/` },
  ]);
  const first = commit("first/r", "first", "v1");
  const second = commit("second/o/r", "second", "v2");
  const third = commit("third", "third", "v3");
  const more = async () => await Promise.resolve([{ name: "the forge", source: { url: join(root, "third") } }]);
  expect((await store.find(uses("o/r@v1"), new Map(), more)).commit).toBe(first);
  expect((await store.find(uses("o/r@v2"), new Map(), more)).commit).toBe(second);
  expect((await store.find(uses("o/r@v3"), new Map(), more)).commit).toBe(third);
  expect((await store.find(uses(`x/y@${third}`), new Map(), more)).commit).toBe(third);
  await expect(store.find(uses("o/r@v4"), new Map(), more)).rejects.toMatchObject({
    code: "not-found",
    message: `action o/r@v4 was not found: no tag and no branch v4 in ${root}/first/r, ${root}/second/o/r, the forge`,
  });
  await expect(store.find(uses(`x/y@${"2".repeat(40)}`), new Map(), nowhere)).rejects.toMatchObject({
    message: `action x/y@${"2".repeat(40)} was not found: no commit ${"2".repeat(40)} in ${root}/second/x/y`,
  });
});

test("the run's own repository is asked for itself", async () => {
  const { store, commit, root } = open();
  commit("mirror/o/r", "somebody's", "v1");
  const own = commit("own", "our own", "v1");
  const more = async () => await Promise.resolve([{ name: "the forge", source: { url: join(root, "own") }, isOwn: true }]);
  expect((await store.find(uses("o/r@v1"), new Map(), more)).commit).toBe(own);
});

test("a mirror that does not answer is no mirror without the action", async () => {
  const { store, commit } = open((at) => [
    { prefix: "", url: "http://127.0.0.1:1/" },
    { prefix: "", url: `${at}/second/` },
  ]);
  commit("second/o/r", "one", "v1");
  await expect(store.find(uses("o/r@v1"), new Map(), nowhere)).rejects.toMatchObject({
    code: "unreachable",
    message: expect.stringContaining("cannot ask http://127.0.0.1:1/o/r for v1: "),
  });
});

describe("an action whose repository was renamed", () => {
  /** A server where `/old/…` has moved. */
  async function renamed(to: (origin: string, path: string) => string): Promise<string> {
    const server = createServer((request, response) => {
      const line = (text: string) => (Buffer.byteLength(text) + 4).toString(16).padStart(4, "0") + text;
      const moved = /^\/o\/old(\/.*)$/.exec(request.url!)?.[1];
      if (moved !== undefined) response.writeHead(301, { location: to(`http://${request.headers.host}`, moved) }).end();
      else {
        const type = "application/x-git-upload-pack-advertisement";
        const refs = line(`${"1".repeat(40)} refs/tags/v1\0multi_ack\n`);
        response.writeHead(200, { "content-type": type }).end(`${line("# service=git-upload-pack\n")}0000${refs}0000`);
      }
    });
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => server.close().closeAllConnections());
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  test.each([
    ["by its tag", new Map<string, string>()],
    ["by its lock", new Map([["o/old@v1", "2".repeat(40)]])],
  ])("%s is not followed: its new name is said", async (_, lock) => {
    const origin = await renamed((at, path) => `${at}/n/new.git${path}`);
    const { store } = open(() => [{ prefix: "", url: `${origin}/` }]);
    await expect(store.find(uses("o/old/sub@v1"), lock, nowhere)).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining(`${origin}/o/old (it moved to ${origin}/n/new.git/)`),
      hint: "repositories that moved are not followed: write uses: n/new/sub@v1",
    });
  });

  test("to another host: the mirror's new address is asked for", async () => {
    const other = await renamed((at, path) => `${at}/x${path}`);
    const origin = await renamed((_, path) => `${other}/n/new${path}`);
    const { store } = open(() => [{ prefix: "", url: `${origin}/` }]);
    await expect(store.find(uses("o/old@v1"), new Map(), nowhere)).rejects.toMatchObject({
      message: `action o/old@v1 was not found: no tag and no branch v1 in ${origin}/o/old (it moved to ${other}/n/new/)`,
      hint: "repositories that moved are not followed: write its new address to `actions.mirrors` of the configuration",
    });
  });

  test("is looked for in the places behind it", async () => {
    const origin = await renamed((at, path) => `${at}/n/new${path}`);
    const { store, commit } = open((root) => [
      { prefix: "", url: `${origin}/` },
      { prefix: "", url: `${root}/second/` },
    ]);
    const there = commit("second/o/old", "one", "v1");
    expect(await store.find(uses("o/old@v1"), new Map(), nowhere)).toMatchObject({ commit: there });
  });
});

test("no mirror at all", async () => {
  const { store } = open(() => []);
  await expect(store.find(uses("o/r@v1"), new Map(), nowhere)).rejects.toMatchObject({
    message: "action o/r@v1 is nowhere: no mirror is configured for o/r",
  });
});

test("the lock file of a commit", async () => {
  const { store, git, root } = open();
  mkdirSync(join(root, "repo/.seatrial"), { recursive: true });
  git("repo", "init", "-q");
  writeFileSync(join(root, "repo/.seatrial/actions.lock"), `o/r@v1 ${"a".repeat(40)}\n`);
  git("repo", "add", "-A");
  git("repo", "commit", "-q", "-m", "one");
  const folder = join(root, "repo/.git");
  expect([...(await store.lockOf(folder, git("repo", "rev-parse", "HEAD")))]).toEqual([["o/r@v1", "a".repeat(40)]]);
  git("repo", "rm", "-q", "-r", ".seatrial");
  git("repo", "commit", "-q", "-m", "two");
  expect((await store.lockOf(folder, git("repo", "rev-parse", "HEAD"))).size).toBe(0);
});

test("at the run's own forge only the run's own repository is read with its credentials", async () => {
  const credentials = { username: "u", password: "p" };
  const forge = {
    name: "lab",
    kind: "gitea" as const,
    repositoryNamed: async (name: string) => {
      if (name === "o/none") throw new SeatrialError("not-found", "there is none");
      return await Promise.resolve({ id: `id of ${name}`, name, defaultBranch: "main" });
    },
    source: async (id: string) => await Promise.resolve({ url: `https://lab/${id}`, credentials }),
  };
  const own = { id: "7", name: "o/own" };
  expect(await placesAt(forge, own, "o/own")).toEqual([
    { name: "o/own of forge lab", source: { url: "https://lab/7", credentials }, isOwn: true },
  ]);
  expect(await placesAt(forge, own, "o/other")).toEqual([{ name: "o/other of forge lab", source: { url: "https://lab/id of o/other" } }]);
  expect(await placesAt(forge, own, "o/none")).toEqual([{ name: "o/none of forge lab", source: undefined }]);
  expect(await placesAt(undefined, own, "o/own")).toEqual([]);
  const local = { ...forge, name: "local", kind: "local" as const };
  expect(await placesAt(local, { id: "7", name: "own" }, "local/own")).toMatchObject([{ isOwn: true }]);
});

test.each(["ftp://a/", "https://a", "https://user@a/", "relative/", "ssh://git@a/"])("%s is no mirror", (url) => {
  expect(actionsSchema.safeParse({ mirrors: [{ prefix: "", url }] }).success).toBe(false);
});

test("a workflow of another repository, which a job calls: by the lock, and told of when it is not there", async () => {
  const { store, git, commit, root } = open();
  commit("mirror/o/r", "one", "v1");
  mkdirSync(join(root, "mirror/o/r/.github/workflows"), { recursive: true });
  const write = (text: string) => {
    writeFileSync(join(root, "mirror/o/r/.github/workflows/x.yml"), text);
    git("mirror/o/r", "add", "-A");
    git("mirror/o/r", "commit", "-q", "-m", text);
    return git("mirror/o/r", "rev-parse", "HEAD");
  };
  const locked = write("old");
  write("new");
  const read = async (text: string, lock: Record<string, string> = {}) =>
    await store.readWorkflow(text, new Map(Object.entries(lock)), nowhere);
  expect(await read("o/r/.github/workflows/x.yml@main")).toBe("new");
  expect(await read("o/r/.github/workflows/x.yml@main", { "o/r@main": locked })).toBe("old");
  await expect(read("o/r/.github/workflows/y.yml@v1")).rejects.toThrow(/commit [0-9a-f]{40} has no file \.github\/workflows\/y\.yml/);
  await expect(read("o/none/.github/workflows/x.yml@v1")).rejects.toThrow("action o/none@v1 was not found");
});

test("what was read with credentials is not there for those who have none", async () => {
  const { store, commit, root } = open(() => []);
  const one = commit("private", "one", "v1");
  const place = { name: "private", source: { url: join(root, "private") } };
  const own = { ...place, isOwn: true, source: { ...place.source, credentials: { username: "u", password: "p" } } };
  expect(await store.find(uses("o/private@v1"), new Map(), async () => await Promise.resolve([own]))).toMatchObject({ commit: one });
  // From here on it is as one that the forge does not show.
  rmSync(join(root, "private"), { recursive: true });
  const other = store.find(uses("o/private@v1"), new Map(), async () => await Promise.resolve([place]));
  await expect(other).rejects.toMatchObject({ code: "not-found" });
  const locked = store.find(uses("o/private@v1"), new Map([["o/private@v1", one]]), async () => await Promise.resolve([place]));
  await expect(locked).rejects.toMatchObject({ code: "not-found" });
});

test.each([
  ["files", false],
  ["folders", true],
])("a tree without end, of %s, is refused before anything of it is written", async (_, isHollow) => {
  const { store, git, commit, root } = open();
  commit("mirror/o/r", "one", "v1");
  git("mirror/o/r", "tag", "bomb", treeBomb(join(root, "mirror/o/r"), { isHollow }));
  const found = await store.find(uses("o/r@bomb"), new Map(), nowhere);
  const message = "the action has more than 50000 files and folders";
  await expect(store.archive(found)).rejects.toMatchObject({ code: "invalid", message });
});

test("an archive that nobody reads to its end, as after a kill, is nowhere", async () => {
  const { store, commit, root } = open();
  commit("mirror/o/r", "x".repeat(100_000), "v1");
  const before = await store.find(uses("o/r@v1"), new Map(), nowhere);
  const files = () => readdirSync(root, { recursive: true, encoding: "utf8" }).toSorted();
  await store.archive(before).then(async ({ body }) => await body.cancel());
  const there = files();
  const { body } = await store.archive(before);
  const reader = body.getReader();
  await reader.read();
  expect(files()).toEqual(there);
  await reader.cancel();
});
