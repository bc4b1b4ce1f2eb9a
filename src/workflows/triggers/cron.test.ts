import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Cron, lastTick, nextTick, parseCron, timeZoneMistake } from "./cron.ts";

function cronOf(text: string): Cron {
  const read = parseCron(text);
  if ("message" in read) throw new Error(read.message);
  return read;
}
const next = (text: string, zone: string, after: string) => nextTick(cronOf(text), zone, new Date(after)).toISOString().slice(0, 16);
const last = (text: string, zone: string, until: string) => lastTick(cronOf(text), zone, new Date(until)).toISOString().slice(0, 16);

test.each<[text: string, field: keyof Omit<Cron, "text">, values: number[]]>([
  ["*/20 * * * *", "minutes", [0, 20, 40]],
  ["20/15 * * * *", "minutes", [20, 35, 50]],
  ["5,1,3-4,3 * * * *", "minutes", [1, 3, 4, 5]],
  ["0 8-18/5 * * *", "hours", [8, 13, 18]],
  ["0 0 1,15 * *", "daysOfMonth", [1, 15]],
  ["0 0 * jan,DEC *", "months", [1, 12]],
  ["0 0 * 6-AUG *", "months", [6, 7, 8]],
  ["0 0 * * MON-fri", "daysOfWeek", [1, 2, 3, 4, 5]],
  ["  0  0 * * 0 ", "daysOfWeek", [0]],
])("%s has the %s %j", (text, field, values) => {
  expect(cronOf(text)[field]).toEqual(values);
});

test.each<[text: string, offset: number, message: string]>([
  ["", 0, "has 0 fields, and cron has five: minute, hour, day of the month, month, day of the week"],
  ["0 0 * * * *", 10, "has 6 fields, and cron has five: minute, hour, day of the month, month, day of the week"],
  [" @Hourly", 1, "@Hourly is not cron's, and GitHub does not take it: write 0 * * * *"],
  ["@reboot", 0, "@reboot is not cron's, and GitHub does not take it"],
  ["60 * * * *", 0, 'minute "60" must be from 0 to 59'],
  ["0 1,24 * * *", 4, 'hour "24" must be from 0 to 23'],
  ["0 0 0 * *", 4, 'day of the month "0" must be from 1 to 31'],
  ["0 0 * 13 *", 6, 'month "13" must be from 1 to 12, or JAN to DEC'],
  ["0 0 * * 7", 8, 'day of the week "7" must be from 0 to 6; Sunday is 0'],
  ["0 0 * * MOM", 8, 'day of the week "MOM" must be from 0 to 6, or SUN to SAT'],
  ["0 22-6 * * *", 2, "hour 22-6 goes backwards: write 22-23,0-6"],
  ["*/0 * * * *", 0, "minute */0: a step is a number from 1"],
  ["1- * * * *", 0, 'minute "1-" must be from 0 to 59'],
  ["1,,2 * * * *", 2, 'minute "" must be from 0 to 59'],
  ["? * * * *", 0, 'minute "?" must be from 0 to 59'],
  ["0 0 L * *", 4, 'day of the month "L" must be from 1 to 31'],
  ["0 0 31 2,4 *", 4, "never comes: no month that it names has a day 31"],
])("%j is refused at %i: %s", (text, offset, message) => {
  expect(parseCron(text)).toEqual({ offset, message });
});

test.each([
  ["Europe/Berlin", undefined],
  ["UTC", undefined],
  ["Europe/Berln", "is not a time zone that is known"],
  ["+02:00", "is not a time zone that is known"],
  ["", "is not a time zone that is known"],
])("time zone %j", (name, mistake) => {
  expect(timeZoneMistake(name)).toBe(mistake);
});

