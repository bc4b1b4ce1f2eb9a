/**
 * etcd and kube-apiserver, and on request kube-controller-manager, kube-scheduler and kwok, as child processes of nobody:
 * they go on when the command that started them ends.
 *
 * All of one control plane lives in one folder: certificates, etcd's data, sockets, logs. Its processes are known by a
 * mark in their environment, so that nothing is lost when the starter is killed at any moment. etcd speaks on a socket in
 * that folder, which no other user can open; the API server takes a free port of 127.0.0.1.
 */
import { existsSync } from "node:fs";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { stringify } from "yaml";
import { SeatrialError } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { limits } from "../base/limits.ts";
import { waitFor } from "../base/wait.ts";
import { canConnect, freePort } from "../docker/ports.ts";
import { startDaemon, stopDaemon } from "../process/daemon.ts";
import { lifeOf } from "../process/identity.ts";
import { type MarkedProcess, processesMarked } from "../process/marked.ts";
import { kwokConfig } from "./kwok.ts";
import type { ControlPlaneUser } from "./pki.ts";

export type Component = "controller-manager" | "scheduler" | "kwok";

export interface ControlPlaneOptions {
  /** The folder; made when it is not there. What is in it already (data, certificates) is used. */
  directory: string;
  /** Value of the mark; unique for each control plane. */
  uid: string;
  /** Name of cluster, context and user in the kubeconfigs. */
  context: string;
  /** Namespace of the context. Default: none, which kubectl takes for `default`. */
  namespace?: string;
  /** Path of each program. */
  programs: { etcd: string; "kube-apiserver": string; "kube-controller-manager"?: string; "kube-scheduler"?: string; kwok?: string };
  components: readonly Component[];
  /** Environment of the processes; only PATH, HOME and proxies matter. */
  env: Readonly<Record<string, string | undefined>>;
  serviceSubnet: string;
  podSubnet: string;
  clusterDomain: string;
  featureGates: Readonly<Record<string, boolean>>;
  apiServerFlags: readonly string[];
  etcdFlags?: readonly string[];
  /**
   * Whether the API server opens no connection of its own but to etcd: its webhooks, proxies and aggregated APIs then lead nowhere.
   * One that was isolated once stays so.
   */
  isIsolated?: boolean | undefined;
  /** False for throwaways: etcd then does not wait for the disk. */
  isDurable: boolean;
  /** The port to use when it is free; else any, unless `isPortFixed`. */
  port?: number | undefined;
  isPortFixed?: boolean;
  signal?: AbortSignal | undefined;
}

const mark = "SEATRIAL_CONTROL_PLANE";
/** In the folder. etcd wants a port in each address, also in that of a socket: it becomes part of the file's name. */
export const etcdSocket = "etcd.sock:0";
const etcdPeerSocket = "etcd-peer.sock:0";

/** Starts what does not run. Gives the API server's port; its kubeconfigs are `USER.kubeconfig` in the folder. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<{ port: number }> {
  const { directory } = options;
  makeFolder(directory, 0o700);
  const pki = join(directory, "pki");
  if (!existsSync(pki)) {
    // Loaded when it is needed: the library costs as much time as all the rest of a command that changes nothing.
    const { writePki } = await import("./pki.ts");
    await rm(`${pki}.new`, { recursive: true, force: true });
    await writePki(`${pki}.new`, {
      dnsNames: [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        `kubernetes.default.svc.${options.clusterDomain}`,
      ],
      addresses: ["127.0.0.1", firstAddress(options.serviceSubnet)],
    });
    await rename(`${pki}.new`, pki); // Whole, or not there: half of the keys would be used for ever.
  }
  if (options.isIsolated) await denyEgress(directory);
  const running = new Set(controlPlaneProcesses(options.uid).map(({ program }) => basename(program)));
  if (!running.has("etcd")) {
    await rm(join(directory, etcdSocket), { force: true });
    await start(options, "etcd", etcdFlags(options));
  }
  const port = running.has("kube-apiserver") ? await portOf(directory) : await startApiServer(options);
  await startComponents(options, running);
  return { port };
}

/** Starts the API server on a port; one that was taken between our look and its start costs another attempt. */
async function startApiServer(options: ControlPlaneOptions): Promise<number> {
  const log = join(options.directory, "kube-apiserver.log");
  for (let attempt = 1; ; attempt++) {
    const port = attempt === 1 && options.port ? options.port : await freePort();
    await writeKubeconfigs(options, port);
    const process = await start(options, "kube-apiserver", apiServerFlags(options, port));
    const client = await waitFor(
      "kube-apiserver to listen",
      async () => {
        if (lifeOf(process) !== "alive") return "ended" as const;
        return (await canConnect(port)) && lifeOf(process) === "alive" ? ("listening" as const) : undefined;
      },
      { timeoutMs: limits.clusterReadyMs, pollMs: 50, signal: options.signal },
    );
    if (client === "listening") return port;
    const output = await readFile(log, "utf8");
    const taken = /address already in use/.test(output.slice(-8192));
    if (taken && options.isPortFixed) {
      throw new SeatrialError("conflict", `port ${port} of 127.0.0.1, which ${options.context} was given, is taken by another program`, {
        hint: `end that program (ss -ltnp 'sport = :${port}' names it), then run the same command again`,
      });
    }
    if (!taken || attempt === limits.portAttempts) {
      const last = output.trimEnd().split("\n").slice(-limits.errorTailLines).join("\n  | ");
      throw new SeatrialError(
        "command-failed",
        `kube-apiserver of ${options.context} ended before it was ready; ${log} ends with\n  | ${last}`,
      );
    }
  }
}

