import { expect, test } from "vitest";
import { limits } from "../../base/limits.ts";
import { ApiError } from "../../kube/api-error.ts";
import type { Leadership } from "./epochs.ts";
import { type Lease, type LeaseStore, runAsLeader } from "./lease.ts";
import { ManualClock, settled } from "./manual-clock.ts";

/** A Lease in memory, with the preconditions of the API. */
class FakeLease implements LeaseStore {
  lease: Lease | undefined;
  /** Called before each write that would succeed; may throw instead of an answer. */
  before: (holder: string) => Promise<void> = async () => await Promise.resolve();
  /** As `before`, after it has happened. */
  after: (holder: string) => void = () => {};
  #version = 0;

  async read(): Promise<Lease | undefined> {
    return await Promise.resolve(this.lease);
  }

  async write(lease: Omit<Lease, "resourceVersion">, read: Lease | undefined): Promise<Lease> {
    await this.before(lease.holder);
    if (this.lease?.resourceVersion !== read?.resourceVersion) throw new ApiError("conflict", "changed meanwhile");
    this.lease = { ...lease, resourceVersion: String(++this.#version) };
    const written = this.lease;
    this.after(lease.holder);
    return await Promise.resolve(written);
  }
}

/** Candidates on one Lease; time is turned by hand, for each candidate apart: clocks of machines have nothing in common. */
function setUp() {
  const lease = new FakeLease();
  const candidate = (identity: string, isDead?: (holder: string) => boolean) => {
    const clock = new ManualClock();
    const stop = new AbortController();
    const terms: Leadership[] = [];
    const troubles: string[] = [];
    const lead = async (leadership: Leadership) => {
      terms.push(leadership);
      const ends = AbortSignal.any([stop.signal, leadership.lost]);
      if (!ends.aborted) await new Promise((resolve) => ends.addEventListener("abort", resolve, { once: true }));
    };
    const onTrouble = (error: unknown) => troubles.push((error as Error).message);
    const running = runAsLeader({ lease, identity, clock, onTrouble, ...(isDead ? { isDead } : {}) }, lead, stop.signal);
    return {
      clock,
      terms,
      troubles,
      leads: () => terms.at(-1)?.isHeld() ?? false,
      stop: async () => {
        stop.abort();
        await running;
        expect(clock.nextMs).toBeUndefined();
      },
    };
  };
  const pass = async (ms: number, ...who: { clock: ManualClock }[]) => {
    // In small steps, so that they take turns.
    for (let left = ms; left > 0; left -= 500) for (const { clock } of who) await clock.advance(Math.min(500, left));
  };
  return { lease, candidate, pass };
}

test("one leads for as long as it renews; its epoch begins with the time of day", async () => {
  const { lease, candidate, pass } = setUp();
  const a = candidate("a");
  await settled();
  const b = candidate("b");
  await pass(10 * limits.leaseMs, a, b);
  expect([a.terms.length, b.terms.length, a.leads()]).toEqual([1, 0, true]);
  expect(lease.lease).toMatchObject({ holder: "a", epoch: Date.UTC(2026, 0, 1) / 1000 });
  await b.stop();
  await a.stop();
});

test("one that stops lets go, and the next need not wait; the epoch rises", async () => {
  const { lease, candidate, pass } = setUp();
  const a = candidate("a");
  await settled();
  const b = candidate("b");
  await pass(1_000, a, b);
  await a.stop();
  expect(a.leads()).toBe(false);
  expect(lease.lease).toMatchObject({ holder: "", epoch: a.terms[0]!.epoch });
  await pass(limits.leaseRenewMs, b);
  expect(b.leads()).toBe(true);
  expect(b.terms[0]!.epoch).toBe(a.terms[0]!.epoch + 1);
  await b.stop();
});

test("one that is stopped like by SIGSTOP notices at its next look at the clock, before a write; another has taken over", async () => {
  const { lease, candidate, pass } = setUp();
  const a = candidate("a");
  await settled();
  const b = candidate("b");
  await pass(4_000, a, b);
  await pass(limits.leaseMs - 1_000, b);
  expect(b.leads(), "not before the Lease has been silent for leaseMs").toBe(false);
  await pass(4_000, b);
  expect(b.leads()).toBe(true);
  // It is resumed: before any timer of it has run, its time has passed.
  a.clock.leap(limits.leaseMs + 3_000);
  expect(a.terms[0]!.isHeld()).toBe(false);
  expect((a.terms[0]!.lost.reason as Error).message).toBe("this server is not the leader any more: it could not be renewed in time");
  await pass(5 * limits.leaseMs, a, b);
  expect([a.terms.length, b.leads(), lease.lease?.holder]).toEqual([1, true, "b"]);
  expect(b.terms[0]!.epoch).toBeGreaterThan(a.terms[0]!.epoch);
  await b.stop();
  await pass(limits.leaseRenewMs, a);
  expect(
    a.terms.map(({ epoch }) => epoch - a.terms[0]!.epoch),
    "it campaigns again",
  ).toEqual([0, 2]);
  await a.stop();
});

test("one that cannot renew gives up before anybody may take over, however long an answer takes", async () => {
  const { lease, candidate, pass } = setUp();
  const a = candidate("a");
  await settled();
  const gate = Promise.withResolvers<void>();
  lease.before = async (holder) => (holder === "a" ? await gate.promise : undefined);
  await pass(limits.leaseHeldMs - 500, a);
  expect(a.leads()).toBe(true);
  await pass(500, a);
  expect(a.terms[0]!.lost.aborted).toBe(true); // By a timer of its own, without a look.
  gate.resolve(); // The answer comes too late.
  await settled();
  expect(a.terms[0]!.isHeld()).toBe(false);
  await a.stop();
});

test("trouble with the API is told, and does not end a term while there is time", async () => {
  const { lease, candidate, pass } = setUp();
  const a = candidate("a");
  await settled();
  let failures = 3;
  lease.before = async () =>
    await (failures-- > 0 ? Promise.reject(new ApiError("unreachable", `failure ${3 - failures}`)) : Promise.resolve());
  await pass(limits.leaseMs, a);
  expect([a.leads(), a.terms.length, a.troubles]).toEqual([true, 1, ["failure 1", "failure 2", "failure 3"]]);
  await a.stop();
});

test("a renewal whose answer was lost is no lost leadership", async () => {
  const { lease, candidate, pass } = setUp();
  const a = candidate("a");
  await settled();
  let isLost = true;
  lease.after = () => {
    if (isLost) {
      isLost = false;
      throw new ApiError("unreachable", "the answer was cut");
    }
  };
  await pass(3 * limits.leaseMs, a);
  expect([a.leads(), a.terms.length, a.troubles]).toEqual([true, 1, ["the answer was cut"]]);
  await a.stop();
});

test("one whose Lease another has taken stops at its next renewal", async () => {
  const { lease, candidate, pass } = setUp();
  const a = candidate("a");
  await settled();
  lease.lease = { holder: "somebody", epoch: lease.lease!.epoch + 5, resourceVersion: "taken" };
  await pass(limits.leaseRenewMs, a);
  expect((a.terms[0]!.lost.reason as Error).message).toBe("this server is not the leader any more: another server took over");
  await a.stop();
});

test.for([
  { name: "was deleted", change: () => undefined },
  { name: "lost its epoch", change: (lease: Lease) => ({ ...lease, holder: "", epoch: 0 }) },
])("after a Lease that $name the epoch is higher all the same", async ({ change }) => {
  const { lease, candidate, pass } = setUp();
  const a = candidate("a");
  await pass(5_000, a);
  await a.stop();
  lease.lease = change(lease.lease!);
  const b = candidate("b");
  b.clock.leap(3_600_000);
  await pass(limits.leaseRenewMs, b);
  expect(b.terms.at(-1)!.epoch).toBeGreaterThan(a.terms[0]!.epoch);
  await b.stop();
});

test("of candidates that start together one leads", async () => {
  const { candidate, pass } = setUp();
  const all = ["a", "b", "c", "d"].map((identity) => candidate(identity));
  await pass(5_000, ...all);
  expect(all.filter(({ leads }) => leads())).toHaveLength(1);
  expect(all.flatMap(({ troubles }) => troubles)).toEqual([]);
  await Promise.all(all.map(async ({ stop }) => await stop()));
});

test("nobody waits for a holder that is known to be dead", async () => {
  const { lease, candidate } = setUp();
  lease.lease = { holder: "here/killed", epoch: 7, resourceVersion: "1" };
  const next = candidate("here/next", (holder) => holder.startsWith("here/"));
  await settled();
  expect(next.leads()).toBe(true);
  expect(next.terms.at(-1)!.epoch).toBe(8);
  await next.stop();
});
