/** Reads `on`: the events that start a workflow, and the filters of each. */
import type { Place } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { Path } from "../../resources/finding.ts";
import { anyOf, shown } from "../../resources/schema.ts";
import { didYouMean } from "../../resources/suggest.ts";
import { parseCron, timeZoneMistake } from "../triggers/cron.ts";
import { readInputs } from "../inputs.ts";
import { patternMistake } from "../triggers/pattern.ts";
import type { Node, Scalar } from "./tree.ts";
import {
  type BranchFilter,
  headTypes,
  type PathFilter,
  pullRequestTypes,
  type PushTrigger,
  releaseTypes,
  type ScheduleTrigger,
  type Triggers,
  untoldPullRequestTypes,
} from "../triggers/triggers.ts";
import { isNull, type Read, type ValueReader } from "./values.ts";

type Writable<T> = { -readonly [key in keyof T]: T[key] };

/** @param call reads `workflow_call`: which starts nothing by itself. */
export function readTriggers(reader: ValueReader, node: Node, path: Path, call: Read): Triggers {
  const on: Writable<Triggers> = {};
  const events: Record<string, Read> = {
    push: (value, at, place) => (on.push = readPush(reader, value, at, place)),
    pull_request: (value, at, place) => (on.pull_request = readPullRequest(reader, value, at, place)),
    merge_group: (value, at, place) => (on.merge_group = readMergeGroup(reader, value, at, place)),
    schedule: (value, at, place) => (on.schedule = readSchedule(reader, value, at, place)),
    workflow_dispatch: (value, at, place) => (on.workflow_dispatch = readDispatch(reader, value, at, place)),
    workflow_call: call,
    repository_dispatch: (value, at, place) => {
      on.repository_dispatch = {};
      readKeys(reader, value, "repository_dispatch", at, place, {
        types: (types, typesAt) => (on.repository_dispatch = { types: readNames(reader, types, typesAt).map(({ text }) => text) }),
      });
    },
    release: (value, at, place) => {
      on.release = { types: releaseTypes };
      readKeys(reader, value, "release", at, place, {
        types: (types, typesAt) => {
          const untold = { unpublished: "no forge that Seatrial knows tells of it" };
          on.release = { types: readTypes(reader, types, typesAt, releaseTypes, untold) };
        },
      });
    },
    create: (value, at, place) => {
      on.create = {};
      readKeys(reader, value, "create", at, place, {});
    },
    delete: (value, at, place) => {
      on.delete = {};
      readKeys(reader, value, "delete", at, place, {});
    },
  };
  if (node.kind === "map") {
    reader.keys(node, "on", path, node.place, events);
  } else {
    for (const name of reader.list(node, path)) {
      const event = reader.key("on", name.text, name.place, path);
      if (event) events[name.text]!({ ...name, value: null, text: "" }, path, name.place);
    }
  }
  if ((node.kind === "map" && node.entries.length === 0) || (node.kind === "list" && node.items.length === 0)) {
    reader.report(node.place, path, "must name an event: push, pull_request");
  }
  return on;
}

/** The keys of an event, which may be empty. */
function readKeys(reader: ValueReader, node: Node, event: string, path: Path, place: Place, keys: Record<string, Read>): void {
  if (isNull(node)) return;
  const empty = node.kind === "map" ? node.entries.filter(({ key, value }) => Object.hasOwn(keys, key) && isNull(value)) : [];
  // All of a list that are commented out: taken for absent, it would start on everything. Inputs are none then, which is what it says.
  for (const { key, place: at } of empty.filter(({ key }) => key !== "inputs"))
    reader.report(at, [...path, key], "is empty: leave it out, or name what is wanted");
  reader.keys(node, `on.${event}`, path, place, keys);
}

function readPush(reader: ValueReader, node: Node, path: Path, place: Place): PushTrigger {
  const push: Writable<PushTrigger> = {};
  readKeys(reader, node, "push", path, place, {
    ...branchKeys(reader, push),
    ...pathKeys(reader, push),
    tags: (value, at) => (push.tags = readPatterns(reader, value, at)),
    "tags-ignore": (value, at) => (push.tagsIgnore = readPatterns(reader, value, at, "tags")),
  });
  for (const name of ["branches", "tags", "paths"]) refuseBoth(reader, node, path, name);
  return push;
}

function readPullRequest(reader: ValueReader, node: Node, path: Path, place: Place): NonNullable<Triggers["pull_request"]> {
  const on: Writable<NonNullable<Triggers["pull_request"]>> = { types: headTypes };
  readKeys(reader, node, "pull_request", path, place, {
    ...branchKeys(reader, on),
    ...pathKeys(reader, on),
    types: (value, at) => (on.types = readTypes(reader, value, at, pullRequestTypes, untoldPullRequestTypes)),
  });
  for (const name of ["branches", "paths"]) refuseBoth(reader, node, path, name);
  return on;
}

function readMergeGroup(reader: ValueReader, node: Node, path: Path, place: Place): BranchFilter {
  const group: Writable<BranchFilter> = {};
  reader.notice(place, path, "no forge that Seatrial knows has a merge queue: it starts nothing by itself");
  readKeys(reader, node, "merge_group", path, place, {
    ...branchKeys(reader, group),
    types: (value, at) => void readTypes(reader, value, at, ["checks_requested"], {}),
  });
  refuseBoth(reader, node, path, "branches");
  return group;
}