async function startComponents(options: ControlPlaneOptions, running: ReadonlySet<string>): Promise<void> {
  const flags: Record<Component, { program: "kube-controller-manager" | "kube-scheduler" | "kwok"; args: string[] }> = {
    "controller-manager": {
      program: "kube-controller-manager",
      args: [
        "--kubeconfig=controller-manager.kubeconfig",
        "--authentication-kubeconfig=controller-manager.kubeconfig",
        "--authorization-kubeconfig=controller-manager.kubeconfig",
        "--service-account-private-key-file=pki/sa.key",
        "--root-ca-file=pki/ca.crt",
        "--use-service-account-credentials=true",
        "--leader-elect=false", // One of each: an election costs seconds at the start.
        "--secure-port=0",
        `--cluster-cidr=${options.podSubnet}`,
        `--service-cluster-ip-range=${options.serviceSubnet}`,
        "--allocate-node-cidrs=true",
        ...gateFlag(options),
      ],
    },
    scheduler: {
      program: "kube-scheduler",
      args: [
        "--kubeconfig=scheduler.kubeconfig",
        "--authentication-kubeconfig=scheduler.kubeconfig",
        "--authorization-kubeconfig=scheduler.kubeconfig",
        "--leader-elect=false",
        "--secure-port=0",
        ...gateFlag(options),
      ],
    },
    kwok: { program: "kwok", args: ["--kubeconfig=kwok.kubeconfig", "--config=kwok.yaml", "--manage-all-nodes=true"] },
  };
  if (options.components.includes("kwok")) await writeFile(join(options.directory, "kwok.yaml"), kwokConfig());
  for (const component of options.components) {
    const { program, args } = flags[component];
    if (!running.has(program)) await start(options, program, args);
  }
}

/** Ends all processes of a control plane, the API server before etcd. No error when none runs. */
export async function stopControlPlane(uid: string): Promise<void> {
  const processes = controlPlaneProcesses(uid);
  const isEtcd = ({ program }: MarkedProcess) => basename(program) === "etcd";
  await Promise.all(processes.filter((each) => !isEtcd(each)).map(({ identity }) => stopDaemon(identity)));
  await Promise.all(processes.filter(isEtcd).map(({ identity }) => stopDaemon(identity)));
}

/** Ends them at once, for a control plane whose data nobody wants. */
export async function killControlPlane(uid: string): Promise<void> {
  await Promise.all(controlPlaneProcesses(uid).map(({ identity }) => stopDaemon(identity, "SIGKILL")));
}

export function controlPlaneProcesses(uid: string): MarkedProcess[] {
  return processesMarked(mark, uid);
}

async function start(options: ControlPlaneOptions, program: keyof ControlPlaneOptions["programs"], args: string[]) {
  const path = options.programs[program];
  if (!path) throw new SeatrialError("internal", `no path was given for ${program}`);
  return await startDaemon(path, args, {
    cwd: options.directory,
    env: { ...options.env, [mark]: options.uid },
    logFile: join(options.directory, `${program}.log`),
  });
}

