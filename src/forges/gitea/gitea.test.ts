/** What anybody can send to the door for Gitea's webhooks. What a real Gitea sends is in test/e2e/forges.e2e.ts. */
import { createHmac } from "node:crypto";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { SeatrialError } from "../../base/errors.ts";
import { Gitea } from "./gitea.ts";

const secret = "the webhook's secret";
const sha = "1".repeat(40);
const names = { repository: { id: 7, full_name: "owner/project" }, sender: { id: 3, login: "somebody" } };
const valid: [event: string, payload: object][] = [
  ["push", { ref: "refs/heads/main", before: sha, after: sha, ...names }],
  ["delete", { ref: "topic", ref_type: "branch", ...names }],
  ["release", { action: "published", release: { tag_name: "v1", prerelease: false, draft: false }, ...names }],
  [
    "pull_request",
    {
      action: "opened",
      pull_request: {
        number: 5,
        user: { id: 4, login: "author" },
        base: { ref: "main", sha },
        head: { label: "topic", ref: "topic", sha, repo_id: 9, repo: { owner: { id: 4 } } },
      },
      ...names,
    },
  ],
];

function gitea(): Gitea {
  const forge = new Gitea({ name: "lab", url: "http://127.0.0.1:1", token: "t", secrets: [secret], now: () => new Date() });
  onTestFinished(async () => await forge.close());
  return forge;
}

const sign = (body: Uint8Array) => createHmac("sha256", secret).update(body).digest("hex");
const signed = (event: string, body: Uint8Array, id = "1-a") =>
  new Headers({ "x-gitea-event": event, "x-gitea-delivery": id, "x-gitea-signature": sign(body) });

/** The event, `invalid`, or whatever else was thrown. */
function heard(forge: Gitea, headers: Headers, body: Uint8Array): string {
  try {
    return forge.parse(forge.verify(headers, body)).event;
  } catch (error) {
    if (error instanceof SeatrialError) return error.code;
    throw error;
  }
}

/** Bytes of a valid delivery with some of them replaced, left out or doubled; or bytes of any kind. */
const bodies = fc.constantFrom(...valid).chain(([event, payload]) => {
  const bytes = Buffer.from(JSON.stringify(payload));
  const change = fc.record({ at: fc.nat(bytes.length - 1), length: fc.nat(20), by: fc.oneof(fc.uint8Array({ maxLength: 4 }), junk) });
  const mutilated = fc.array(change, { maxLength: 3 }).map((changes) => {
    let body = bytes;
    for (const { at, length, by } of changes) body = Buffer.concat([body.subarray(0, at), by, body.subarray(at + length)]);
    return body;
  });
  return fc.record({
    event: fc.constant(event),
    body: fc.oneof({ weight: 4, arbitrary: mutilated }, { weight: 1, arbitrary: fc.uint8Array() }),
  });
});
const junk = fc
  .constantFrom("null", "{}", "[]", "-1", "1e999", '"__proto__"', '"', "{", "\\u0000", "\ud800", '"x":', "9".repeat(30))
  .map((text) => Buffer.from(text));

test("deliveries as they should be are understood", () => {
  const forge = gitea();
  expect(
    valid.map(([event, payload]) =>
      heard(forge, signed(event, Buffer.from(JSON.stringify(payload))), Buffer.from(JSON.stringify(payload))),
    ),
  ).toEqual(["push", "push", "release", "pull_request"]);
});

test("what it tells in other words is said of the triggers that ask for it", () => {
  const forge = gitea();
  expect(forge.untold({ push: {}, release: { types: ["edited"] }, pull_request: { types: ["opened", "closed"] } })).toEqual([]);
  expect(forge.untold({ pull_request: { types: ["unlabeled"] } })).toEqual([
    expect.stringMatching(/^on\.pull_request\.types: Gitea tells /),
  ]);
});

test("whatever is signed is an event or invalid, and nothing else", () => {
  const forge = gitea();
  const seen = new Set<string>();
  fc.assert(
    fc.property(bodies, ({ event, body }) => {
      const end = heard(forge, signed(event, body), body);
      seen.add(end);
      expect(end).toMatch(/^(push|pull_request|release|ignored|invalid)$/);
    }),
    { numRuns: 2_000 },
  );
  expect([...seen].toSorted(), "the deliveries that were made up get far enough").toEqual([
    "ignored",
    "invalid",
    "pull_request",
    "push",
    "release",
  ]);
});

test("names and events of any kind are taken or invalid, and never part of a path", () => {
  const forge = gitea();
  const body = Buffer.from(JSON.stringify(valid[0]![1]));
  const text = fc.string({ unit: "binary-ascii" }).map((each) => each.replaceAll(/[^\x20-\x7e]/g, ""));
  fc.assert(
    fc.property(text, text, (event, id) => {
      try {
        const delivery = forge.verify(signed(event, body, id), body);
        expect(`${delivery.event}/${delivery.id}`).toMatch(/^\w+\/[\w-]+$/);
      } catch (error) {
        expect(error).toMatchObject({ name: "SeatrialError", code: "invalid" });
      }
    }),
    { numRuns: 500 },
  );
});

test("a body or a signature that differs in one bit is refused, before anything of it is read", () => {
  const forge = gitea();
  const [event, payload] = valid[0]!;
  const body = Buffer.from(JSON.stringify(payload));
  fc.assert(
    fc.property(fc.nat(body.length * 8 - 1), fc.boolean(), (bit, isBody) => {
      const sent = Buffer.from(body);
      const headers = signed(event, body);
      if (isBody) sent[bit >> 3]! ^= 1 << (bit & 7);
      else {
        const signature = Buffer.from(sign(body), "hex");
        signature[(bit >> 3) % signature.length]! ^= 1 << (bit & 7);
        headers.set("x-gitea-signature", signature.toString("hex"));
      }
      expect(heard(forge, headers, sent)).toBe("refused");
    }),
    { numRuns: 500 },
  );
});
