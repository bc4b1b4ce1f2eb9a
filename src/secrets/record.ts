/**
 * One secret as it is stored: AES-256-GCM with a random nonce. Its scope, name and key id are authenticated with it, so that a
 * record that is moved to another name or repository, or altered in any bit, is no secret any more.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { z } from "zod";
import { SeatrialError } from "../base/errors.ts";
import type { StoreKey } from "./key.ts";

/** Whose secrets: every repository's of this server, or one repository's, by the forge's own id of it. */
export type SecretScope = "server" | RepositoryScope;

export interface RepositoryScope {
  forge: string;
  repositoryId: string;
}

export const secretRecordSchema = z.strictObject({
  scope: z.union([z.literal("server"), z.strictObject({ forge: z.string(), repositoryId: z.string() })]),
  /** Canonical. */
  name: z.string(),
  keyId: z.string(),
  /** All three in base64: 12 bytes, the value's length, 16 bytes. */
  nonce: z.string(),
  sealed: z.string(),
  tag: z.string(),
  createdAt: z.string(),
  updatedAt: z.string(),
});
export type SecretRecord = z.infer<typeof secretRecordSchema>;

type Identity = Pick<SecretRecord, "scope" | "name">;

export function isSameScope(a: SecretScope, b: SecretScope): boolean {
  if (a === "server" || b === "server") return a === b;
  return a.forge === b.forge && a.repositoryId === b.repositoryId;
}

/** For messages: `the server`, `repository local/7`. */
export function formatScope(scope: SecretScope): string {
  return scope === "server" ? "the server" : `repository ${scope.forge}/${scope.repositoryId}`;
}

/** Encrypts a value for one scope and name. */
export function seal(identity: Identity, value: string, key: StoreKey): Pick<SecretRecord, "keyId" | "nonce" | "sealed" | "tag"> {
  // Random, not injected: the same nonce twice under one key would give both values away.
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key.secret, nonce);
  cipher.setAAD(associated(identity, key.id));
  const sealed = Buffer.concat([cipher.update(value, "utf8"), cipher.final()]);
  return {
    keyId: key.id,
    nonce: nonce.toString("base64"),
    sealed: sealed.toString("base64"),
    tag: cipher.getAuthTag().toString("base64"),
  };
}

/** Gives the value of a record. @throws SeatrialError `not-found` when its key is not among those given, `invalid` when it was tampered with. */
export function unseal(record: SecretRecord, keys: readonly StoreKey[]): string {
  const what = `secret ${record.name} of ${formatScope(record.scope)}`;
  const key = keys.find(({ id }) => id === record.keyId);
  if (!key) {
    throw new SeatrialError("not-found", `${what} was encrypted with key ${record.keyId}; given: ${keys.map(({ id }) => id).join(", ")}`, {
      hint: "give that key as an old one, or set the secret anew",
    });
  }
  try {
    const decipher = createDecipheriv("aes-256-gcm", key.secret, Buffer.from(record.nonce, "base64"), { authTagLength: 16 });
    decipher.setAAD(associated(record, key.id));
    decipher.setAuthTag(Buffer.from(record.tag, "base64"));
    return Buffer.concat([decipher.update(Buffer.from(record.sealed, "base64")), decipher.final()]).toString("utf8");
  } catch (cause) {
    throw new SeatrialError("invalid", `${what} cannot be decrypted: its record was altered, or moved there from another name or scope`, {
      hint: "set it anew",
      cause,
    });
  }
}

/** A list in JSON: no two identities have the same text. */
function associated({ scope, name }: Identity, keyId: string): Buffer {
  const whose = scope === "server" ? [] : [scope.forge, scope.repositoryId];
  return Buffer.from(JSON.stringify(["seatrial-secret-1", whose, name, keyId]));
}
