/** The secret store's records in one JSON file of the data folder, mode 0600, written whole under a lock. */
import { join } from "node:path";
import { z } from "zod";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { lock } from "../process/lock.ts";
import { keyFromFile, type KeySource } from "./key.ts";
import { readIfThere, writePrivate } from "./private-file.ts";
import { type SecretRecord, secretRecordSchema } from "./record.ts";
import { type SecretBackend, SecretStore } from "./store.ts";

const fileSchema = z.strictObject({ version: z.literal(1), records: z.array(secretRecordSchema) });

/** The store of a data folder. @param keys where its key is, and older ones. Default: beside it. */
export function openSecrets(dataDir: string, keys?: { key: KeySource; oldKeys: readonly KeySource[] }): SecretStore {
  const backend = fileBackend(join(dataDir, "secrets.json"));
  return new SecretStore({ backend, key: keyBeside(dataDir, backend), ...keys, now: () => new Date() });
}

/** Made with the first secret; secrets without it have another, which is elsewhere. */
function keyBeside(dataDir: string, backend: SecretBackend): KeySource {
  const path = join(dataDir, "secrets.key");
  const read = keyFromFile(path);
  return async (signal) => {
    if ((await readIfThere(path)) === undefined && (await backend.read()).length > 0) {
      throw new SeatrialError("not-found", `there are secrets in ${dataDir}, and ${path}, their key, is not there`, {
        hint: "a server whose configuration says where the key is has it: start that; else restore the file from the backup",
      });
    }
    return await read(signal);
  };
}

/** A file that cannot be read is an error, never an empty store: it is not overwritten. */
export function fileBackend(path: string): SecretBackend {
  const read = async (): Promise<readonly SecretRecord[]> => {
    const text = await readIfThere(path);
    return text === undefined ? [] : parse(path, text);
  };
  return {
    read,
    async update(change, signal) {
      using _held = await lock(`${path}.lock`, `the secrets in ${path}`, signal);
      const records = await read();
      const changed = change(records);
      if (changed === records) return;
      const text = `${JSON.stringify({ version: 1, records: changed }, undefined, 1)}\n`;
      if (text.length > limits.secretsFileBytes) {
        throw new SeatrialError("refused", `${path} would be longer than ${limits.secretsFileBytes} bytes: no secret can be added`);
      }
      await writePrivate(path, text);
    },
  };
}

function parse(path: string, text: string): SecretRecord[] {
  try {
    return fileSchema.parse(JSON.parse(text)).records;
  } catch (cause) {
    throw new SeatrialError("invalid", `${path} is not a whole file of secrets; it was not touched`, {
      hint: "restore it from the backup, or move it away and set the secrets anew",
      cause,
    });
  }
}
