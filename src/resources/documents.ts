/**
 * Reads files of resources: YAML or JSON, any number of documents, ours and ctlptl's, into resources of ours.
 *
 * Nothing is accepted in part, and all that is wrong in a file is reported at once, each with its line and column. A
 * document goes through three steps: the YAML parser, the schema (unknown fields, wrong types), the rules between fields.
 * Those see what the schema has left when it found something, so that a typo hides nothing but itself.
 */
import {
  Alias,
  type Document as YamlDocument,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
  visit,
} from "yaml";
import type { z } from "zod";
import { formatProblem, InvalidError, type Place, type Problem } from "../base/errors.ts";
import { checkCluster, type Cluster, clusterNameProblem, clusterSchema } from "./cluster.ts";
import {
  checkCtlptlCluster,
  clusterFromCtlptl,
  clusterNameFromContext,
  ctlptlApiVersion,
  ctlptlClusterSchema,
  ctlptlPath,
  ctlptlRegistrySchema,
  registryFromCtlptl,
} from "./ctlptl.ts";
import { type Finding, formatPath, type Path, valueAt } from "./finding.ts";
import { apiVersion } from "./metadata.ts";
import { checkRegistry, type Registry, registryContainerNameProblem, registryNameProblem, registrySchema } from "./registry.ts";
import { anyOf, findingsOf, shown } from "./schema.ts";
import { didYouMean } from "./suggest.ts";

export type Origin = "seatrial" | "ctlptl";

interface Loaded {
  origin: Origin;
  /** Where the document begins. */
  place: Place;
}
export type Document = Loaded & ({ kind: "Cluster"; resource: Cluster } | { kind: "Registry"; resource: Registry });

/** Larger files are not lists of clusters; the parser takes about a second for each MiB. */
const maxCharacters = 4 * 1024 * 1024;
/** Nodes that all aliases of a document may expand to, as the yaml package counts them: no document of ours needs more. */
const maxAliases = 100;

/** How documents of one apiVersion and kind become resources. */
interface Kind {
  schema: z.ZodType;
  origin: Origin;
  namePath: Path;
  /** What is wrong with a name, or undefined; asked when the rest is too broken for `load`. */
  nameProblem(name: string): string | undefined;
  /** Checks and converts what the schema accepted; the findings are in terms of the document. */
  load(value: unknown): { found: Finding[]; resource?: Cluster | Registry };
}

const kinds: Record<string, Record<string, Kind>> = {
  [apiVersion]: {
    Cluster: {
      schema: clusterSchema,
      origin: "seatrial",
      namePath: ["metadata", "name"],
      nameProblem: clusterNameProblem,
      load(value) {
        const resource = value as Cluster;
        return { resource, found: checkCluster(resource) };
      },
    },
    Registry: {
      schema: registrySchema,
      origin: "seatrial",
      namePath: ["metadata", "name"],
      nameProblem: registryNameProblem,
      load(value) {
        const resource = value as Registry;
        return { resource, found: checkRegistry(resource) };
      },
    },
  },
  [ctlptlApiVersion]: {
    Cluster: {
      schema: ctlptlClusterSchema,
      origin: "ctlptl",
      namePath: ["name"],
      nameProblem: (name) => clusterNameProblem(clusterNameFromContext(name)),
      load(value) {
        const document = ctlptlClusterSchema.parse(value);
        const found = checkCtlptlCluster(document);
        if (found.length > 0) return { found };
        const resource = clusterFromCtlptl(document);
        return { resource, found: checkCluster(resource).map(inCtlptl) };
      },
    },
    Registry: {
      schema: ctlptlRegistrySchema,
      origin: "ctlptl",
      namePath: ["name"],
      nameProblem: registryContainerNameProblem,
      load(value) {
        const resource = registryFromCtlptl(ctlptlRegistrySchema.parse(value));
        return { resource, found: checkRegistry(resource, registryContainerNameProblem).map(inCtlptl) };
      },
    },
  },
};

function inCtlptl(finding: Finding): Finding {
  return { ...finding, path: ctlptlPath(finding.path) };
}

/**
 * The resources of a file, in its order; what `status` it holds is checked and left out, as the world is not declared.
 * @param fileName as the user named it: it is the first part of each problem.
 * @throws InvalidError with all problems of the file.
 */
export function loadDocuments(text: string, fileName: string): Document[] {
  const file = new DocumentFile(text, fileName);
  const documents = file.read();
  const problems = file.problems();
  if (problems.length > 0) throw new InvalidError(problems);
  return documents;
}

/** One file while it is read. */
class DocumentFile {
  readonly #problems: (Problem & { place: Place })[] = [];
  readonly #text: string;
  readonly #name: string;
  readonly #lines = new LineCounter();
  /** What was declared so far, to find what is declared twice. */
  readonly #declared = new Map<string, Place>();

  constructor(text: string, name: string) {
    this.#text = text;
    this.#name = name;
  }

