/**
 * The key of the secret store, and where it comes from. It is 32 random bytes; in files and variables it is written in
 * base64. Losing it loses every secret: it belongs in the backup, and not beside the store's file there.
 */
import { createHmac, createSecretKey, type KeyObject, randomBytes } from "node:crypto";
import { stat } from "node:fs/promises";
import { SeatrialError } from "../base/errors.ts";
import { lock } from "../process/lock.ts";
import { readIfThere, writePrivate } from "./private-file.ts";

export interface StoreKey {
  /** Tells keys apart, kept with each record; says nothing of the key. */
  readonly id: string;
  /** Prints as nothing: Node does not show what a KeyObject holds. */
  readonly secret: KeyObject;
}

/** Called before each use of the store: it may read anew or remember. @throws SeatrialError that tells where the key was looked for. */
export type KeySource = (signal?: AbortSignal) => Promise<StoreKey>;

const keyBytes = 32;

/** The key in a file with mode 0600; made when it is not there. Safe to call from several processes at once. */
export function keyFromFile(path: string): KeySource {
  return async (signal) => {
    const there = await readIfThere(path);
    if (there !== undefined) return await checkedFile(path, there);
    using _held = await lock(`${path}.lock`, `key ${path}`, signal);
    const made = await readIfThere(path);
    if (made !== undefined) return await checkedFile(path, made);
    const bytes = randomBytes(keyBytes);
    await writePrivate(path, `${bytes.toString("base64")}\n`);
    return keyOf(bytes);
  };
}

function oldKeyFromFile(path: string): KeySource {
  return async () => {
    const there = await readIfThere(path);
    if (there !== undefined) return await checkedFile(path, there);
    throw new SeatrialError("not-found", `an old key of the secret store was looked for in ${path}, which is not there`, {
      hint: "once nothing is under it any more, take it out of the configuration",
    });
  };
}

async function checkedFile(path: string, text: string): Promise<StoreKey> {
  if (((await stat(path)).mode & 0o077) !== 0) {
    throw new SeatrialError("refused", `the key of the secret store, ${path}, can be read or written by others`, {
      hint: `chmod 600 ${path}`,
    });
  }
  return parseKey(text, path);
}

/** The key in the value of an environment variable, in base64. @param variable its name, for errors. */
export function keyFromVariable(variable: string, value: string | undefined): KeySource {
  return async () => {
    if (value === undefined || value === "") {
      throw new SeatrialError("not-found", `the key of the secret store was looked for in ${variable}, which is not set`, {
        hint: howToMake,
      });
    }
    return parseKey(value, variable);
  };
}

/**
 * The key in a field of a Kubernetes Secret, in base64 or as its bytes.
 * @param where names it, for errors: `Secret seatrial/keys`.
 * @param read gives the Secret's `data` as the API does (base64), undefined when there is no such Secret.
 */
export function keyFromSecret(
  where: string,
  field: string,
  read: (signal?: AbortSignal) => Promise<Readonly<Record<string, string>> | undefined>,
): KeySource {
  return async (signal) => {
    const data = (await read(signal))?.[field];
    if (data === undefined) {
      throw new SeatrialError("not-found", `the key of the secret store was looked for in ${where}, which has no ${field}`, {
        hint: howToMake,
      });
    }
    const bytes = Buffer.from(data, "base64");
    return bytes.length === keyBytes ? keyOf(bytes) : parseKey(bytes.toString("utf8"), where);
  };
}

/** Where a key is kept, as the server's configuration says it: one of the three. */
export interface KeyPlace {
  /** Path of a file; made when it is not there. */
  file?: string | undefined;
  /** Name of an environment variable. */
  variable?: string | undefined;
  /** A Secret of the cluster that keeps the server's resources. */
  secret?: { namespace?: string | undefined; name: string; field: string } | undefined;
}

export interface KeyPlaces {
  variables: Readonly<Record<string, string | undefined>>;
  /** The namespace of Secrets that name none. */
  namespace: string;
  /** A Secret's `data`; undefined when there is none. */
  readSecret(namespace: string, name: string, signal?: AbortSignal): Promise<Readonly<Record<string, string>> | undefined>;
}

/** @param isOld whether it must be there: a new one in the place of an old one opens nothing. */
export function keyAt(
  { file, variable, secret }: KeyPlace,
  { variables, namespace: standard, readSecret }: KeyPlaces,
  isOld = false,
): KeySource {
  if (file !== undefined) return isOld ? oldKeyFromFile(file) : keyFromFile(file);
  if (variable !== undefined) return keyFromVariable(variable, variables[variable]);
  const { namespace = standard, name, field } = secret!;
  return keyFromSecret(`Secret ${namespace}/${name}`, field, async (signal) => await readSecret(namespace, name, signal));
}

const howToMake = "openssl rand -base64 32 makes a key";

function parseKey(text: string, where: string): StoreKey {
  const bytes = Buffer.from(text.trim(), "base64");
  if (bytes.length !== keyBytes || !/^[\w+/-]+=*$/.test(text.trim())) {
    throw new SeatrialError("invalid", `the key of the secret store, in ${where}, is not ${keyBytes} bytes in base64`, {
      hint: `restore it from the backup; for a store without secrets, ${howToMake}`,
    });
  }
  return keyOf(bytes);
}

function keyOf(bytes: Buffer): StoreKey {
  const id = createHmac("sha256", bytes).update("seatrial secret store: key id").digest("hex").slice(0, 16);
  return { id, secret: createSecretKey(bytes) };
}
