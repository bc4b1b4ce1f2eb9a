/**
 * `jobs.<job_id>.container` and `jobs.<job_id>.services`: read where a workflow is checked, and evaluated where a job is planned.
 * Values of `env` and `credentials` stay text: they may hold secrets, and the runner expands them.
 */
import type { Place } from "../base/errors.ts";
import { SeatrialError } from "../base/errors.ts";
import { type ContainerSpec, containerSpecSchema, type ServiceSpec } from "../resources/container.ts";
import type { Path } from "../resources/finding.ts";
import type { JobRunSpec } from "../resources/job-run.ts";
import { parseContainerOptions, parseContainerPort, parseContainerVolume } from "./container-options.ts";
import { evaluateNode, placed } from "./expressions/evaluate.ts";
import { holdsExpression, type Scope } from "./expressions/expressions.ts";
import type { Node } from "./read/tree.ts";
import { isNull, type Read, type ValueReader } from "./read/values.ts";

/** A container as the file has it. */
export interface ContainerNode {
  /** The map, or the image alone. */
  node: Node;
  /** By name, as text. */
  env: Readonly<Record<string, string>>;
  credentials?: Readonly<Record<string, string>>;
}

export interface ServiceNode extends ContainerNode {
  name: string;
}

const maxServices = 16;

/** Whether a planned job asks for containers beside its runner: a process of the server's machine has none. */
export function hasContainers({ container, services, steps }: Pick<JobRunSpec, "container" | "services" | "steps">): boolean {
  return container !== undefined || services !== undefined || steps.some(({ uses }) => uses?.startsWith("docker://"));
}

/** Reads `container` or one of `services`; undefined where nothing can be made of it. @param key in the table of keys. */
export function readContainer(reader: ValueReader, key: string, node: Node, path: Path, place: Place): ContainerNode | undefined {
  if (isNull(node)) return undefined;
  const role = key.includes(".services.") ? "service" : "job";
  if (node.kind !== "map") {
    if (role === "job" || (node.kind === "scalar" && holdsExpression(node.text))) {
      const image = reader.scalar(node, path, key, "text");
      if (image) checkWritten(reader, image, path, checkImage);
    } else reader.report(place, path, "must be a map with `image`");
    return { node, env: {} };
  }
  let env: Record<string, string> = {};
  let credentials: Record<string, string> | undefined;
  const text =
    (name: string, check: (text: string) => void): Read =>
    (value, at) => {
      const scalar = reader.scalar(value, at, `${key}.${name}`, "text");
      if (scalar) checkWritten(reader, scalar, at, check);
    };
  const list =
    (name: string, check: (text: string) => void): Read =>
    (value, at) => {
      reader.expressions(value, at, `${key}.${name}`);
      if (value.kind === "scalar" && holdsExpression(value.text)) return;
      if (value.kind !== "list") return reader.report(value.place, at, "must be a list");
      for (const [i, item] of value.items.entries()) {
        if (item.kind === "scalar" && item.text !== "") checkWritten(reader, item, [...at, i], check);
        else reader.report(item.place, [...at, i], "must be text");
      }
    };
  const seen = reader.keys(node, key, path, place, {
    image: text("image", checkImage),
    credentials: (value, at) => {
      credentials = reader.texts(value, at, `${key}.credentials`);
      for (const name of ["username", "password"]) if (!(name in credentials)) reader.report(value.place, [...at, name], "is required");
      for (const name of Object.keys(credentials))
        if (!["username", "password"].includes(name)) reader.report(value.place, [...at, name], "is not a known key: username, password");
    },
    env: (value, at) => (env = reader.texts(value, at, `${key}.env`)),
    ports: list("ports", parseContainerPort),
    volumes: list("volumes", parseContainerVolume),
    options: text("options", (options) => void parseContainerOptions(options, role)),
    entrypoint: text("entrypoint", () => {}),
    command: text("command", () => {}),
  });
  if (!seen.has("image")) reader.report(place, [...path, "image"], "is required");
  return { node, env, ...(credentials && { credentials }) };
}

/** Reads `services`. */
export function readServices(reader: ValueReader, node: Node, path: Path, place: Place): ServiceNode[] {
  if (isNull(node)) return [];
  const entries = reader.entries(node, path, place);
  if (entries.length > maxServices) reader.report(place, path, `has ${entries.length} services, and can have at most ${maxServices}`);
  const names = new Set<string>();
  return entries.flatMap(({ key: name, value, place: at }): ServiceNode[] => {
    const where = [...path, name];
    // It is a name of the network, too, where case does not count.
    if (!/^[A-Za-z_][\w-]{0,62}$/.test(name))
      reader.report(at, where, "must be made of letters, digits, - and _, begin with a letter or _, and have at most 63 characters");
    if (names.has(name.toLowerCase())) reader.report(at, where, "there is another of that name before it, in other case");
    names.add(name.toLowerCase());
    const container = readContainer(reader, "jobs.<job_id>.services.<service_id>", value, where, at);
    return container ? [{ name, ...container }] : [];
  });
}

