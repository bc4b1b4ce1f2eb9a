/**
 * Our action on GitHub's runners: both its main phase and its post phase (action.yml). A `seatrial with` runs beside the job, holds
 * the cluster for as long as nobody says stop, and deletes it then. On a Seatrial server nothing of this runs: there the step is
 * hoisted (workflows/read/hoist.ts).
 *
 * Node's own modules alone: what Seatrial needs may not be installed yet. Between the phases, in a folder of RUNNER_TEMP:
 * ```
 * cluster.json  what is asked for      ready  where it is      stop  made by the post phase      ended  exit code      log
 * ```
 * Format of inputs and files: "Creating a JavaScript action" and "Workflow commands" in GitHub's documentation.
 */
import { spawn, spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hoistedName } from "../workflows/read/hoisted-name.ts";

const root = join(import.meta.dirname, "..", "..");
/** A boot with all its waits; a download of images before it; and a deletion. */
const [bootMs, deleteMs, pollMs] = [20 * 60_000, 5 * 60_000, 100];
// oxlint-disable-next-line node/no-process-env -- This is a main.ts.
const variables = process.env;

function inputOf(name: string): string {
  return (variables[`INPUT_${name.toUpperCase()}`] ?? "").trim();
}

/** One line of the files that a step says things by. */
function tell(file: "ENV" | "OUTPUT" | "STATE", name: string, value: string): void {
  const path = variables[`GITHUB_${file}`];
  if (path) appendFileSync(path, `${name}=${value}\n`);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function until<T>(what: string, timeoutMs: number, look: () => T | undefined): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`${what} after ${timeoutMs / 60_000} minutes`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** @returns undefined where there is none. */
function textOf(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

/** What `with -f` takes; what is wrong with a value it says itself. */
function document(): object {
  const nodes = inputOf("nodes");
  const given = { kubernetesVersion: inputOf("kubernetes-version").replace(/^(?=\d)/, "v"), clusterDomain: inputOf("cluster-domain") };
  const spec = {
    provider: inputOf("provider") || "kind",
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== "")),
    ...(nodes === "" ? {} : { nodes: Number(nodes) }),
  };
  return { apiVersion: "seatrial.dev/v1alpha1", kind: "Cluster", metadata: { name: "throwaway" }, spec };
}

/** Seatrial's packages, by its lock file; without scripts. */
function install(): void {
  if (existsSync(join(root, "node_modules"))) return;
  say("installing Seatrial's packages");
  const args = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"];
  const { status } = spawnSync("npm", args, { cwd: root, stdio: "inherit" });
  if (status !== 0) throw new Error(`npm ${args.join(" ")} failed in ${root}`);
}

/** Tells where the cluster is, and waits. */
const hold = `printf '%s\\n%s\\n%s\\n' "$KUBECONFIG" "\${REGISTRY-}" "\${REGISTRY_IN_CLUSTER-}" >"$0/ready.new" && mv "$0/ready.new" "$0/ready"
until [ -e "$0/stop" ]; do sleep 0.2; done`;

async function boot(): Promise<void> {
  install();
  const folder = mkdtempSync(join(variables["RUNNER_TEMP"] ?? tmpdir(), "seatrial-"));
  tell("STATE", "folder", folder);
  writeFileSync(join(folder, "cluster.json"), JSON.stringify(document()));
  const log = openSync(join(folder, "log"), "a");
  const command = [join(root, "bin", "seatrial"), "with", "-f", join(folder, "cluster.json"), "--", "sh", "-c", hold, folder];
  // Its exit code is written down: a process of another may have its number by then.
  const child = spawn("sh", ["-c", '"$@"; echo $? >"$0/ended"', folder, ...command], {
    detached: true,
    stdio: ["ignore", log, log],
    // GitHub's runner ends what carries its mark when the job is over, and that is too early for a deletion.
    env: { ...variables, ARTIFACTS: join(folder, "artifacts"), RUNNER_TRACKING_ID: undefined } as NodeJS.ProcessEnv,
  });
  child.unref();
  await until("the cluster is not up", bootMs, () =>
    existsSync(join(folder, "ready")) || existsSync(join(folder, "ended")) ? true : undefined,
  );
  say((textOf(join(folder, "log")) ?? "").trimEnd());
  const ready = textOf(join(folder, "ready"));
  if (ready === undefined) throw new Error("the cluster could not be booted");
  const [kubeconfig = "", registry = "", inCluster = ""] = ready.split("\n");
  const own = join(folder, "kubeconfig");
  writeFileSync(own, renamed(readFileSync(kubeconfig, "utf8"), hoistedName(inputOf("name"))), { mode: 0o600 });
  tell("ENV", "KUBECONFIG", own);
  tell("OUTPUT", "kubeconfig", own);
  tell("OUTPUT", "registry", registry);
  if (registry !== "") tell("ENV", "REGISTRY", registry);
  if (inCluster !== "") tell("ENV", "REGISTRY_IN_CLUSTER", inCluster);
}

/** Cluster, user and context have one name: here the one that a Seatrial server gives them. */
function renamed(kubeconfig: string, name: string): string {
  const before = /current-context"?:\s*"?([^\s",]+)/.exec(kubeconfig)?.[1];
  return before === undefined ? kubeconfig : kubeconfig.replaceAll(before, name);
}

async function end(folder: string): Promise<void> {
  const before = textOf(join(folder, "log"))?.length ?? 0;
  writeFileSync(join(folder, "stop"), "");
  const code = await until("the cluster is not deleted", deleteMs, () => textOf(join(folder, "ended"))?.trim() || undefined);
  say((textOf(join(folder, "log")) ?? "").slice(before).trimEnd());
  rmSync(folder, { recursive: true, force: true });
  if (code !== "0") throw new Error(`seatrial with ended with exit code ${code}`);
}

const folder = variables["STATE_folder"];
await (folder === undefined || folder === "" ? boot() : end(folder)).catch((error: unknown) => {
  say(`::error title=Seatrial::${(error as Error).message}`);
  process.exitCode = 1;
});