describe("the next time", () => {
  const newYork = "America/New_York";
  test.each<[what: string, text: string, zone: string, after: string, expected: string]>([
    ["is after now, not now", "0 3 * * *", "UTC", "2026-01-01T03:00:00Z", "2026-01-02T03:00"],
    ["is in the same minute never", "* * * * *", "UTC", "2026-01-01T03:00:59.999Z", "2026-01-01T03:01"],
    ["crosses years", "0 0 1 1 *", "UTC", "2026-01-01T00:00:00Z", "2027-01-01T00:00"],
    ["29 February, eight years away", "0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T00:00"],
    ["of a weekday", "30 5 * * 1-5", "UTC", "2026-11-20T06:00:00Z", "2026-11-23T05:30"],
    ["of a day or a weekday, when both are said", "0 0 13 * 5", "UTC", "2026-11-14T00:00:00Z", "2026-11-20T00:00"],
    ["of a day and a weekday, when one is said as all", "0 0 13 * 0-6", "UTC", "2026-11-14T00:00:00Z", "2026-12-13T00:00"],
    ["in a zone ahead, on the day before", "0 3 1 * *", "Pacific/Auckland", "2026-06-15T00:00:00Z", "2026-06-30T15:00"],
    ["in a zone behind", "0 22 * * *", "America/Los_Angeles", "2026-07-01T00:00:00Z", "2026-07-01T05:00"],
    ["in a zone of half hours", "0 9 * * *", "Asia/Kolkata", "2026-07-01T00:00:00Z", "2026-07-01T03:30"],
    ["follows the clocks into summer", "0 9 * * *", "Europe/Berlin", "2026-03-28T08:00:00Z", "2026-03-29T07:00"],
    ["that is left out comes when the clocks go on", "30 2 * * *", newYork, "2026-03-08T05:00:00Z", "2026-03-08T07:00"],
    ["after one that was left out is the next day's", "30 2 * * *", newYork, "2026-03-08T07:00:00Z", "2026-03-09T06:30"],
    ["of several that are left out is one", "*/20 2 * * *", newYork, "2026-03-08T07:00:00Z", "2026-03-09T06:00"],
    ["that comes twice is the first", "30 1 * * *", newYork, "2026-11-01T00:00:00Z", "2026-11-01T05:30"],
    ["that comes twice is not the second", "30 1 * * *", newYork, "2026-11-01T05:30:00Z", "2026-11-02T06:30"],
    ["of every hour is not held up by an hour that is left out", "30 * * * *", newYork, "2026-03-08T06:30:00Z", "2026-03-08T07:30"],
    ["of every hour comes in both of an hour that is twice", "30 * * * *", newYork, "2026-11-01T05:30:00Z", "2026-11-01T06:30"],
    ["on a day that is left out", "0 12 30 12 *", "Pacific/Apia", "2011-12-29T12:00:00Z", "2011-12-30T10:00"],
    ["where summer is half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-03T15:30"],
  ])("%s", (_, text, zone, after, expected) => {
    expect(next(text, zone, after)).toBe(expected);
  });
});

test("the last time may be now", () => {
  expect(last("0 3 * * *", "UTC", "2026-01-02T03:00:00Z")).toBe("2026-01-02T03:00");
  expect(last("0 3 * * *", "UTC", "2026-01-02T02:59:59Z")).toBe("2026-01-01T03:00");
});

const zones = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo"];
/** A field with numbers of a range, in all forms. */
const field = (from: number, to: number) => {
  const number = fc.integer({ min: from, max: to });
  const range = fc.tuple(number, number).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`);
  const item = fc.oneof(
    number.map(String),
    range,
    fc.tuple(fc.oneof(range, fc.constant("*")), fc.integer({ min: 1, max: 9 })).map(([a, n]) => `${a}/${n}`),
  );
  return fc.oneof(
    fc.constant("*"),
    fc.array(item, { minLength: 1, maxLength: 3 }).map((items) => items.join(",")),
  );
};
const expressions = fc.tuple(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)).map((fields) => fields.join(" "));
const times = fc.date({ min: new Date("2005-01-01T00:00:00Z"), max: new Date("2045-01-01T00:00:00Z"), noInvalidDate: true });

test("any next time is after now, a whole minute, and the last one of itself; no other is between", () => {
  fc.assert(
    fc.property(expressions, fc.constantFrom(...zones), times, (text, zone, now) => {
      const cron = cronOf(text);
      const tick = nextTick(cron, zone, now);
      expect(tick.getTime()).toBeGreaterThan(now.getTime());
      expect(tick.getTime() % 60_000).toBe(0);
      expect(lastTick(cron, zone, tick)).toEqual(tick);
      const before = lastTick(cron, zone, now);
      expect(before.getTime()).toBeLessThanOrEqual(now.getTime());
      expect(nextTick(cron, zone, before)).toEqual(tick);
    }),
    { numRuns: 300 },
  );
});

test("in UTC the next time is the first minute whose fields fit", () => {
  fc.assert(
    fc.property(field(0, 59), field(0, 23), times, (minutes, hours, now) => {
      const cron = cronOf(`${minutes} ${hours} * * *`);
      let expected = Math.floor(now.getTime() / 60_000) * 60_000 + 60_000;
      while (!cron.minutes.includes(new Date(expected).getUTCMinutes()) || !cron.hours.includes(new Date(expected).getUTCHours()))
        expected += 60_000;
      expect(nextTick(cron, "UTC", now).getTime()).toBe(expected);
    }),
    { numRuns: 200 },
  );
});

test("whatever is written is a schedule or a mistake in it, and nothing else", () => {
  const words = fc.array(fc.constantFrom("*", "0", "5", "-", "/", ",", " ", "MON", "jan", "@", "60", "\t", "x"), { maxLength: 20 });
  fc.assert(
    fc.property(words, (parts) => {
      const text = parts.join("");
      const read = parseCron(text);
      if ("message" in read) expect(read.offset).toBeLessThanOrEqual(text.length);
      else expect(nextTick(read, "UTC", new Date(0)).getTime()).toBeGreaterThan(0);
    }),
    { numRuns: 1_000 },
  );
});
