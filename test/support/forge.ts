/**
 * A real Gitea for end-to-end tests: its own data folder and port, gone when the test ends. People, repositories, forks and pull
 * requests are made through its API and through git, as people make them; webhooks come to a listener on this machine.
 *
 * The lab builds it once (`node lab/main.ts forge-build`); without that the tests are skipped.
 */
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, type TestContext } from "vitest";
import { type BuiltForge, builtForge, type LabForge, startForge, stopForge } from "../../lab/forge.ts";
import { waitFor } from "../../src/base/wait.ts";
import { settingsInEnvironment } from "../../src/git/git.ts";
import { run } from "../../src/process/run.ts";

export interface TestUser {
  id: string;
  login: string;
  /** For everything that the user may do. */
  token: string;
}

export interface TestForgeRepository {
  id: string;
  /** `owner/name`. */
  name: string;
}

/** A webhook as it came. */
export interface ReceivedHook {
  headers: Headers;
  body: Buffer;
}

export interface PushOptions {
  /** Default: `main`. */
  branch?: string;
  /** Whole names of the refs that are pushed to. Default: the branch. `refs/for/main/topic` asks for a review alone. */
  refs?: readonly string[];
  /** Branch that it grows from when it is new. Default: `main`. */
  from?: string;
  message?: string;
}

/** A Gitea that runs. */
export class TestForge implements AsyncDisposable {
  readonly #built: BuiltForge;
  readonly #folder: string;
  #forge: LabForge;
  readonly #closers: (() => Promise<void>)[] = [];

  private constructor(built: BuiltForge, folder: string, forge: LabForge) {
    this.#built = built;
    this.#folder = folder;
    this.#forge = forge;
  }

