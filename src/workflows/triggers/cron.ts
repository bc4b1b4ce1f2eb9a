/**
 * Cron expressions, as POSIX and GitHub have them, and when they come in a time zone.
 *
 * Times are those of the zone's clocks. When these are put forward, what would have come in the hour that is left out comes once, at the
 * first minute after it (GitHub's rule); when they are put back, what comes in the hour that is twice comes the first time alone.
 * A schedule of every hour goes by time that passes instead: it skips no hour and adds none.
 */
import { limits } from "../../base/limits.ts";

export interface Cron {
  /** As it was written: `github.event.schedule`. */
  text: string;
  minutes: readonly number[];
  hours: readonly number[];
  daysOfMonth: readonly number[];
  /** From 1. */
  months: readonly number[];
  /** From 0, which is Sunday. */
  daysOfWeek: readonly number[];
}

/** What is wrong with an expression, and at which of its characters. */
export interface CronMistake {
  offset: number;
  message: string;
}

interface Field {
  name: string;
  from: number;
  to: number;
  /** Words for the first values. */
  words?: readonly string[];
}

const fields: readonly Field[] = [
  { name: "minute", from: 0, to: 59 },
  { name: "hour", from: 0, to: 23 },
  { name: "day of the month", from: 1, to: 31 },
  { name: "month", from: 1, to: 12, words: ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"] },
  { name: "day of the week", from: 0, to: 6, words: ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] },
];

const shorthands: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};

/** Pure. Five fields of `*`, numbers, names, ranges `a-b`, steps `a-b/n`, `*\/n` and `a/n`, lists of them. */
export function parseCron(text: string): Cron | CronMistake {
  const at = text.search(/\S/);
  if (text.trimStart().startsWith("@")) {
    const same = shorthands[text.trim().toLowerCase()];
    return { offset: at, message: `${text.trim()} is not cron's, and GitHub does not take it${same ? `: write ${same}` : ""}` };
  }
  const parts = [...text.matchAll(/\S+/g)];
  if (parts.length !== fields.length) {
    const order = fields.map(({ name }) => name).join(", ");
    return { offset: parts[fields.length]?.index ?? Math.max(at, 0), message: `has ${parts.length} fields, and cron has five: ${order}` };
  }
  const values: number[][] = [];
  for (const [i, part] of parts.entries()) {
    const read = parseField(fields[i]!, part[0]);
    if ("message" in read) return { offset: part.index + read.offset, message: read.message };
    values.push(read);
  }
  const [minutes, hours, daysOfMonth, months, daysOfWeek] = values as [number[], number[], number[], number[], number[]];
  const cron: Cron = { text, minutes, hours, daysOfMonth, months, daysOfWeek };
  if (isAll(daysOfWeek, 4) && !months.some((month) => daysOfMonth[0]! <= longest[month - 1]!)) {
    return { offset: parts[2]!.index, message: `never comes: no month that it names has a day ${daysOfMonth[0]}` };
  }
  return cron;
}

const longest = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function isAll(values: readonly number[], field: number): boolean {
  return values.length === fields[field]!.to - fields[field]!.from + 1;
}

/** The values of a field, in order, each once. */
function parseField(field: Field, text: string): number[] | CronMistake {
  const { name, from, to, words } = field;
  const values = new Set<number>();
  let offset = 0;
  const mistake = (message: string): CronMistake => ({ offset, message });
  for (const item of text.split(",")) {
    const [, first = "", last, step] = /^([^/-]*)(?:-([^/]*))?(?:\/(.*))?$/s.exec(item) ?? [];
    const numbers = [first, ...(last === undefined ? [] : [last])].map((word) => {
      const known = words?.indexOf(word.toUpperCase()) ?? -1;
      return known >= 0 ? known + from : /^\d{1,4}$/.test(word) ? Number(word) : NaN;
    });
    const isStar = item === "*" || item.startsWith("*/");
    const wrong = isStar ? -1 : numbers.findIndex((number) => !(number >= from && number <= to));
    if (wrong >= 0) {
      const hint =
        name === "day of the week" && numbers[wrong] === 7 ? "; Sunday is 0" : words ? `, or ${words[0]} to ${words.at(-1)}` : "";
      return mistake(`${name} ${JSON.stringify(item.slice(0, 40))} must be from ${from} to ${to}${hint}`);
    }
    const [low, high] = isStar ? [from, to] : [numbers[0]!, numbers[1] ?? (step === undefined ? numbers[0]! : to)];
    if (low > high) return mistake(`${name} ${item} goes backwards: write ${low}-${to},${from}-${high}`);
    if (step !== undefined && !(/^\d{1,4}$/.test(step) && Number(step) >= 1)) return mistake(`${name} ${item}: a step is a number from 1`);
    for (let value = low; value <= high; value += Number(step ?? 1)) values.add(value);
    offset += item.length + 1;
  }
  return [...values].toSorted((a, b) => a - b);
}