/**
 * With everything expanded that may be when the job is planned. Undefined where the image is empty: then there is none, as on GitHub.
 * @throws InvalidError with place and path of what is not right.
 */
function planContainer(
  { node, env, credentials }: ContainerNode,
  path: Path,
  scope: Scope,
  role: "job" | "service",
): ContainerSpec | undefined {
  const text = (name: string, check: (text: string) => void): string | undefined => {
    const at = node.kind === "map" ? node.entries.find(({ key }) => key === name)?.value : name === "image" ? node : undefined;
    if (!at || isNull(at)) return undefined;
    const where = node.kind === "map" ? [...path, name] : path;
    return placed(at.place, where, () => {
      const value = evaluateNode(at, where, scope);
      if (value === null) return undefined;
      if (!["string", "number", "boolean"].includes(typeof value)) throw new SeatrialError("invalid", "must be text");
      const result = String(value as string | number | boolean).trim();
      if (result !== "") check(result);
      return result === "" ? undefined : result;
    });
  };
  const list = (name: string, check: (text: string) => void): string[] => {
    const at = node.kind === "map" ? node.entries.find(({ key }) => key === name)?.value : undefined;
    if (!at || isNull(at)) return [];
    return placed(at.place, [...path, name], () => {
      const value = evaluateNode(at, [...path, name], scope);
      if (!Array.isArray(value)) throw new SeatrialError("invalid", "must be a list");
      const items = value.map(String);
      for (const item of items) check(item);
      return items;
    });
  };
  const image = text("image", checkImage);
  if (image === undefined) return undefined;
  const options = text("options", (value) => void parseContainerOptions(value, role));
  const entrypoint = text("entrypoint", () => {});
  const command = text("command", () => {});
  const ports = list("ports", parseContainerPort);
  const volumes = list("volumes", parseContainerVolume);
  const spec: ContainerSpec = {
    image,
    ...(credentials && { credentials: { username: credentials["username"] ?? "", password: credentials["password"] ?? "" } }),
    ...(Object.keys(env).length > 0 && { env: { ...env } }),
    ...(ports.length > 0 && { ports }),
    ...(volumes.length > 0 && { volumes }),
    ...(options !== undefined && { options }),
    ...(entrypoint !== undefined && { entrypoint }),
    ...(command !== undefined && { command }),
  };
  return placed(node.place, path, () => {
    const issue = containerSpecSchema.safeParse(spec).error?.issues[0];
    if (issue) throw new SeatrialError("invalid", `${issue.path.join(".")}: ${issue.message}`);
    return spec;
  });
}

/** Of a job's cell: what its JobRun has of containers. @throws InvalidError as {@link planContainer}. */
export function planContainers(
  { container, services }: { container?: ContainerNode; services?: readonly ServiceNode[] },
  path: Path,
  scope: Scope,
): { container?: ContainerSpec; services?: ServiceSpec[] } {
  const own = container && planContainer(container, [...path, "container"], scope, "job");
  const all = (services ?? []).flatMap((service): ServiceSpec[] => {
    const spec = planContainer(service, [...path, "services", service.name], scope, "service");
    return spec ? [{ name: service.name, ...spec }] : [];
  });
  return { ...(own && { container: own }), ...(all.length > 0 && { services: all }) };
}

/** The message of what the check throws, at the place of a text without expressions. */
function checkWritten(reader: ValueReader, node: Node, path: Path, check: (text: string) => void): void {
  if (node.kind !== "scalar" || holdsExpression(node.text) || node.text.trim() === "") return;
  try {
    check(node.text.trim());
  } catch (error) {
    if (!(error instanceof SeatrialError)) throw error;
    reader.report(node.place, path, error.message);
  }
}

/** @throws SeatrialError `invalid` for what no registry can have. */
function checkImage(image: string): void {
  const reference = image.replace(/^docker:\/\//, "");
  if (/^[\w][\w.:/@-]{0,1023}$/.test(reference) && !reference.includes("//")) return;
  throw new SeatrialError("invalid", `${JSON.stringify(image)} is no reference of an image, as in node:24 or registry.example/ci@sha256:…`);
}
