/** `-o`: the formats in which commands print resources, those of kubectl and ctlptl, but for Go templates. */
import { stringify } from "yaml";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { goJson, sorted } from "./json.ts";
import { type JsonPathOptions, parseJsonPath } from "./jsonpath.ts";
import { kyaml } from "./kyaml.ts";

export type Format = { type: "json" | "yaml" | "kyaml" | "name" } | { type: "jsonpath"; print: (data: unknown) => string };

/** A resource as it is printed: ours, with metadata, or ctlptl's, whose fields are flat. */
export interface Printable {
  apiVersion?: unknown;
  kind?: unknown;
  name?: unknown;
  metadata?: unknown;
}

export interface FormatOptions {
  /** `--template`: the template or the file, when `-o` names none. */
  template?: string | undefined;
  /** `--allow-missing-template-keys`. Default: true. */
  allowMissingKeys?: boolean | undefined;
  /** Reads the file of `-o jsonpath-file=FILE`. */
  readFile(path: string): string;
}

const formatNames = ["json", "yaml", "kyaml", "name", "jsonpath=TEMPLATE", "jsonpath-file=FILE", "jsonpath-as-json=TEMPLATE"];

/** Parses the value of `-o`, so that a mistake in it is found before anything is done. @throws SeatrialError `usage`. */
export function parseFormat(text: string, options: FormatOptions): Format {
  const [, type = "", inline] = /^([^=]*)(?:=(.*))?$/s.exec(text) ?? [];
  const template = inline || options.template;
  switch (type) {
    case "json":
    case "yaml":
    case "kyaml":
    case "name":
      if (inline !== undefined) break;
      return { type };
    case "jsonpath":
    case "jsonpath-file":
    case "jsonpath-as-json": {
      if (!template)
        throw new SeatrialError("usage", `-o ${type} needs a template`, {
          hint: `-o ${type}=${type === "jsonpath-file" ? "FILE" : "'{.metadata.name}'"}`,
        });
      const how: JsonPathOptions = { asJson: type === "jsonpath-as-json", allowMissing: options.allowMissingKeys ?? true };
      return { type: "jsonpath", print: parseJsonPath(type === "jsonpath-file" ? readTemplate(template, options) : template, how) };
    }
    case "go-template":
    case "go-template-file":
    case "template":
    case "templatefile": {
      const translated = type.endsWith("file") ? undefined : jsonPathFromGo(template ?? "");
      throw new SeatrialError("usage", `-o ${type} is not supported, use jsonpath`, {
        hint: `-o jsonpath='${translated ?? "{.metadata.name}"}'; https://kubernetes.io/docs/reference/kubectl/jsonpath/`,
      });
    }
  }
  throw new SeatrialError("usage", `-o ${text}: not a format that is known`, { hint: `one of ${formatNames.join(", ")}` });
}

function readTemplate(path: string, { readFile }: FormatOptions): string {
  try {
    return readFile(path);
  } catch (error) {
    throw new SeatrialError("usage", `-o jsonpath-file: cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** The same template for jsonpath, when it holds nothing but fields, literals and ranges; else undefined. */
export function jsonPathFromGo(template: string): string | undefined {
  if (template === "") return undefined;
  let translates = true;
  const result = template.replaceAll(/\{\{-?\s*(.*?)\s*-?\}\}/gs, (_, action: string) => {
    if (action === ".") return "{@}";
    if (action === "end" || /^"([^"\\]|\\.)*"$/.test(action) || /^(\.\w+)+$/.test(action)) return `{${action}}`;
    const list = /^range ((?:\.\w+)+)$/.exec(action)?.[1];
    if (list !== undefined) return `{range ${list}[*]}`;
    translates = false;
    return "";
  });
  return translates ? result : undefined;
}

/**
 * Resources in a format, with the line breaks that belong to it.
 * @param options.list whether they are printed as one List. Default: unless there is exactly one.
 */
export function printObjects(objects: readonly Printable[], format: Format, options: { list?: boolean } = {}): string {
  if (format.type === "name") return objects.map((object) => `${nameOf(object)}\n`).join("");
  const printable = (options.list ?? objects.length !== 1) ? listOf(objects) : objects[0];
  const data = sorted(printable);
  switch (format.type) {
    case "json":
      return `${goJson(data, 4)}\n`;
    case "yaml":
      // Quotes also what YAML 1.1, the language of Go's reader, would take for a boolean.
      return stringify(data, { indentSeq: false, lineWidth: 0, aliasDuplicateObjects: false, compat: "yaml-1.1" });
    case "kyaml":
      return kyaml(data);
    case "jsonpath":
      return format.print(data);
  }
}

/** `cluster.seatrial.dev/demo`: the form that `get` and `delete` take again. */
export function nameOf(object: Printable): string {
  const group = String(object.apiVersion).split("/").slice(0, -1).join("/");
  const name = (object.metadata as { name?: string } | undefined)?.name ?? object.name;
  return `${String(object.kind).toLowerCase()}${group ? `.${group}` : ""}/${String(name)}`;
}

/** ctlptl's lists are named after what they hold; kubectl's are all `List`. */
function listOf(items: readonly Printable[]): unknown {
  const first = items[0];
  const isCtlptl = first !== undefined && items.every(({ metadata, kind }) => metadata === undefined && kind === first.kind);
  if (isCtlptl) return { apiVersion: first.apiVersion, kind: `${String(first.kind)}List`, items };
  return { apiVersion: "v1", kind: "List", metadata: { resourceVersion: "" }, items };
}
