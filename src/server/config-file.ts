/** A configuration in YAML: read, checked by its schema, and all that is wrong with it told at once. */
import { readFile } from "node:fs/promises";
import { LineCounter, parseDocument } from "yaml";
import type { z } from "zod";
import { InvalidError, messageOf, SeatrialError, systemCodeOf } from "../base/errors.ts";
import { formatPath } from "../resources/finding.ts";
import { findingsOf } from "../resources/schema.ts";

/**
 * @param isOptional whether there need be no such file: then undefined.
 * @throws InvalidError with all that is wrong with the file; SeatrialError `usage` when it cannot be read.
 */
export async function readConfigFile<Schema extends z.ZodType>(
  file: string,
  schema: Schema,
  { isOptional }: { isOptional: true },
): Promise<z.infer<Schema> | undefined>;
export async function readConfigFile<Schema extends z.ZodType>(file: string, schema: Schema): Promise<z.infer<Schema>>;
export async function readConfigFile<Schema extends z.ZodType>(
  file: string,
  schema: Schema,
  { isOptional }: { isOptional: boolean } = { isOptional: false },
): Promise<z.infer<Schema> | undefined> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    if (isOptional && systemCodeOf(error) === "ENOENT") return undefined;
    throw new SeatrialError("usage", `cannot read the configuration: ${messageOf(error)}`, { cause: error });
  });
  if (text === undefined) return undefined;
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  if (document.errors.length > 0) {
    throw new InvalidError(
      document.errors.map(({ message, pos }) => {
        const { line, col } = lineCounter.linePos(pos[0]);
        return { place: { file, line, column: col }, path: "", message };
      }),
    );
  }
  const value: unknown = document.toJS() ?? {};
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new InvalidError(
    findingsOf(parsed.error, schema, value).map(({ path, message }) => ({ path: `${file}: ${formatPath(path)}`, message })),
  );
}
