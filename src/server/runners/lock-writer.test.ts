import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { limits } from "../../base/limits.ts";
import { environmentFrom } from "../../base/environment.ts";
import type { AttemptRecord } from "../../history/attempts.ts";
import { type History, openHistory } from "../../history/history.ts";
import { ToolVersions } from "../../programs/tool-versions.ts";
import type { JobRun, JobRunSpec } from "../../resources/job-run.ts";
import { compareLocks, type LockDocument } from "../../resources/lock-document.ts";
import type { Stored } from "../../resources/object.ts";
import type { Run } from "../../resources/run.ts";
import { type LockInput, LockWriter, lockWithImages, noteAction, noteCache } from "./lock-writer.ts";

const commit = "c".repeat(40);
const image = `registry.example/ci@sha256:${"1".repeat(64)}`;

function given(spec: Partial<JobRunSpec>, more: Partial<LockInput> = {}): LockInput {
  const source = {
    forge: "local",
    repository: { id: "1", name: "owner/project" },
    event: "push",
    ref: "refs/heads/main",
    base: { ref: "main", sha: commit },
    commit,
    lane: "trusted",
    eventDigest: `sha256:${"2".repeat(64)}`,
  };
  const workflow = { path: ".seatrial/ci.yml", name: "ci", digest: `sha256:${"0".repeat(64)}` };
  return {
    run: { metadata: { name: "run-1" }, spec: { source, workflow } } as Stored<Run>,
    jobRun: {
      metadata: { name: "run-1-e2e-0" },
      spec: {
        run: "run-1",
        repository: "owner/project",
        lane: "trusted",
        priority: "branch",
        job: "e2e",
        name: "e2e",
        attempt: 2,
        steps: [{ run: "make" }],
        runsOn: { labels: ["linux"], executor: "docker" },
        ...spec,
      },
    } as Stored<JobRun>,
    attempt: { uid: "attempt-1", number: 2, executor: "docker" } as AttemptRecord,
    folder: undefined,
    vars: {},
    secrets: [],
    artifacts: {},
    container: { image, platform: "linux/arm64" },
    clusters: [],
    version: "0.1.0",
    ...more,
  };
}

async function opened(): Promise<{ history: History; write(input: LockInput): Promise<LockDocument>; read(): Promise<LockDocument> }> {
  const folder = await mkdtemp(join(tmpdir(), "lock-"));
  const history = await openHistory({ sqlite: { directory: folder } });
  onTestFinished(async () => {
    await history.close();
    await rm(folder, { recursive: true, force: true });
  });
  const variables = { PATH: "", SEATRIAL_CACHE: join(folder, "cache") };
  const environment = environmentFrom({ variables, homeDir: folder, tempDir: folder, uid: 0, cwd: folder });
  const writer = new LockWriter(environment, history.locks, new ToolVersions(environment));
  const read = async (images: { reference: string; digest: string }[] = []) =>
    lockWithImages((await history.locks.get("attempt-1")) ?? "", images);
  return {
    history,
    read,
    write: async (input) => {
      await writer.write(input);
      return await read();
    },
  };
}

