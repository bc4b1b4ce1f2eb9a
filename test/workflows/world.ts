/**
 * What conformance cases run in: the trigger, the engine over a store in memory, and a forge that has a repository for each case. An
 * event goes the way of a delivery; only the forge is ours, and that nothing is shown at it.
 */
import { randomUUID } from "node:crypto";
import { homedir } from "node:os";
import { join } from "node:path";
import { environmentFrom } from "../../src/base/environment.ts";
import { waitFor } from "../../src/base/wait.ts";
import { localHost } from "../../src/controllers/job-run/schedule.ts";
import { Repositories } from "../../src/controllers/repository/repositories.ts";
import { soleLeadership } from "../../src/controllers/runtime/epochs.ts";
import { Dispatcher } from "../../src/controllers/trigger/dispatch.ts";
import { Trigger } from "../../src/controllers/trigger/trigger.ts";
import { Mirrors } from "../../src/git/mirrors.ts";
import { MemoryStore } from "../../src/kube/memory.ts";
import type { Json } from "../../src/workflows/expressions/expressions.ts";
import type { JobView, RunView } from "../../src/server/api/schemas.ts";
import { type Engine, openEngine } from "../../src/server/engine.ts";
import { Hosts } from "../../src/server/hosts.ts";
import { runsOnBy } from "../../src/server/runs-on.ts";
import { CommandWorkspace } from "../../src/server/start.ts";
import { type Home, kubectlPath } from "../support/e2e.ts";
import { makeActionRepositories } from "./actions.ts";
import { type Case, type CaseEvent, isLine } from "./case.ts";
import { CaseForge, CaseRepository } from "./forge.ts";

/** A job and what it left. */
export interface SeenJob {
  view: JobView;
  log: string[];
  outputs: Record<string, string>;
  annotations: Record<string, unknown>[];
  artifacts: string[];
}
export interface SeenRun {
  view: RunView;
  jobs: SeenJob[];
}

export class World implements AsyncDisposable {
  readonly engine: Engine;
  readonly #trigger: Trigger;
  readonly #dispatcher: Dispatcher;
  readonly #forge: CaseForge;
  readonly #home: Home;
  readonly #cases: Map<string, Case>;
  readonly #close: () => Promise<void>;

  /** @param executor of all jobs of this world. */
  static async open(home: Home, executor: "host" | "docker"): Promise<World> {
    const environment = environmentFrom({
      // One place for what jobs leave for each other, and for these cases alone.
      variables: { ...home.variables, TMPDIR: home.cwd },
      homeDir: homedir(),
      tempDir: home.cwd,
      uid: process.getuid?.() ?? 0,
      cwd: home.cwd,
    });
    const abort = new AbortController();
    const said: string[] = [];
    const say = (line: string) => void said.push(line);
    const workspace = new CommandWorkspace(environment, { out: say, write: say, err: say }, abort.signal);
    const instance = await workspace.instance();
    const now = () => new Date();
    const store = new MemoryStore({ now, newUid: randomUUID });
    const mirrors = new Mirrors({ environment, folder: join(environment.dataDir, "mirrors"), now });
    const cases = new Map<string, Case>();
    const ownershipOf = (attempt: string) => ({ instance, owner: { attempt }, notAfter: new Date(Date.now() + 600_000) });
    const hosts = new Hosts({
      workspace,
      declared: async () => await Promise.resolve([{ name: localHost, spec: { lanes: ["trusted", "untrusted"] } }]),
      executor,
      ownershipOf,
      doorKey: home.directory,
      kubectl: async () => await kubectlPath(),
    });
    const caseOf = (id: string) => cases.get(id)!;
    const mirror = await makeActionRepositories(join(home.cwd, "actions"));
    const engine = await openEngine(workspace, {
      store,
      actions: { mirrors: [{ prefix: "", url: mirror }] },
      policy: {
        varsOf: async ({ spec }) => await Promise.resolve(caseOf(spec.source.repository.id).vars),
        secretsOf: async ({ spec: { source } }) =>
          await Promise.resolve(source.lane === "trusted" ? caseOf(source.repository.id).secrets : {}),
        surroundingsOf: () => ({ urls: forgeUrls, retentionDays: 30 }),
        rules: [],
        runsOn: runsOnBy([], hosts),
        repositoryOf: ({ spec: { source } }) => mirrors.of(source.forge, source.repository.id).folder,
        hosts: () => hosts.views(),
        fitsNowhereMs: 0,
        ownershipOf,
      },
      hosts,
      version: "0.0.0",
      attemptsDir: join(environment.dataDir, "attempts"),
    });
    const looking = executor === "docker" ? hosts.work(abort.signal) : undefined;
    const leading = engine.lead(soleLeadership(), abort.signal);
    await engine.synced();
    const trigger = new Trigger({
      store,
      history: engine.stores.history,
      mirrorOf: (forge, id) => mirrors.of(forge, id),
      repositories: new Repositories({ store, now }),
      rules: [],
      now,
    });
    const close = async () => {
      await engine.settled();
      abort.abort();
      await leading;
      await looking;
      await engine[Symbol.asyncDispose]();
      await mirrors.close();
      await workspace[Symbol.asyncDispose]();
      if (said.length > 0) throw new Error(`the server said what nobody expected:\n${said.join("\n")}`);
    };
    return new World(home, engine, trigger, cases, close);
  }

