/** What keeps a server small, and alive when its disk is not: etcd's file, and disks that fill up. File systems of their own need root. */
import { createHash } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent } from "undici";
import { describe, expect, onTestFinished, test } from "vitest";
import { scriptEnvironment } from "../../scripts/docker-choice.ts";
import { FolderStore } from "../../src/artifacts/folder.ts";
import { systemCodeOf } from "../../src/base/errors.ts";
import { waitFor } from "../../src/base/wait.ts";
import { Etcd } from "../../src/controlplane/etcd.ts";
import { openHistory } from "../../src/history/history.ts";
import { openLogStore } from "../../src/logs/log-store.ts";
import { startDaemon, stopDaemon } from "../../src/process/daemon.ts";
import { Programs } from "../../src/programs/programs.ts";
import type { JobView, RunView } from "../../src/server/api/schemas.ts";
import { Disk } from "../support/disk.ts";
import { TestServer } from "../support/server.ts";

const mib = 1024 ** 2;

describe("etcd", () => {
  test("what was deleted leaves its file; at its quota it takes writes again when it was looked after", async () => {
    const etcd = await startEtcd(["--quota-backend-bytes=33554432"]);
    const write = async (round: number) => {
      const value = Buffer.alloc(mib, round).toString("base64");
      for (let key = 0; key < 12; key++) await etcd.call("kv/put", { key: Buffer.from(`key-${key}`).toString("base64"), value });
    };
    await write(1);
    const keys = { key: Buffer.from("key-").toString("base64"), range_end: Buffer.from("key.").toString("base64") };
    const { header } = (await etcd.call("kv/deleterange", keys)) as { header: { revision: string } };
    await etcd.call("kv/compaction", { revision: header.revision, physical: true });
    // Pages count as free with a commit after the one that freed them, and only what is written is committed.
    const full = await waitFor(
      "free pages",
      async () => {
        await etcd.call("kv/put", { key: "YQ==", value: "YQ==" });
        const size = await etcd.maintenance.size();
        return size.bytes - size.usedBytes > 10 * mib ? size : undefined;
      },
      { timeoutMs: 30_000, pollMs: 50 },
    );
    const onDisk = (await stat(etcd.file)).size;
    expect(await etcd.maintenance.maintain(), "too little to be worth it").toMatchObject({ wasDefragmented: false, bytes: full.bytes });
    const small = await etcd.maintenance.maintain(undefined, 8 * mib);
    expect(small).toMatchObject({ wasDefragmented: true, wasFull: false });
    expect(small.bytes).toBeLessThan(mib);
    expect((await stat(etcd.file)).size).toBeLessThan(onDisk - 10 * mib);

    // Versions of the same keys that nobody compacts: as when kube-apiserver cannot write any more, and so cannot compact either.
    const filled = async () => {
      for (let round = 2; ; round++) await write(round);
    };
    await expect(filled()).rejects.toThrow("database space exceeded");
    await expect(write(0), "the alarm stays").rejects.toThrow("database space exceeded");
    const mended = await etcd.maintenance.maintain();
    expect(mended).toMatchObject({ wasFull: true, wasDefragmented: true });
    expect(mended.bytes).toBeLessThan(24 * mib);
    await etcd.call("kv/put", { key: "YQ==", value: "YQ==" });
  });
});