  static async start(built: BuiltForge): Promise<TestForge> {
    const folder = await mkdtemp(join(process.env["SEATRIAL_TEST_ROOT"] ?? tmpdir(), "gitea-"));
    try {
      return new TestForge(built, folder, await startForge(built, join(folder, "gitea")));
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** `http://127.0.0.1:PORT`; the same after a restart. */
  get url(): string {
    return this.#forge.url;
  }

  /** The administrator's. */
  get token(): string {
    return this.#forge.token;
  }

  /** As a machine that goes down: its data stays. */
  async stop(): Promise<void> {
    await stopForge(this.#forge);
  }

  async restart(): Promise<void> {
    this.#forge = await startForge(this.#built, join(this.#folder, "gitea"), Number(new URL(this.url).port));
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0)) await close();
    await stopForge(this.#forge);
    await rm(this.#folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** A call of its API. @param options.as whose: the administrator does it in the user's name. */
  async api<T = unknown>(method: string, path: string, body?: object, options: { as?: TestUser } = {}): Promise<T> {
    const answer = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: {
        authorization: `token ${this.token}`,
        "content-type": "application/json",
        ...(options.as ? { sudo: options.as.login } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return (text ? JSON.parse(text) : undefined) as T;
  }

  /** Somebody new, whom no repository knows. */
  async createUser(prefix = "user"): Promise<TestUser> {
    const login = newName(prefix);
    const password = randomBytes(12).toString("hex");
    const account = { username: login, email: `${login}@example.invalid`, password, must_change_password: false };
    const { id } = await this.api<{ id: number }>("POST", "/admin/users", account);
    const basic = Buffer.from(`${login}:${password}`).toString("base64");
    const answer = await fetch(`${this.url}/api/v1/users/${login}/tokens`, {
      method: "POST",
      headers: { authorization: `Basic ${basic}`, "content-type": "application/json" },
      body: JSON.stringify({ name: "test", scopes: ["all"] }),
    });
    if (!answer.ok) throw new Error(`a token for ${login}: ${answer.status} ${await answer.text()}`);
    return { id: String(id), login, token: ((await answer.json()) as { sha1: string }).sha1 };
  }

  /** A repository with these files in its first commit, on main. */
  async createRepository(owner: TestUser, files: Record<string, string> = { "README.md": "A project\n" }): Promise<TestForgeRepository> {
    const made = await this.api<{ id: number; full_name: string }>("POST", "/user/repos", { name: newName("project") }, { as: owner });
    const repository = { id: String(made.id), name: made.full_name };
    await this.push(owner, repository, files);
    return repository;
  }

  async fork(by: TestUser, repository: TestForgeRepository): Promise<TestForgeRepository> {
    const made = await this.api<{ id: number; full_name: string }>(
      "POST",
      `/repos/${repository.name}/forks`,
      { name: newName("fork") },
      { as: by },
    );
    return { id: String(made.id), name: made.full_name };
  }

  async addCollaborator(repository: TestForgeRepository, user: TestUser, permission: "read" | "write" | "admin"): Promise<void> {
    await this.api("PUT", `/repos/${repository.name}/collaborators/${user.login}`, { permission });
  }

  /** Commits files upon a branch and pushes it, with git over HTTP; gives the commit. */
  async push(by: TestUser, repository: TestForgeRepository, files: Record<string, string>, options: PushOptions = {}): Promise<string> {
    const branch = options.branch ?? "main";
    const folder = await mkdtemp(join(this.#folder, "clone-"));
    const git = async (args: readonly string[], okCodes = [0]) =>
      (await run("git", args, { cwd: folder, env: this.#gitEnvironment(by), okCodes, timeoutMs: 60_000 })).stdout;
    try {
      const url = `${this.url}/${repository.name}.git`;
      await git(["init", "-q", "-b", "main"]);
      const heads = (await git(["ls-remote", "--heads", url])).split("\n");
      const start = [branch, options.from ?? "main"].find((name) => heads.some((line) => line.endsWith(`\trefs/heads/${name}`)));
      if (start !== undefined) {
        await git(["fetch", "-q", url, `refs/heads/${start}`]);
        await git(["reset", "-q", "--hard", "FETCH_HEAD"]);
      }
      for (const [path, text] of Object.entries(files)) {
        await mkdir(dirname(join(folder, path)), { recursive: true });
        await writeFile(join(folder, path), text);
      }
      await git(["add", "--all"]);
      await git(["commit", "-q", "--allow-empty", "-m", options.message ?? "a change"]);
      const refs = options.refs ?? [`refs/heads/${branch}`];
      await git(["push", "-q", url, ...refs.map((ref) => `HEAD:${ref}`)]);
      return await git(["rev-parse", "HEAD"]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** A pull request against the branch main, from a branch of the repository or of a fork of it. */
  async openPullRequest(
    by: TestUser,
    repository: TestForgeRepository,
    head: { branch: string; fork?: TestForgeRepository },
  ): Promise<{ number: number }> {
    const from = head.fork ? `${head.fork.name.split("/")[0]}:${head.branch}` : head.branch;
    const body = { title: `changes of ${head.branch}`, base: "main", head: from };
    return await this.api<{ number: number }>("POST", `/repos/${repository.name}/pulls`, body, { as: by });
  }

  /** As people see a comment: HTML. */
  async renderMarkdown(text: string): Promise<string> {
    const answer = await fetch(`${this.url}/api/v1/markdown`, {
      method: "POST",
      headers: { authorization: `token ${this.token}`, "content-type": "application/json" },
      body: JSON.stringify({ Text: text, Mode: "comment", Context: "" }),
    });
    if (!answer.ok) throw new Error(`markdown: ${answer.status} ${await answer.text()}`);
    return await answer.text();
  }

  /** Has the repository's webhooks sent to a listener of this test. */
  async listen(repository: TestForgeRepository, secret: string): Promise<HookListener> {
    const listener = await HookListener.start();
    this.#closers.push(async () => await listener.close());
    await this.addWebhook(repository, listener.url, secret);
    return listener;
  }

  /** @param url on this machine; Gitea calls no other. */
  async addWebhook(repository: TestForgeRepository, url: string, secret: string): Promise<void> {
    await this.api("POST", `/repos/${repository.name}/hooks`, {
      type: "gitea",
      active: true,
      events: "push create delete release issue_comment pull_request pull_request_sync pull_request_assign pull_request_label"
        .concat(" pull_request_milestone pull_request_review_request")
        .split(" "),
      config: { url, content_type: "json", secret },
    });
  }

  #gitEnvironment(user: TestUser): Record<string, string | undefined> {
    const basic = Buffer.from(`${user.login}:${user.token}`).toString("base64");
    const person = { NAME: user.login, EMAIL: `${user.login}@example.invalid` };
    return {
      PATH: process.env["PATH"],
      HOME: this.#folder,
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_TERMINAL_PROMPT: "0",
      ...Object.fromEntries(
        ["AUTHOR", "COMMITTER"].flatMap((role) => Object.entries(person).map(([name, value]) => [`GIT_${role}_${name}`, value])),
      ),
      ...settingsInEnvironment([[`http.${this.url}/.extraHeader`, `Authorization: Basic ${basic}`]]),
    };
  }
}

/** Takes webhooks, answers each with 204, and keeps them in the order in which they came. */
export class HookListener {
  readonly url: string;
  readonly received: ReceivedHook[] = [];
  readonly #server: ReturnType<typeof createServer>;

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
    server.on("request", (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const headers = new Headers(
          Object.entries(request.headers).flatMap(([name, value]) => (typeof value === "string" ? [[name, value]] : [])),
        );
        this.received.push({ headers, body: Buffer.concat(chunks) });
        response.writeHead(204).end();
      });
    });
  }

  static async start(): Promise<HookListener> {
    const server = createServer();
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    return new HookListener(server);
  }

  /** Waits for one that fits, also among those that came before. */
  async wait(what: string, fits: (hook: { event: string; payload: Record<string, unknown> }) => boolean): Promise<ReceivedHook> {
    const seen = (hook: ReceivedHook) => ({
      event: hook.headers.get("x-gitea-event") ?? "",
      payload: JSON.parse(hook.body.toString()) as Record<string, unknown>,
    });
    return await waitFor(
      `a webhook about ${what}`,
      () => this.received.find((hook) => fits(seen(hook))),
      { timeoutMs: 15_000, pollMs: 20 },
      () =>
        this.received
          .map((hook) => `${hook.headers.get("x-gitea-event")} ${JSON.stringify(seen(hook).payload["action"] ?? "")}`)
          .join(", ") || "none",
    );
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()));
  }
}

/** Set by test/run.ts: why there is no Gitea. */
export const noForgeVariable = "SEATRIAL_TEST_NO_FORGE";

const notBuilt = "the lab's Gitea is not built: node lab/main.ts forge-build builds it in about five minutes";

/** A Gitea for one test, which skips itself where there is none; gone when the test ends. */
export async function withGitea(context: Pick<TestContext, "skip" | "onTestFinished">): Promise<TestForge> {
  const opened = await openGitea();
  if ("reason" in opened) context.skip(opened.reason);
  const forge = opened as TestForge;
  context.onTestFinished(async () => await forge.close(), 60_000);
  return forge;
}

async function openGitea(): Promise<TestForge | { reason: string }> {
  const built = builtForge();
  return built ? await TestForge.start(built) : { reason: process.env[noForgeVariable] ?? notBuilt };
}

/** One Gitea that all tests of a file share. @returns gives it to a test, or skips that with the reason. */
export function shareGitea(): (context: Pick<TestContext, "skip">) => TestForge {
  let gitea: TestForge | { reason: string } = { reason: "it was not started" };
  beforeAll(async () => {
    gitea = await openGitea();
  });
  afterAll(async () => {
    if (!("reason" in gitea)) await gitea.close();
  });
  return (context) => {
    if ("reason" in gitea) context.skip(gitea.reason);
    return gitea as TestForge;
  };
}

function newName(prefix: string): string {
  return `${prefix}-${randomBytes(3).toString("hex")}`;
}
