/**
 * A real server at a real Gitea: from a push over its webhook to the checks, the comment and the line that failed; and what comes
 * after one of the two was down.
 */
import { createHmac, randomUUID } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, describe, expect, test, type TestContext } from "vitest";
import { waitFor } from "../../src/base/wait.ts";
import { freePort } from "../../src/docker/ports.ts";
import { openHistory } from "../../src/history/history.ts";
import type { JobView, RunBody, RunView } from "../../src/server/api/schemas.ts";
import { type Home, openHome, seatrial } from "../support/e2e.ts";
import { shareGitea, type TestForge, type TestForgeRepository } from "../support/forge.ts";

const secret = "the webhook's secret";
const soon = { timeoutMs: 30_000, pollMs: 50 };

const needGitea = shareGitea();

/** A commit status of Gitea. */
interface Status {
  id: number;
  context: string;
  status: string;
  description: string;
  target_url: string;
}

/** `up --config FILE` over a Gitea. */
class GiteaServer {
  readonly home: Home;
  readonly gitea: TestForge;
  readonly #port: number;

  private constructor(home: Home, port: number, forge: TestForge) {
    this.home = home;
    this.#port = port;
    this.gitea = forge;
  }

  /**
   * @param repositories whose heads are looked at.
   * @param giteaUrl what the server believes to be the Gitea. Default: the Gitea itself.
   */
  static async open(
    forge: TestForge,
    repositories: readonly TestForgeRepository[] = [],
    giteaUrl: string = forge.url,
  ): Promise<GiteaServer> {
    const home = await openHome();
    const server = new GiteaServer(home, await freePort(), forge);
    await writeFile(join(home.cwd, "token"), `${forge.token}\n`);
    await writeFile(join(home.cwd, "secret"), `${secret}\n`);
    const connection = {
      url: giteaUrl,
      tokenFile: "token",
      webhookSecretFiles: ["secret"],
      repositories: repositories.map(({ name }) => name),
    };
    await writeFile(join(home.cwd, "server.yaml"), JSON.stringify({ forges: [{ name: "lab", gitea: connection }] }));
    await server.up();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get hook(): string {
    return `${this.url}/webhooks/lab`;
  }

  async up(): Promise<void> {
    const args = ["up", "--detach", "--executor", "host", "--listen", `127.0.0.1:${this.#port}`, "--config", "server.yaml"];
    const ran = await seatrial(this.home, args);
    const log = await readFile(join(this.home.data, "server.log"), "utf8").catch(() => "");
    expect(ran, ran.stderr + log).toMatchObject({ code: 0 });
  }

  async down(): Promise<void> {
    const ran = await seatrial(this.home, ["down"]);
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
  }

  async close(): Promise<void> {
    await this.down();
    await this.home.close();
  }

  async get<T>(path: string): Promise<T> {
    const answer = await fetch(this.url + path);
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }

  async runsOf(sha: string): Promise<RunBody[]> {
    return (await this.get<{ items: RunBody[] }>("/api/v1/runs?limit=100")).items.filter((run) => run.sha === sha);
  }

  /** The run of a commit, once it is there. */
  async runOf(sha: string, event: string): Promise<RunView> {
    const found = await waitFor(`a run of ${sha}`, async () => (await this.runsOf(sha)).find((run) => run.event === event), soon);
    return await this.get<RunView>(`/api/v1/runs/${found.name}`);
  }

  /** A job of a run, once it is as wanted. */
  async job(run: RunView, what: string, fits: (job: JobView) => boolean): Promise<JobView> {
    let seen = "";
    const look = async () => {
      const { jobs } = await this.get<RunView>(`/api/v1/runs/${run.run.name}`);
      seen = JSON.stringify(jobs);
      return jobs.find(fits);
    };
    return await waitFor(`a job of ${run.run.name} ${what}`, look, soon, () => seen);
  }

  /** All that Gitea was told about a commit, in order, of one context. */
  async statuses({ name }: TestForgeRepository, sha: string, context: string): Promise<Status[]> {
    const all = await this.gitea.api<Status[]>("GET", `/repos/${name}/statuses/${sha}?limit=50`);
    return all.filter((each) => each.context === context).toSorted((a, b) => a.id - b.id);
  }

  /** The status that Gitea shows, once it is as wanted. */
  async shown(repository: TestForgeRepository, sha: string, context: string, state: string, description = ""): Promise<Status> {
    let seen: Status[] = [];
    const look = async () => {
      seen = await this.statuses(repository, sha, context);
      const last = seen.at(-1);
      return last?.status === state && last.description.includes(description) ? last : undefined;
    };
    return await waitFor(`${context} to be ${state} at Gitea`, look, soon, () => JSON.stringify(seen));
  }

  /** Sends a delivery as Gitea would. */
  async deliver(delivery: { event: string; id: string; payload: object; secret?: string }): Promise<number> {
    const body = JSON.stringify(delivery.payload);
    const signature = createHmac("sha256", delivery.secret ?? secret)
      .update(body)
      .digest("hex");
    const headers = {
      "content-type": "application/json",
      "x-gitea-event": delivery.event,
      "x-gitea-delivery": delivery.id,
      "x-gitea-signature": signature,
    };
    return (await fetch(this.hook, { method: "POST", headers, body })).status;
  }

  /** What the inbox has of a delivery. */
  async inbox(id?: string): Promise<{ state: string; error?: string; attempts: number }[]> {
    const history = await openHistory({ sqlite: { directory: this.home.data } });
    try {
      const { items } = await history.deliveries.list({ forge: "lab" });
      return items.filter(({ delivery }) => id === undefined || delivery === id);
    } finally {
      await history.close();
    }
  }

  async comments({ name }: TestForgeRepository, number: number): Promise<{ id: number; body: string }[]> {
    return await this.gitea.api("GET", `/repos/${name}/issues/${number}/comments`);
  }
}

const on = "on: [push, pull_request]";
const ci = (...steps: string[]) => ({
  ".seatrial/ci.yml": `name: ci\n${on}\njobs: {e2e: {steps: [{uses: actions/checkout@v4}, ${steps.join(", ")}]}}\n`,
});
const scripted = ci("{run: sh test.sh}");
const failing = {
  "test.sh": `
cat > "$ARTIFACTS/junit.xml" <<'END'
<testsuite name="s">
  <testcase classname="s" name="TestWidget"><failure message="want 3 widgets, got 2"/></testcase>
  <testcase classname="s" name="&lt;img src=x onerror=alert(1)&gt; @everybody"><failure message="\`\`&lt;b&gt;bold&lt;/b&gt;"/></testcase>
</testsuite>
END
echo '--- FAIL: TestWidget (0.01s)'
echo '    widget_test.go:12: want 3 widgets, got 2'
exit 7
`,
};

describe("from a push to the line that failed", () => {
  let server: GiteaServer | undefined;

  /** One server for these tests; each has a repository of its own, whose webhook leads to it. */
  const project = async (context: TestContext, files: Record<string, string>) => {
    const forge = needGitea(context);
    server ??= await GiteaServer.open(forge);
    const owner = await forge.createUser("owner");
    const repository = await forge.createRepository(owner, files);
    await forge.addWebhook(repository, server.hook, secret);
    return { server, forge, owner, repository };
  };

  afterAll(async () => await server?.close(), 60_000);

  test("pending, then failure, in order, at Gitea; the link opens the line", async (context) => {
    const { server, forge, owner, repository } = await project(context, { "README.md": "A project\n" });
    const sha = await forge.push(owner, repository, { ...scripted, ...failing });
    const pushed = Date.now();
    const run = await server.runOf(sha, "push");
    const last = await server.shown(repository, sha, "ci / e2e (push)", "failure");
    const states = (await server.statuses(repository, sha, "ci / e2e (push)")).map(({ status }) => status);
    expect(states[0]).toBe("pending");
    expect(
      states.filter((state) => state !== "pending"),
      "it ends once, and last",
    ).toEqual([states.at(-1)]);
    const { pathname, search, hash } = new URL(last.target_url);
    expect(last.target_url.startsWith(`${server.url}/jobs/`)).toBe(true);
    const page = await (await fetch(server.url + pathname + search)).text();
    const marked = new RegExp(`<div id="${hash.slice(1)}" class="marked">[^\n]*`).exec(page)?.[0];
    expect(marked).toContain("want 3 widgets, got 2");
    const [step] = (await server.job(run, "with steps", ({ attempts }) => attempts.length > 0)).attempts[0]!.steps;
    expect(Date.parse(step!.startedAt) - pushed, "ms from the push to the first step").toBeLessThan(15_000);
  });

  test("a pull request from a fork is not trusted: it is not run on the server's own machine, and the check says why", async (context) => {
    const { server, forge, repository } = await project(context, ci("{run: 'true'}"));
    const stranger = await forge.createUser("stranger");
    const fork = await forge.fork(stranger, repository);
    const sha = await forge.push(stranger, fork, { "a.txt": "a\n" }, { branch: "topic" });
    await forge.openPullRequest(stranger, repository, { branch: "topic", fork });
    const run = await server.runOf(sha, "pull_request");
    expect(run.run.lane).toBe("untrusted");
    const reason = "host local takes no untrusted jobs";
    const check = await server.shown(repository, sha, "ci / e2e (pull_request)", "pending", reason);
    expect(check.description).toBe(reason);
    const job = await server.job(run, "that waits", ({ message }) => message === reason);
    expect(job).toMatchObject({ phase: "Waiting", attempts: [] });
  });

  test("a pull request from the same repository runs on the merge of base and head, and has checks beside those of its branch", async (context) => {
    const { server, forge, owner, repository } = await project(
      context,
      ci("{run: 'cat base.txt topic.txt && echo \"at $GITHUB_SERVER_URL and $GITHUB_API_URL\"'}"),
    );
    const sha = await forge.push(owner, repository, { "topic.txt": "of topic\n" }, { branch: "topic" });
    await forge.push(owner, repository, { "base.txt": "of main, later\n" });
    await forge.openPullRequest(owner, repository, { branch: "topic" });
    const run = await server.runOf(sha, "pull_request");
    expect(run.run.lane).toBe("trusted");
    await server.shown(repository, sha, "ci / e2e (pull_request)", "success");
    const job = await server.job(run, "that passed", ({ verdict }) => verdict === "passed");
    const log = await (await fetch(`${server.url}/api/v1/jobs/${job.name}/log`)).text();
    expect(log).toContain("of main, later\nof topic\n");
    expect(log).toContain(`at ${forge.url} and ${forge.url}/api/v1\n`);
    // The branch alone has no base.txt.
    await server.shown(repository, sha, "ci / e2e (push)", "failure");
  });

  test("a bad signature is refused, and nothing is stored; the same delivery twice makes one run", async (context) => {
    const forge = needGitea(context);
    server ??= await GiteaServer.open(forge);
    const owner = await forge.createUser("owner");
    const repository = await forge.createRepository(owner, ci("{run: 'true'}"));
    const sha = await forge.push(owner, repository, { "a.txt": "a\n" });
    const payload = {
      ref: "refs/heads/main",
      before: "0".repeat(40),
      after: sha,
      repository: { id: Number(repository.id), full_name: repository.name },
      sender: { id: Number(owner.id), login: owner.login },
    };
    const delivery = { event: "push", id: randomUUID(), payload };
    expect(await server.deliver({ ...delivery, secret: "another" })).toBe(401);
    expect(await server.inbox(delivery.id)).toEqual([]);
    expect(await Promise.all([server.deliver(delivery), server.deliver(delivery)])).toEqual([202, 202]);
    // Sent by hand once more, it has an id of its own.
    const again = { ...delivery, id: randomUUID() };
    expect(await server.deliver(again)).toBe(202);
    await waitFor("all to be handled", async () => ((await server!.inbox(again.id))[0]?.state === "done" ? true : undefined), soon);
    await waitFor("all to be handled", async () => ((await server!.inbox(delivery.id))[0]?.state === "done" ? true : undefined), soon);
    expect(await server.inbox(delivery.id)).toHaveLength(1);
    expect(await server.runsOf(sha)).toHaveLength(1);
  });

  test("a pull request has one comment: what failed, and later that all is well; nothing in it is believed", async (context) => {
    const { server, forge, owner, repository } = await project(context, scripted);
    const first = await forge.push(owner, repository, failing, { branch: "topic" });
    const { number } = await forge.openPullRequest(owner, repository, { branch: "topic" });
    const comment = await waitFor("a comment", async () => (await server.comments(repository, number))[0], soon);
    const job = (await server.runOf(first, "pull_request")).jobs[0]!;
    expect(comment.body.split("\n").slice(1)).toEqual([
      `**1 of 1 job failed** at ${first.slice(0, 10)}:`,
      "",
      expect.stringMatching(
        new RegExp(`^- \\[\`ci / e2e \\(pull_request\\)\`\\]\\(${server.url}/jobs/${job.name}\\?attempt=1&line=\\d+#L\\d+\\) failed$`),
      ),
      expect.stringMatching(/^ {2}- \[`TestWidget`\]\(.*\?attempt=1&line=(\d+)#L\1\): `want 3 widgets, got 2`$/),
      expect.stringContaining("`<img src=x onerror=alert(1)> @everybody`"),
    ]);
    const rendered = await forge.renderMarkdown(comment.body);
    expect(rendered).toContain("&lt;img src=x onerror=alert(1)&gt; @everybody");
    expect(rendered).not.toMatch(/<img|<b>|href="[^"]*everybody/);

    const second = await forge.push(owner, repository, { "test.sh": "true\n" }, { branch: "topic" });
    await server.shown(repository, second, "ci / e2e (pull_request)", "success");
    const passed = `**1 job passed** at ${second.slice(0, 10)}.`;
    const later = await waitFor(
      "the comment to say so",
      async () => (await server.comments(repository, number)).find(({ body }) => body.includes(passed)),
      soon,
    );
    expect(later.id).toBe(comment.id);
    expect(await server.comments(repository, number)).toHaveLength(1);
  });

  test("a newer commit of a pull request ends the runs of the older one", async (context) => {
    const { server, forge, owner, repository } = await project(context, { ...scripted, "test.sh": "echo begun; sleep 300\n" });
    const old = await forge.push(owner, repository, { "a.txt": "a\n" }, { branch: "topic" });
    await forge.openPullRequest(owner, repository, { branch: "topic" });
    const run = await server.runOf(old, "pull_request");
    await server.job(run, "that runs", ({ phase }) => phase === "Running");
    const sha = await forge.push(owner, repository, { "test.sh": "true\n" }, { branch: "topic" });
    await server.shown(repository, sha, "ci / e2e (pull_request)", "success");
    await server.shown(repository, old, "ci / e2e (pull_request)", "error", "has a newer commit");
    // Those of pushes are nobody's to end but people's.
    const pushes = await Promise.all([old, await headOf(forge, repository, "main")].map(async (each) => await server.runOf(each, "push")));
    for (const { run: push } of pushes) {
      expect(push.phase).toBe("Running");
      const token = (await readFile(join(server.home.data, "api-token"), "utf8")).trim();
      await fetch(`${server.url}/api/v1/runs/${push.name}/abort`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
        body: JSON.stringify({ reason: "the test ends" }),
      });
    }
    for (const { run: push } of pushes) await waitFor("it to end", async () => await endedRun(server, push.name), soon);
  });
});

describe("after one of the two was down", () => {
  test("the server, around a push and a new pull request: both get their runs when it is back", async (context) => {
    const forge = needGitea(context);
    const owner = await forge.createUser("owner");
    const repository = await forge.createRepository(owner, ci("{run: 'true'}"));
    const server = await GiteaServer.open(forge, [repository]);
    context.onTestFinished(async () => await server.close(), 60_000);
    await forge.addWebhook(repository, server.hook, secret);
    await server.shown(repository, await headOf(forge, repository, "main"), "ci / e2e (push)", "success");
    await server.down();
    const sha = await forge.push(owner, repository, { "a.txt": "a\n" });
    const topic = await forge.push(owner, repository, { "b.txt": "b\n" }, { branch: "topic" });
    await forge.openPullRequest(owner, repository, { branch: "topic" });
    await server.up();
    await server.shown(repository, sha, "ci / e2e (push)", "success");
    await server.shown(repository, topic, "ci / e2e (pull_request)", "success");
    expect(await server.inbox(), "no delivery told of them").toEqual([]);
  });

  test("the forge, around a push and the end of a job: the delivery is handled and the newest state alone is shown when it is back", async (context) => {
    const forge = needGitea(context);
    await using proxy = await ForgeProxy.start(forge.url);
    const server = await GiteaServer.open(forge, [], proxy.url);
    context.onTestFinished(async () => await server.close(), 60_000);
    const owner = await forge.createUser("owner");
    const flags = join(server.home.cwd, "flags");
    await mkdir(flags);
    const repository = await forge.createRepository(owner, {
      ...scripted,
      "test.sh": `while [ ! -e ${flags}/go ]; do sleep 0.05; done; exit 1\n`,
    });
    await forge.addWebhook(repository, server.hook, secret);

    proxy.mode = "errors";
    const sha = await forge.push(owner, repository, { "a.txt": "a\n" });
    const failed = await waitFor(
      "the delivery to fail twice",
      async () => (await server.inbox()).find(({ error, attempts }) => error !== undefined && attempts >= 2),
      soon,
    );
    expect(failed).toMatchObject({ state: "waiting", error: expect.stringContaining("500") });
    proxy.mode = "open";
    const run = await server.runOf(sha, "push");
    await server.shown(repository, sha, "ci / e2e (push)", "pending", "Running");
    const before = await server.statuses(repository, sha, "ci / e2e (push)");

    proxy.mode = "refuses";
    await writeFile(join(flags, "go"), "");
    await server.job(run, "that failed", ({ verdict }) => verdict === "failed");
    const refused = proxy.refused;
    await waitFor("the report to be tried again", () => (proxy.refused > refused + 2 ? true : undefined), soon);
    expect(await server.statuses(repository, sha, "ci / e2e (push)")).toEqual(before);
    proxy.mode = "open";
    await server.shown(repository, sha, "ci / e2e (push)", "failure");
    expect(await server.statuses(repository, sha, "ci / e2e (push)")).toHaveLength(before.length + 1);
  });
});

async function endedRun(server: GiteaServer, name: string): Promise<RunView | undefined> {
  const view = await server.get<RunView>(`/api/v1/runs/${name}`);
  return view.run.phase === "Finished" ? view : undefined;
}

async function headOf(forge: TestForge, { name }: TestForgeRepository, branch: string): Promise<string> {
  return (await forge.api<{ commit: { id: string } }>("GET", `/repos/${name}/branches/${branch}`)).commit.id;
}

/** Stands before a Gitea, and is down when a test wants it. */
class ForgeProxy implements AsyncDisposable {
  /** `errors`: answers 500. `refuses`: closes each connection. */
  mode: "open" | "errors" | "refuses" = "open";
  refused = 0;
  readonly #server: Server;

  static async start(target: string): Promise<ForgeProxy> {
    const proxy = new ForgeProxy(target);
    await new Promise<void>((resolve) => void proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  private constructor(target: string) {
    this.#server = createServer((incoming, outgoing) => {
      if (this.mode !== "open") this.refused++;
      if (this.mode === "refuses") return void incoming.destroy();
      if (this.mode === "errors") return void outgoing.writeHead(500).end("out of order");
      const { method, headers, url } = incoming;
      const onward = request(new URL(url!, target), { method, headers: { ...headers, host: new URL(target).host } }, (answer) => {
        outgoing.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(outgoing);
      });
      onward.once("error", () => outgoing.destroy());
      incoming.pipe(onward);
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()));
  }
}