describe("a disk that is full", () => {
  test("the stores say so, lose nothing, and go on when there is room", async (context) => {
    const folder = mkdtempSync(join(tmpdir(), "st-disk-"));
    onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
    const disk = Disk.mount(context, folder, 24);
    const settings = { sqlite: { directory: disk.path } };
    const objects = new FolderStore(join(disk.path, "objects"));
    const history = await openHistory(settings);
    onTestFinished(async () => await history.close());
    const logs = await openLogStore({ settings, objects });
    onTestFinished(async () => await logs.shutdown());
    const now = new Date();
    const chunk = Buffer.from(`${"x".repeat(1023)}\n`.repeat(256));
    let acknowledged = await logs.append("a", 0, chunk, now);
    const text = (index: number) => `document ${index} ${"y".repeat(64 * 1024)}`;
    const digests = [await history.documents.put(text(0), now)];
    await disk.fill();

    const appendAll = async () => {
      for (;;) acknowledged = await logs.append("a", acknowledged, chunk, now);
    };
    const putAll = async () => {
      for (;;) digests.push(await history.documents.put(text(digests.length), now));
    };
    for (const [what, work] of [
      ["log", appendAll],
      ["document", putAll],
      ["object", async () => await objects.put("big", chunk)],
    ] as const) {
      const error = await work().catch((thrown: unknown) => thrown);
      expect(systemCodeOf(error), `${what}: ${String(error)}`).toBe("ENOSPC");
    }
    // Another write after the one that failed: no transaction was left open.
    await expect(history.documents.put(text(-1), now)).rejects.toSatisfy((error) => systemCodeOf(error) === "ENOSPC");
    expect(await history.documents.get(digests[0]!)).toBe(text(0));
    expect((await logs.info("a"))?.size).toBe(acknowledged);

    await disk.free();
    expect(await logs.append("a", acknowledged, chunk, now)).toBe(acknowledged + chunk.length);
    digests.push(await history.documents.put(text(digests.length), now));
    expect((await objects.put("big", chunk)).digest).toBe(`sha256:${createHash("sha256").update(chunk).digest("hex")}`);
    await logs.close("a", now);
    await logs.settled();
    let size = 0;
    for await (const bytes of await logs.read("a")) size += bytes.length;
    expect(size).toBe(acknowledged + chunk.length);
    for (const [index, digest] of digests.entries()) expect(await history.documents.get(digest)).toBe(text(index));
  });

  test("no new job, then no more uploads; what ran goes on as far as it can, and everything when there is room", async (context) => {
    let disk: Disk | undefined;
    const server = await TestServer.prepare(context, (home) => {
      disk = Disk.mount(context, home.data, 512);
      return { ".seatrial/ci.yml": job("true") };
    });
    const full = disk!;
    const config = join(server.home.cwd, "server.yaml");
    await writeFile(config, "disk: {jobsMiB: 120, uploadsMiB: 40}\n");
    const running = server.start(["up", "--executor", "host", "--config", config]);
    await running.says("serving");
    const file = (name: string) => join(server.home.cwd, name);
    const waiting = (name: string) => job(`echo begun; until [ -e ${file(name)} ]; do sleep 0.05; done; echo more; sleep 0.5`);
    const pushed = async (yaml: string) => (await server.runOf(await server.push({ ".seatrial/ci.yml": yaml }))).name;
    const first = await pushed(waiting("one"));
    await speaks(server, first);

    await full.fill(80);
    await running.says(/the disk of \S+ has \S+ MiB free: no job is started below 120 MiB/);
    const second = await pushed(job("true"));
    const sentence = /has \S+ MiB free: no job is started below 120 MiB/;
    await waitFor("the job to say why it waits", async () => sentence.test((await jobOf(server, second))?.message ?? "") || undefined, {
      timeoutMs: 20_000,
      pollMs: 50,
    });
    const ready = await fetch(`${server.url}/readyz`);
    expect([ready.status, await ready.text()]).toEqual([
      200,
      expect.stringMatching(/^ok control-plane\nok history\nwarning disk: .*120 MiB\n$/),
    ]);
    const metrics = await server.page("/metrics");
    expect(metrics).toMatch(/^seatrial_jobs\{phase="Waiting"\} 1$/m);
    expect(Number(/^seatrial_disk_free_bytes (\d+)$/m.exec(metrics)?.[1])).toBeLessThan(120 * mib);
    expect(metrics).toMatch(/^seatrial_api_writes_total\{kind="JobRun",verb="create",answer="ok"\} [1-9]/m);
    await writeFile(file("one"), "");
    expect((await server.ended(first)).run.verdict, "it ran already").toBe("passed");
    expect((await server.get<RunView>(`/api/v1/runs/${second}`)).run.phase).not.toBe("Finished");
    await full.free();
    expect((await server.ended(second)).run.verdict).toBe("passed");

    const third = await pushed(waiting("three"));
    await speaks(server, third);
    await full.fill(20);
    await running.says(/no log or artifact is taken, below 40 MiB/);
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503);
    await writeFile(file("three"), "");
    const ended = await server.ended(third);
    expect(ended.run.verdict).toBe("error");
    expect(ended.jobs[0]).toMatchObject({ cause: "host", message: expect.stringContaining("its log and artifacts cannot be stored") });

    // Nothing at all is left: what is asked of the history is answered, and what cannot be stored is stored later.
    await full.fill();
    const sha = await server.push({ ".seatrial/ci.yml": job("true") });
    await running.says(/ENOSPC|No space left|disk is full|database or disk/i);
    expect((await server.get<RunView>(`/api/v1/runs/${first}`)).run.verdict).toBe("passed");
    await full.free();
    expect((await server.ended((await server.runOf(sha)).name)).run.verdict).toBe("passed");
    await server.clean();
    running.child.kill("SIGTERM");
    await running.ended;
  });
});

