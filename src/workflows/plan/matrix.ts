/**
 * The cells of a matrix, by GitHub's rules:
 * 1. all combinations of the keys' lists, the last key turning fastest;
 * 2. without those that an `exclude` matches, where part of a combination, or of an object in it, is enough;
 * 3. each `include` adds its other keys to every combination whose own keys it does not contradict (a later one may
 *    overwrite what an earlier one added), and becomes a cell of its own where it could be added to none.
 */
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { shown } from "../../resources/schema.ts";
import { didYouMean } from "../../resources/suggest.ts";
import { isEqual, type Json, textOf } from "../expressions/expressions.ts";

type JsonObject = Readonly<Record<string, Json>>;

export interface Cell {
  /** What `matrix` is in expressions. */
  values: JsonObject;
  /** What tells it from the others in its name; what an `include` added to a combination does not. */
  labels: readonly string[];
}

/**
 * @param matrix the value of `strategy.matrix`, with its expressions evaluated.
 * @throws SeatrialError `invalid` when it is no matrix, or one of no cells or of more than 256.
 */
export function expandMatrix(matrix: Json): Cell[] {
  if (!isObject(matrix)) throw invalid(`must be an object of lists, and is ${shown(matrix)}`);
  const { include: includeValue, exclude: excludeValue, ...rest } = matrix;
  const vectors = Object.entries(rest).map(([key, list]): [string, readonly Json[]] => {
    if (!Array.isArray(list)) throw invalid(`${key} must be a list, and is ${shown(list)}`);
    if (list.length === 0) throw invalid(`${key} is an empty list: there is nothing to combine`);
    return [key, list as Json[]];
  });
  const keys = new Set(vectors.map(([key]) => key));
  const include = objectsOf(includeValue, "include");
  const exclude = objectsOf(excludeValue, "exclude");
  for (const key of exclude.flatMap((one) => Object.keys(one))) {
    if (!keys.has(key)) throw invalid(`exclude: ${key} is not a key of the matrix${didYouMean(key, keys)}`);
  }
  if (vectors.length === 0 && include.length === 0) throw invalid("must have at least one list, or an include");

  const count = vectors.length === 0 ? 0 : vectors.reduce((product, [, list]) => product * list.length, 1);
  if (count > limits.matrixCombinations || (count > limits.matrixCells && exclude.length === 0)) throw tooMany(count);
  const filters = JSON.stringify([include, exclude]);
  const isSlow = JSON.stringify(matrix).includes("ı");
  if (count * filters.length * (isSlow ? 16 : 1) > limits.expressionWork)
    throw invalid(`include and exclude are too much for ${count} combinations`);
  const includes = include.map((one) => ({
    filter: pick(one, (key) => keys.has(key)),
    extra: pick(one, (key) => !keys.has(key)),
    isUsed: false,
  }));

  const cells: Cell[] = [];
  for (let index = 0; index < count; index++) {
    const own = combination(vectors, index);
    if (exclude.some((filter) => isMatch(filter, own))) continue;
    let extra: JsonObject = {};
    for (const one of includes) {
      if (!isMatch(one.filter, own)) continue;
      one.isUsed = true;
      extra = { ...extra, ...one.extra };
    }
    cells.push({ values: { ...own, ...extra }, labels: labelsOf(own) });
  }
  for (const { filter, extra, isUsed } of includes) {
    const values = { ...filter, ...extra };
    if (!isUsed) cells.push({ values, labels: labelsOf(values) });
  }
  if (cells.length > limits.matrixCells) throw tooMany(cells.length);
  if (cells.length === 0) throw invalid("exclude leaves nothing of it");
  return cells;
}

/** A job's name with its cell, as GitHub makes it: `job (a, b)`, in at most 100 characters. */
export function cellName(job: string, labels: readonly string[]): string {
  const name = labels.length === 0 ? job : `${job} (${labels.join(", ")})`;
  return name.length > 100 ? `${name.slice(0, 97)}...` : name;
}

/** The plain values of a cell, in order, those inside of objects and lists too. */
export function labelsOf(value: Json): string[] {
  if (value !== null && typeof value === "object") return Object.values(value).flatMap(labelsOf);
  const text = textOf(value);
  return text === "" ? [] : [text];
}

/** Number `index` of all combinations. */
function combination(vectors: readonly [string, readonly Json[]][], index: number): JsonObject {
  const picked: [string, Json][] = [];
  let left = index;
  for (const [key, list] of vectors.toReversed()) {
    picked.unshift([key, list[left % list.length]!]);
    left = Math.floor(left / list.length);
  }
  return Object.fromEntries(picked);
}

/** Whether each plain value of the filter, however deep, is equal to what the value has in its place. */
function isMatch(filter: Json, value: Json | undefined): boolean {
  if (filter === null || typeof filter !== "object") return isEqual(filter, value ?? null);
  return Object.entries(filter).every(([key, part]: [string, Json]) => isMatch(part, partOf(value, key)));
}

function partOf(value: Json | undefined, key: string): Json | undefined {
  return value !== null && typeof value === "object" && Object.hasOwn(value, key) ? (value as JsonObject)[key] : undefined;
}

function pick(object: JsonObject, wanted: (key: string) => boolean): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([key]) => wanted(key)));
}

function objectsOf(value: Json | undefined, name: string): JsonObject[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw invalid(`${name} must be a list, and is ${shown(value)}`);
  return (value as Json[]).map((one, i) => {
    if (!isObject(one)) throw invalid(`${name}[${i}] must be an object, and is ${shown(one)}`);
    if (Object.keys(one).length === 0) throw invalid(`${name}[${i}] is empty`);
    return one;
  });
}

function isObject(value: Json): value is JsonObject {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function invalid(message: string): SeatrialError {
  return new SeatrialError("invalid", message);
}

function tooMany(count: number): SeatrialError {
  return invalid(`has ${count} cells, and a job can have at most ${limits.matrixCells}`);
}