  /** In the order of the file, each once. */
  problems(): Problem[] {
    const each = new Map(this.#problems.map((problem) => [formatProblem(problem), problem]));
    return [...each.values()].sort((a, b) => a.place.line - b.place.line || a.place.column - b.place.column);
  }

  read(): Document[] {
    if (this.#text.length > maxCharacters) {
      this.#report(0, [], `is larger than ${maxCharacters / 1024 / 1024} MiB`);
      return [];
    }
    return this.#parse().flatMap((document) => this.#readDocument(document) ?? []);
  }

  #parse(): YamlDocument.Parsed[] {
    const parsed = parseAllDocuments(this.#text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      stringKeys: true,
      // ctlptl's parser knows `<<`, so files may use it.
      merge: true,
    });
    return Array.isArray(parsed) ? parsed : [];
  }

  #readDocument(yaml: YamlDocument.Parsed): Document | undefined {
    const mistakes = [...yaml.errors, ...yaml.warnings];
    // The parser is recursive, and reports the end of its stack as one mistake among those that follow from it.
    const tooDeep = mistakes.find(({ message }) => message.includes("call stack"));
    if (tooDeep) this.#report(tooDeep.pos[0], [], "is nested too deeply");
    else for (const { pos, message } of mistakes) this.#report(pos[0], [], message.split("\n")[0]!);
    if (mistakes.length > 0) return undefined;
    // A document of comments alone, or nothing between two `---`.
    if (yaml.contents === null || (isScalar(yaml.contents) && yaml.contents.value === null)) return undefined;

    const start = yaml.contents.range[0];
    let value: unknown;
    try {
      value = yaml.toJS({ maxAliasCount: maxAliases });
    } catch (error) {
      if (!(error instanceof ReferenceError || error instanceof RangeError)) throw error;
      const stray = unknownAlias(yaml);
      if (stray) this.#report(stray.range![0], [], `*${stray.source} refers to nothing: there is no &${stray.source} before it`);
      else this.#report(start, [], "its aliases expand to more than a document of ours can need");
      return undefined;
    }
    const kind = this.#kindOf(yaml, value);
    if (!kind) return undefined;

    relax(yaml, value, kind);
    let parsed = kind.schema.safeParse(value);
    if (!parsed.success) {
      const found = findingsOf(parsed.error, kind.schema, value);
      for (const finding of found) this.#reportAt(yaml, finding);
      takeOut(value, found);
      parsed = kind.schema.safeParse(value);
      if (!parsed.success) {
        const name = valueAt(value, kind.namePath);
        const message = typeof name === "string" ? kind.nameProblem(name) : undefined;
        if (message) this.#reportAt(yaml, { path: kind.namePath, message });
        return undefined;
      }
    }
    const { found, resource } = kind.load(parsed.data);
    for (const finding of found) this.#reportAt(yaml, finding);
    if (!resource) return undefined;

    this.#declare(yaml, `${resource.kind} ${resource.metadata.name}`, kind.namePath);
    const { status: _status, ...declared } = resource;
    return { kind: resource.kind, resource: declared, origin: kind.origin, place: this.#placeOf(start) } as Document;
  }

  /** What the document says it is; when that is nothing of ours, the problem is reported here. */
  #kindOf(yaml: YamlDocument.Parsed, value: unknown): Kind | undefined {
    if (!isMap(yaml.contents)) {
      this.#report(yaml.contents!.range![0], [], `must be an object with apiVersion and kind, and is ${shown(value)}`);
      return undefined;
    }
    const asked = { apiVersion: valueAt(value, ["apiVersion"]), kind: valueAt(value, ["kind"]) };
    const choose = <T>(field: "apiVersion" | "kind", choices: Record<string, T>): T | undefined => {
      const given = asked[field];
      if (typeof given === "string" && Object.hasOwn(choices, given)) return choices[given];
      const known = Object.keys(choices);
      const wrong = `must be ${anyOf(known)}, and is ${shown(given)}${hintFor(field, given, known)}`;
      this.#reportAt(yaml, { path: [field], message: given === undefined ? `is required: ${anyOf(known)}` : wrong });
      return undefined;
    };
    const ofVersion = choose("apiVersion", kinds);
    // Without a version the kind can still be judged: both have the same.
    const kind = choose("kind", ofVersion ?? kinds[apiVersion]!);
    return ofVersion && kind;
  }

  #declare(yaml: YamlDocument.Parsed, what: string, path: Path): void {
    const before = this.#declared.get(what);
    if (before) this.#reportAt(yaml, { path, message: `${what} is declared in line ${before.line} already` });
    else this.#declared.set(what, this.#placeOf(positionOf(yaml, path)));
  }

  #reportAt(yaml: YamlDocument.Parsed, { path, message, at }: Finding): void {
    this.#report(positionOf(yaml, path, at), path, message);
  }

  #report(offset: number, path: Path, message: string): void {
    this.#problems.push({ place: this.#placeOf(offset), path: formatPath(path), message });
  }

  #placeOf(offset: number): Place {
    const { line, col } = this.#lines.linePos(offset);
    return { file: this.#name, line: Math.max(line, 1), column: Math.max(col, 1) };
  }
}