describe("the lock document of an attempt", () => {
  test("has the job without where and when it ran, what it names of variables, no value of a secret", async () => {
    const { write } = await opened();
    const steps = [{ run: "echo ${{ vars.REGION }} ${{ secrets.token }}" }];
    const lock = await write(given({ steps }, { vars: { REGION: "eu", OTHER: "x" }, secrets: ["TOKEN", "OTHER"] }));
    expect(lock.job).toEqual({ job: "e2e", name: "e2e", steps, labels: ["linux"] });
    expect(lock.vars).toEqual({ REGION: "eu" });
    expect(lock.secrets).toEqual(["TOKEN"]);
    expect(lock.place).toEqual({ executor: "docker", platform: "linux/arm64", image, env: {}, tools: { seatrial: "0.1.0" } });
    expect(lock.source).toEqual({ event: "push", ref: "refs/heads/main", heads: [] });
    expect(lock.unpinned).toEqual(["source.tree: its repository was not there", "secrets.TOKEN: its value is in no document"]);
  });

  test("has commit and payload of a job that asks for them", async () => {
    const { write } = await opened();
    const lock = await write(given({ steps: [{ run: "echo $GITHUB_SHA ${{ github.event.action }}" }] }));
    expect(lock.source).toMatchObject({ commit, payload: `sha256:${"2".repeat(64)}` });
  });

  test("has the exact version of each cluster, and says what of it could not be told", async () => {
    const { write } = await opened();
    const clusters = [{ name: "cluster", spec: { provider: "kind", kubernetesVersion: "v1.36" } as const }];
    const parts = { programs: { kind: "/nowhere/kind" }, images: { "control-plane": `sha256:${"3".repeat(64)}` } };
    const lock = await write(given({ clusters }, { clusters: [{ kubernetes: "v1.36.3+lab", parts }] }));
    expect(lock.clusters).toEqual([
      { name: "cluster", spec: { provider: "kind", kubernetesVersion: "v1.36.3" }, programs: { kind: "unknown" }, images: parts.images },
    ]);
    expect(lock.unpinned).toContain("clusters[0].programs.kind: it did not tell its version");
  });

  test("is completed by commits of actions, and by digests of containers", async () => {
    const { history, write } = await opened();
    const steps = [
      { uses: "owner/action/path@v1" },
      { uses: "actions/checkout@v5" },
      { uses: "./local" },
      { uses: "docker://alpine:3" },
      { uses: "actions/cache@v4", with: { path: "x", key: "y" } },
    ];
    const lock = await write(given({ steps, container: { image: "node:24" }, services: [{ name: "db", image: "postgres:18" }] }));
    const loose = (each: LockDocument) => each.unpinned.filter((part) => !part.startsWith("source"));
    expect(loose(lock)).toEqual([
      "job.steps[0].uses: the commit of owner/action@v1 is not known",
      "job.steps[3].uses: alpine:3 is known by its name alone",
      "job.container.image: node:24 is known by its name alone",
      "job.services[0].image: postgres:18 is known by its name alone",
    ]);
    await Promise.all([
      noteAction(history.locks, "attempt-1", "owner/action@v1", commit),
      noteAction(history.locks, "attempt-1", "owner/other@v2", commit),
    ]);
    const digest = (name: string) => `${name}@sha256:${"4".repeat(64)}`;
    const images = ["node:24", "postgres:18", "alpine:3"].map((reference) => ({ reference, digest: digest(reference) }));
    const whole = lockWithImages((await history.locks.get("attempt-1"))!, images);
    expect(whole.actions).toEqual({ "owner/action@v1": commit, "owner/other@v2": commit });
    expect(loose(whole)).toEqual([]);
    // A runner is anybody's: what it asks for has an end.
    for (let i = 2; i < limits.jobActions; i++) await noteAction(history.locks, "attempt-1", `owner/a${i}@v1`, commit);
    await noteAction(history.locks, "attempt-1", "owner/action@v1", commit);
    await expect(noteAction(history.locks, "attempt-1", "owner/last@v1", commit)).rejects.toThrow("more than 500 repositories");
  });

  test("is completed by the caches that were restored, each once; a document with another, or none, differs in them", async () => {
    const { history, write } = await opened();
    const without = await write(given({}));
    const found = (key: string) => ({ key, version: "v", digest: `sha256:${key}` });
    const [one, two] = [found("a"), found("b")];
    for (const each of [two, one, two]) await noteCache(history.locks, "attempt-1", each);
    const whole = lockWithImages((await history.locks.get("attempt-1"))!, []);
    expect(whole.caches).toEqual([two, one]);
    expect(compareLocks(without, whole).differences).toEqual([{ path: "caches", one: undefined, other: [two, one] }]);
    expect(compareLocks(whole, { ...whole, caches: [two, { ...one, digest: "other" }] }).differences).toEqual([
      { path: "caches[1].digest", one: "sha256:a", other: "other" },
    ]);
    for (let i = 0; i <= limits.lockedCaches; i++) await noteCache(history.locks, "attempt-1", found(`k${i}`));
    const full = lockWithImages((await history.locks.get("attempt-1"))!, []);
    expect(full.caches).toHaveLength(limits.lockedCaches);
    expect(full.unpinned).toContain(`caches: those after the first ${limits.lockedCaches} are not known`);
  });

  test("of a job that builds an image says so: its id is another each time", async () => {
    const { history, write } = await opened();
    await write(given({ steps: [{ uses: "./action" }] }));
    const text = (await history.locks.get("attempt-1"))!;
    const built = (digit: string) => ({ reference: `/place-${digit}/action/Dockerfile`, digest: `sha256:${digit.repeat(64)}` });
    const [one, other] = [lockWithImages(text, [built("1")]), lockWithImages(text, [built("2")])];
    const { differences, unpinned } = compareLocks(one, other);
    expect(differences).toEqual([]);
    expect(unpinned).toContain("images: what is built from a Dockerfile is not recorded");
  });

  test.each([
    [undefined, ["place.image: it is known by its name alone"]],
    ["node:24", ["place.image: node:24 is known by its name alone"]],
    ["seatrial/runner:0123456789abcdef01234567", []],
    [image, []],
  ])("says whether the image %s is held fast", async (each, expected) => {
    const { write } = await opened();
    const lock = await write(given({}, { container: { image: each } }));
    expect(lock.unpinned.filter((part) => part.startsWith("place"))).toEqual(expected);
  });
});