  private constructor(home: Home, engine: Engine, trigger: Trigger, cases: Map<string, Case>, close: () => Promise<void>) {
    this.#home = home;
    this.engine = engine;
    this.#trigger = trigger;
    this.#dispatcher = new Dispatcher(trigger);
    this.#cases = cases;
    this.#close = close;
    this.#forge = new CaseForge();
  }

  /** A repository for the case, with nothing in it. */
  repository(one: Case): CaseRepository {
    this.#cases.set(one.name, one);
    const repository = new CaseRepository(join(this.#home.cwd, one.name), one);
    this.#forge.add(repository);
    return repository;
  }

  /** Lets the event happen. @returns the names of the runs that it starts. */
  async happen(repository: CaseRepository, event: CaseEvent): Promise<string[]> {
    const repositoryId = repository.id;
    if (event.name === "workflow_dispatch") {
      const [workflow] = Object.keys(this.#cases.get(repositoryId)!.files).filter((path) => /\.ya?ml$/.test(path));
      return [await this.#dispatcher.dispatch(this.#forge, { repositoryId, workflow: workflow!, ref: event.ref, inputs: event.inputs })];
    }
    if (event.name === "repository_dispatch") {
      const payload = event.client_payload as Record<string, Json>;
      return await this.#dispatcher.tell(this.#forge, { repositoryId, type: event.type, payload });
    }
    const { change, payload } = await repository.commitFor(event);
    return await this.#trigger.trigger(this.#forge, change, { delivery: randomUUID(), payload });
  }

  /** Waits until the run has ended. */
  async ended(run: string): Promise<SeenRun> {
    await this.#known(run);
    let last: RunView | undefined;
    // So that its log is seen, and nothing of it goes on.
    const timer = setTimeout(() => void this.engine.api.abort(run, "the case takes too long").catch(() => {}), caseMs);
    for await (const view of this.engine.api.stream(run)) last = view;
    clearTimeout(timer);
    const jobs = await Promise.all(last!.jobs.map(async (view) => await this.#seen(view)));
    return { view: last!, jobs };
  }

  /** Waits until the log of a job has such a line. @param runs just one. */
  async says(runs: readonly string[], job: string, wanted: string): Promise<void> {
    const [run] = runs;
    if (run === undefined || runs.length > 1) throw new Error(`${runs.length} runs were started: one can be waited for`);
    await this.#known(run);
    for await (const { jobs } of this.engine.api.stream(run)) {
      const view = jobs.find(({ jobName }) => jobName === job);
      if (!view?.attempts.length) continue;
      let rest = "";
      for await (const bytes of this.engine.api.followLog(view.name)) {
        const lines = (rest + Buffer.from(bytes).toString()).split("\n");
        rest = lines.pop()!;
        if (lines.some((line) => isLine(wanted, line))) return;
      }
      throw new Error(`job ${job} has ended, and has not said what it should`);
    }
    throw new Error(`the run has ended without a job ${job} that says what it should`);
  }

  /** A run is in the history a moment after it was made. */
  async #known(run: string): Promise<void> {
    const { queries } = this.engine.stores.history;
    await waitFor(`run ${run} to be known`, async () => await queries.run(run), { timeoutMs: 20_000, pollMs: 10 });
  }

  async #seen(view: JobView): Promise<SeenJob> {
    const uid = view.attempts.at(-1)?.uid;
    if (uid === undefined) return { view, log: [], outputs: {}, annotations: [], artifacts: [] };
    const { history, logs } = this.engine.stores;
    const chunks: Uint8Array[] = [];
    for await (const bytes of await logs.read(uid, 0)) chunks.push(bytes);
    const [attempt, annotations, artifacts] = await Promise.all([
      history.attempts.get(uid),
      history.queries.annotations(uid),
      history.queries.artifacts(uid, { limit: 100 }),
    ]);
    return {
      view,
      log: Buffer.concat(chunks).toString().split("\n"),
      outputs: attempt?.result?.outputs ?? {},
      annotations: annotations.map(({ step: _step, logLine: _logLine, ...annotation }) => annotation),
      artifacts: artifacts.items.map(({ path }) => path),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}

/** Most take one second; with all processors in use by others some more. */
const caseMs = 60_000;

/** Nothing is there: what only names them must do. */
const forgeUrls = { server: "https://forge.invalid", api: "https://forge.invalid/api/v1" };