/** Undefined when it is a time zone; else what is wrong with it, as the end of a sentence. */
export function timeZoneMistake(name: string): "is not a time zone that is known" | undefined {
  try {
    // Offsets, which Intl would take, are no names of zones.
    if (/^[A-Za-z]/.test(name) && formatterOf(name)) return undefined;
  } catch {
    // A RangeError says that there is none.
  }
  return "is not a time zone that is known";
}

/** The first time after the given one; whole minutes. @param timeZone a name for which {@link timeZoneMistake} has nothing to say. */
export function nextTick(cron: Cron, timeZone: string, after: Date): Date {
  const tick = walk(cron, timeZone, after, 1, (ticks) => ticks.find((each) => each > after.getTime()));
  if (tick === undefined) throw new Error(`cron ${cron.text} never comes`);
  return new Date(tick);
}

/** The last time up to the given one, itself included. */
export function lastTick(cron: Cron, timeZone: string, until: Date): Date {
  const tick = walk(cron, timeZone, until, -1, (ticks) => ticks.findLast((each) => each <= until.getTime()));
  if (tick === undefined) throw new Error(`cron ${cron.text} never comes`);
  return new Date(tick);
}

/** Looks at one day after the other, from one before it should be: clocks may differ by a day from UTC. */
function walk(
  cron: Cron,
  timeZone: string,
  from: Date,
  direction: 1 | -1,
  choose: (ticks: number[]) => number | undefined,
): number | undefined {
  const start = Math.floor((from.getTime() + offsetAt(timeZone, from.getTime())) / dayMs) * dayMs;
  for (let day = -1; day < limits.cronDays; day++) {
    const date = new Date(start + direction * day * dayMs);
    if (!isOn(cron, date)) continue;
    const found = choose(ticksOf(cron, timeZone, date.getTime()));
    if (found !== undefined) return found;
  }
  return undefined;
}

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

/** @param date a day of the zone's calendar, as midnight of UTC. */
function isOn({ months, daysOfMonth, daysOfWeek }: Cron, date: Date): boolean {
  if (!months.includes(date.getUTCMonth() + 1)) return false;
  const isDay = daysOfMonth.includes(date.getUTCDate());
  const isWeekday = daysOfWeek.includes(date.getUTCDay());
  // POSIX: when both are said, one is enough.
  return isAll(daysOfMonth, 2) || isAll(daysOfWeek, 4) ? isDay && isWeekday : isDay || isWeekday;
}

/** All times of a day of the zone's calendar, in order. */
function ticksOf({ minutes, hours }: Cron, timeZone: string, day: number): number[] {
  const offset = offsetAt(timeZone, day - dayMs);
  const isPlain = offset === offsetAt(timeZone, day + 2 * dayMs);
  const isEveryHour = isAll(hours, 1);
  const ticks = new Set<number>();
  for (const hour of hours) {
    for (const minute of minutes) {
      const local = day + (hour * 60 + minute) * minuteMs;
      if (isPlain) ticks.add(local - offset);
      else for (const tick of timesOf(local, timeZone, isEveryHour)) ticks.add(tick);
    }
  }
  return [...ticks].toSorted((a, b) => a - b);
}

/** When the clocks of a zone show a time, which they may do twice or not at all. */
function timesOf(local: number, timeZone: string, isEveryHour: boolean): number[] {
  const offsets = [offsetAt(timeZone, local - dayMs), offsetAt(timeZone, local + dayMs)] as const;
  const times = [...new Set(offsets.map((offset) => local - offset))].filter((time) => time + offsetAt(timeZone, time) === local);
  if (times.length > 0 || isEveryHour) return isEveryHour ? times : [Math.min(...times)];
  // Left out: the clocks were put forward between these two.
  let [before, after] = [local - Math.max(...offsets), local - Math.min(...offsets)];
  while (after - before > minuteMs) {
    const middle = Math.floor((before + after) / 2 / minuteMs) * minuteMs;
    if (offsetAt(timeZone, middle) === offsets[0]) before = middle;
    else after = middle;
  }
  return [after];
}

const formatters = new Map<string, Intl.DateTimeFormat>();

/** @throws RangeError when there is no such zone. */
function formatterOf(timeZone: string): Intl.DateTimeFormat {
  let formatter = formatters.get(timeZone);
  if (!formatter) {
    const numeric = "numeric";
    const parts = { year: numeric, month: numeric, day: numeric, hour: numeric, minute: numeric, second: numeric } as const;
    formatter = new Intl.DateTimeFormat("en-US", { timeZone, hourCycle: "h23", era: "short", ...parts });
    formatters.set(timeZone, formatter); // There are some hundred zones.
  }
  return formatter;
}

/** By how much the clocks of a zone are ahead of UTC, in milliseconds, at a time of whole minutes or between. */
function offsetAt(timeZone: string, time: number): number {
  if (timeZone === "UTC") return 0;
  const at = Math.floor(time / 1000) * 1000;
  const parts = Object.fromEntries(
    formatterOf(timeZone)
      .formatToParts(at)
      .map(({ type, value }) => [type, Number(value)]),
  ) as Record<"year" | "month" | "day" | "hour" | "minute" | "second", number>;
  return Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second) - at;
}