function readDispatch(reader: ValueReader, node: Node, path: Path, place: Place): NonNullable<Triggers["workflow_dispatch"]> {
  let inputs: NonNullable<Triggers["workflow_dispatch"]>["inputs"] = {};
  readKeys(reader, node, "workflow_dispatch", path, place, {
    inputs: (value, at, where) => (inputs = readInputs(reader, value, at, where, "on.workflow_dispatch.inputs")),
  });
  return { inputs };
}

function readSchedule(reader: ValueReader, node: Node, path: Path, place: Place): ScheduleTrigger[] {
  if (node.kind !== "list" || node.items.length === 0) {
    reader.report(place, path, 'must be a list, as in `- cron: "30 5 * * 1-5"`');
    return [];
  }
  const most = limits.workflowSchedules;
  if (node.items.length > most) reader.report(place, path, `has ${node.items.length} entries, and can have at most ${most}`);
  return node.items.flatMap((item, i): ScheduleTrigger[] => {
    const at = [...path, i];
    let cron: ScheduleTrigger["cron"] | undefined;
    let timeZone = "UTC";
    const seen = reader.keys(item, "on.schedule[*]", at, item.place, {
      cron: (value, keyAt) => {
        const scalar = reader.scalar(value, keyAt, "on.schedule[*].cron", "text");
        const read = scalar && parseCron(scalar.text);
        if (read && "message" in read) reader.reportIn(scalar, read.offset, keyAt, read.message);
        else cron = read;
      },
      timezone: (value, keyAt) => {
        timeZone = reader.text(value, keyAt, "on.schedule[*].timezone");
        const mistake = timeZoneMistake(timeZone);
        if (!mistake) return;
        const hint = didYouMean(timeZone, Intl.supportedValuesOf("timeZone"));
        reader.report(value.place, keyAt, `${shown(timeZone)} ${mistake}${hint === "" ? ": names are as in Europe/Berlin" : hint}`);
        timeZone = "UTC";
      },
    });
    if (item.kind === "map" && !seen.has("cron")) reader.report(item.place, [...at, "cron"], "is required: when it comes");
    return cron ? [{ cron, timeZone }] : [];
  });
}

function branchKeys(reader: ValueReader, filter: Writable<BranchFilter>): Record<string, Read> {
  return {
    branches: (value, at) => (filter.branches = readPatterns(reader, value, at)),
    "branches-ignore": (value, at) => (filter.branchesIgnore = readPatterns(reader, value, at, "branches")),
  };
}

function pathKeys(reader: ValueReader, filter: Writable<PathFilter>): Record<string, Read> {
  return {
    paths: (value, at) => (filter.paths = readPatterns(reader, value, at)),
    "paths-ignore": (value, at) => (filter.pathsIgnore = readPatterns(reader, value, at, "paths")),
  };
}

function readNames(reader: ValueReader, node: Node, path: Path): Scalar[] {
  if (node.kind === "list" && node.items.length === 0)
    reader.report(node.place, path, "is an empty list, which nothing matches: leave it out");
  return reader.list(node, path);
}

/** @param untold types that GitHub has, and why they are refused. */
function readTypes<T extends string>(
  reader: ValueReader,
  node: Node,
  path: Path,
  known: readonly T[],
  untold: Readonly<Record<string, string>>,
): T[] {
  const types = readNames(reader, node, path);
  const report = ({ place }: Scalar, message: string) => reader.report(place, path, message);
  for (const type of types) {
    if (known.some((each) => each === type.text)) continue;
    const why = Object.hasOwn(untold, type.text) ? untold[type.text] : undefined;
    if (why) report(type, `${shown(type.text)} is not supported: ${why}`);
    else report(type, `${shown(type.text)} is not an activity type${didYouMean(type.text, known) || `: ${anyOf(known)}`}`);
  }
  return known.filter((each) => types.some((type) => type.text === each));
}

/** @param ignored set for a `-ignore`: the key that should be used when some of the patterns begin with `!`. */
function readPatterns(reader: ValueReader, node: Node, path: Path, ignored?: string): string[] {
  const patterns = readNames(reader, node, path);
  for (const { text, place } of patterns) {
    const mistake = patternMistake(text);
    if (mistake) reader.report(place, path, `pattern ${shown(text)} ${mistake}`);
    else if (ignored && text.startsWith("!")) reader.report(place, path, `pattern ${shown(text)}: patterns with ! belong in ${ignored}`);
  }
  if (!ignored && patterns.length > 0 && patterns.every(({ text }) => text.startsWith("!"))) {
    reader.report(patterns[0]!.place, path, "patterns with ! alone match nothing: begin with one of what is wanted");
  }
  return patterns.map(({ text }) => text);
}

function refuseBoth(reader: ValueReader, node: Node, path: Path, name: string): void {
  const both = node.kind === "map" ? node.entries.filter(({ key }) => key === name || key === `${name}-ignore`) : [];
  const [first] = both;
  const second = both.find(({ key }) => key !== first!.key);
  if (!first || !second) return;
  reader.report(second.place, [...path, second.key], `cannot stand beside ${first.key}; use ${name} with ! in front of a pattern`);
}