function hintFor(field: "apiVersion" | "kind", given: unknown, known: string[]): string {
  if (field === "apiVersion" && typeof given === "string" && given.startsWith("kind.x-k8s.io/")) {
    return "; kind's own configuration goes into spec.kind.config of a Cluster";
  }
  return typeof given === "string" ? didYouMean(given, known) : "";
}

/**
 * Forgives, in place, what the other readers of these documents forgive: an empty field is an absent one (`labels:`),
 * and in ctlptl's documents, whose reader is told by the type of the field, a string may be written without quotes
 * (`api/all: true`). A string of ours must be one: YAML has turned `1.30` into 1.3 before we see it.
 */
function relax(yaml: YamlDocument.Parsed, value: unknown, kind: Kind): void {
  const issues = kind.schema.safeParse(value).error?.issues ?? [];
  for (const issue of issues) {
    if (issue.code !== "invalid_type" && issue.code !== "invalid_value") continue;
    const path = issue.path as Path;
    const parent = valueAt(value, path.slice(0, -1)) as Record<string | number, unknown>;
    const key = path.at(-1);
    if (key === undefined || parent === undefined || (Array.isArray(parent) && parent[key as number] === null)) continue;
    if (parent[key] === null) {
      delete parent[key];
    } else if (kind.origin === "ctlptl" && issue.code === "invalid_type" && issue.expected === "string") {
      const node = nodeAt(yaml, path);
      if (isScalar(node) && typeof node.source === "string") parent[key] = node.source;
    }
  }
}

/** Takes out of a document, in place, the fields that are wrong; of a list, all of it, so that no index shifts. */
function takeOut(value: unknown, findings: Finding[]): void {
  for (const { path } of findings) {
    const inList = path.findIndex((step) => typeof step === "number");
    const field = inList === -1 ? path : path.slice(0, inList);
    const parent = valueAt(value, field.slice(0, -1)) as Record<string, unknown> | undefined;
    if (parent && field.length > 0) delete parent[field.at(-1)!];
  }
}

function unknownAlias(yaml: YamlDocument.Parsed): Alias.Parsed | undefined {
  let unknown: Alias.Parsed | undefined;
  visit(yaml, {
    Alias(_, node) {
      if (node.resolve(yaml)) return undefined;
      unknown = node as Alias.Parsed;
      return visit.BREAK;
    },
  });
  return unknown;
}

/**
 * Offset of what a path names: its value, or its key where that is asked for or says more; when it is not there, the
 * nearest around it that is.
 */
function positionOf(yaml: YamlDocument.Parsed, path: Path, at?: "key"): number {
  for (let length = path.length; length > 0; length--) {
    const parent = nodeAt(yaml, path.slice(0, length - 1));
    const pair = pairOf(yaml, parent, path[length - 1]!);
    const key = (pair?.key as Node | undefined)?.range?.[0];
    const node = pair
      ? (pair.value as Node | null)
      : isSeq(parent)
        ? (parent.items[path[length - 1] as number] as Node | undefined)
        : undefined;
    // Containers are pointed at by their key: that is where a person looks for them.
    const saysLittle = !node || isMap(node) || isSeq(node) || (isScalar(node) && node.source === "");
    const offset = pair && (at === "key" || saysLittle) ? key : node?.range?.[0];
    if (offset !== undefined) return offset;
  }
  return yaml.contents?.range[0] ?? 0;
}

/** The node at a path, through aliases and merged maps. */
function nodeAt(yaml: YamlDocument.Parsed, path: Path): Node | undefined {
  let at: Node | null | undefined = yaml.contents;
  for (const step of path) {
    at = resolve(yaml, at);
    at = isSeq(at) ? (at.items[step as number] as Node | undefined) : (pairOf(yaml, at, step)?.value as Node | undefined);
  }
  return resolve(yaml, at);
}

function pairOf(yaml: YamlDocument.Parsed, node: Node | null | undefined, key: string | number): Pair | undefined {
  if (!isMap(node)) return undefined;
  const pairs = node.items.filter(isPair);
  const own = pairs.find((pair) => isScalar(pair.key) && String(pair.key.value) === String(key));
  if (own) return own;
  for (const { key: name, value } of pairs) {
    if (!isScalar(name) || name.source !== "<<") continue;
    const sources = resolve(yaml, value as Node);
    for (const source of isSeq(sources) ? sources.items : [sources]) {
      const merged = pairOf(yaml, resolve(yaml, source as Node), key);
      if (merged) return merged;
    }
  }
  return undefined;
}

function resolve(yaml: YamlDocument.Parsed, node: Node | null | undefined): Node | undefined {
  return (node instanceof Alias ? node.resolve(yaml) : node) ?? undefined;
}