function etcdFlags(options: ControlPlaneOptions): string[] {
  return [
    "--name=default",
    "--data-dir=etcd",
    `--listen-client-urls=unix://${etcdSocket}`,
    `--advertise-client-urls=unix://${etcdSocket}`,
    `--listen-peer-urls=unix://${etcdPeerSocket}`,
    `--initial-advertise-peer-urls=unix://${etcdPeerSocket}`,
    `--initial-cluster=default=unix://${etcdPeerSocket}`,
    ...(options.isDurable ? [] : ["--unsafe-no-fsync=true"]),
    ...(options.etcdFlags ?? []),
  ];
}

function apiServerFlags(options: ControlPlaneOptions, port: number): string[] {
  const hasControllerManager = options.components.includes("controller-manager");
  return [
    "--bind-address=127.0.0.1",
    "--advertise-address=127.0.0.1",
    `--secure-port=${port}`,
    `--etcd-servers=unix://${etcdSocket}`,
    "--client-ca-file=pki/ca.crt",
    "--tls-cert-file=pki/apiserver.crt",
    "--tls-private-key-file=pki/apiserver.key",
    `--service-account-issuer=https://kubernetes.default.svc.${options.clusterDomain}`,
    "--service-account-key-file=pki/sa.pub",
    "--service-account-signing-key-file=pki/sa.key",
    `--service-cluster-ip-range=${options.serviceSubnet}`,
    "--authorization-mode=Node,RBAC",
    "--allow-privileged=true",
    "--endpoint-reconciler-type=none", // It refuses the loopback address, which is the only one that we want.
    "--profiling=false",
    // Without a controller-manager no namespace ever gets a default ServiceAccount, and no pod could be created.
    ...(hasControllerManager ? [] : ["--disable-admission-plugins=ServiceAccount"]),
    ...gateFlag(options),
    ...(existsSync(join(options.directory, egressFile)) ? [`--egress-selector-config-file=${egressFile}`] : []),
    ...options.apiServerFlags,
  ];
}

/** In the folder. */
const egressFile = "egress.json";

/**
 * Whoever is admin of a cluster can make its API server call any address, as this machine: by a webhook, by a node that it says
 * is there. All such calls go to a proxy that does not exist. https://kubernetes.io/docs/tasks/extend-kubernetes/setup-konnectivity/
 */
async function denyEgress(directory: string): Promise<void> {
  const connection = { proxyProtocol: "HTTPConnect", transport: { uds: { udsName: join(directory, "no-egress.sock") } } };
  const egressSelections = ["controlplane", "cluster"].map((name) => ({ name, connection }));
  const configuration = { apiVersion: "apiserver.k8s.io/v1beta1", kind: "EgressSelectorConfiguration", egressSelections };
  await writeFile(join(directory, egressFile), JSON.stringify(configuration));
}

function gateFlag(options: ControlPlaneOptions): string[] {
  const gates = Object.entries(options.featureGates).map(([name, on]) => `${name}=${on}`);
  return gates.length > 0 ? [`--feature-gates=${gates.join(",")}`] : [];
}

async function writeKubeconfigs(options: ControlPlaneOptions, port: number): Promise<void> {
  const pki = (file: string) => readFile(join(options.directory, "pki", file), "base64");
  const ca = await pki("ca.crt");
  const users: ControlPlaneUser[] = ["admin", ...options.components];
  for (const user of users) {
    const name = user === "admin" ? options.context : `${options.context}-${user}`;
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: options.context, cluster: { server: `https://127.0.0.1:${port}`, "certificate-authority-data": ca } }],
      users: [{ name, user: { "client-certificate-data": await pki(`${user}.crt`), "client-key-data": await pki(`${user}.key`) } }],
      contexts: [{ name: options.context, context: { cluster: options.context, user: name, namespace: options.namespace } }],
      "current-context": options.context,
    };
    await writeFile(join(options.directory, `${user}.kubeconfig`), stringify(config), { mode: 0o600 });
  }
}

async function portOf(directory: string): Promise<number> {
  const text = await readFile(join(directory, "admin.kubeconfig"), "utf8");
  return Number(/https:\/\/127\.0\.0\.1:(\d+)/.exec(text)?.[1]);
}

/** The first usable address of a subnet: what the `kubernetes` service gets. */
function firstAddress(subnet: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = subnet.split("/")[0]!.split(".").map(Number);
  const next = ((a << 24) | (b << 16) | (c << 8) | d) + 1;
  return [next >>> 24, (next >>> 16) & 255, (next >>> 8) & 255, next & 255].join(".");
}