function job(command: string): string {
  return `name: ci\non: push\njobs: {unit: {steps: [{run: ${JSON.stringify(command)}}]}}\n`;
}

async function jobOf(server: TestServer, run: string): Promise<JobView | undefined> {
  return (await server.get<RunView>(`/api/v1/runs/${run}`)).jobs[0] as JobView | undefined;
}

/** Waits until its only job has said something. */
async function speaks(server: TestServer, run: string): Promise<void> {
  const look = async () => {
    const name = (await jobOf(server, run))?.name;
    const log = name === undefined ? undefined : await fetch(`${server.url}/api/v1/jobs/${name}/log`);
    return log?.ok && (await log.text()).includes("begun\n") ? true : undefined;
  };
  await waitFor(`run ${run} to speak`, look, { timeoutMs: 30_000, pollMs: 50 });
}

/** An etcd for the test. */
async function startEtcd(flags: readonly string[]) {
  const programs = new Programs({ environment: scriptEnvironment() });
  onTestFinished(async () => await programs.close());
  const { path } = await programs.find({ name: "etcd" });
  const folder = mkdtempSync(join(tmpdir(), "st-etcd-"));
  onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  const [clients, peers] = ["unix://etcd.sock:0", "unix://peer.sock:0"];
  const urls = [
    `--listen-client-urls=${clients}`,
    `--advertise-client-urls=${clients}`,
    `--listen-peer-urls=${peers}`,
    `--initial-advertise-peer-urls=${peers}`,
  ];
  const args = ["--data-dir=data", "--unsafe-no-fsync=true", ...urls, `--initial-cluster=default=${peers}`, ...flags];
  const daemon = await startDaemon(path, args, { cwd: folder, env: { PATH: process.env["PATH"] }, logFile: join(folder, "log") });
  onTestFinished(async () => await stopDaemon(daemon));
  const socketPath = join(folder, "etcd.sock:0");
  const maintenance = new Etcd(socketPath);
  const agent = new Agent({ connect: { socketPath } });
  onTestFinished(async () => {
    await agent.destroy();
    await maintenance[Symbol.asyncDispose]();
  });
  await waitFor("etcd to answer", async () => await maintenance.size().catch(() => undefined), { timeoutMs: 20_000, pollMs: 50 });
  return {
    maintenance,
    file: join(folder, "data", "member", "snap", "db"),
    call: async (what: string, body: object): Promise<unknown> => {
      const answer = await agent.request({ origin: "http://localhost", path: `/v3/${what}`, method: "POST", body: JSON.stringify(body) });
      const text = await answer.body.text();
      if (answer.statusCode >= 300) throw new Error(text);
      return JSON.parse(text);
    },
  };
}
