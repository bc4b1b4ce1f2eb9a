/** What does Seatrial add to the time that etcd and kube-apiserver need? Certificates, kubeconfigs and records are in it. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { freePort } from "../src/docker/ports.ts";
import { ours, type Bench } from "./support/bench.ts";
import { type BenchContext, timed } from "./support/context.ts";
import { removeDeclaredRemains } from "./support/declared.ts";

const shell = "etcd and kube-apiserver started by a shell script";

/** As short as it gets: certificates by the API server itself, no client certificates, no kubeconfig. */
const script = `set -eu
openssl genrsa -out sa.key 2048 2>/dev/null
openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
"$ETCD" --data-dir=etcd --listen-client-urls=http://127.0.0.1:$ETCD_PORT --advertise-client-urls=http://127.0.0.1:$ETCD_PORT \\
  --listen-peer-urls=http://127.0.0.1:$PEER_PORT --initial-advertise-peer-urls=http://127.0.0.1:$PEER_PORT \\
  --initial-cluster=default=http://127.0.0.1:$PEER_PORT >etcd.log 2>&1 &
echo $! >etcd.pid
"$KUBE_APISERVER" --etcd-servers=http://127.0.0.1:$ETCD_PORT --bind-address=127.0.0.1 --secure-port=$API_PORT --cert-dir=certificates \\
  --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=sa.pub --service-account-signing-key-file=sa.key \\
  --service-cluster-ip-range=10.96.0.0/16 --authorization-mode=RBAC >kube-apiserver.log 2>&1 &
echo $! >kube-apiserver.pid
until [ "$(curl -sk https://127.0.0.1:$API_PORT/readyz)" = ok ]; do sleep 0.05; done
`;

export const bare: Bench = {
  name: "bare",
  pairs: 9,
  questions: [{ what: "`apply` of a bare cluster, to Ready", time: "boot", against: shell, target: { ratio: 1.1, most: 5_000 } }],
  prepare: async (context) => {
    for (const program of ["curl", "openssl"]) {
      const isThere = await context.run("sh", ["-c", `command -v ${program}`]).then(
        () => true,
        () => false,
      );
      if (!isThere) return { reason: `${program} is not installed` };
    }
    context.atEnd(async () => await removeDeclaredRemains(context));
    return {
      sides: [
        {
          name: ours,
          run: async () => {
            const name = context.newName("bs");
            const file = join(context.directory, `${name}.yaml`);
            await writeFile(
              file,
              stringify({ apiVersion: "seatrial.dev/v1alpha1", kind: "Cluster", metadata: { name }, spec: { provider: "bare" } }),
            );
            const boot = await timed(async () => await context.seatrial(["apply", "-f", file]));
            await context.seatrial(["delete", "-f", file]);
            return { boot };
          },
        },
        { name: shell, run: async () => await byShell(context) },
      ],
    };
  },
};

async function byShell(context: BenchContext): Promise<{ boot: number }> {
  const directory = join(context.directory, context.newName("shell"));
  await mkdir(directory);
  const [etcdPort, peerPort, apiPort] = [await freePort(), await freePort(), await freePort()];
  const variables = {
    ETCD: context.program("etcd"),
    KUBE_APISERVER: context.program("kube-apiserver"),
    ETCD_PORT: String(etcdPort),
    PEER_PORT: String(peerPort),
    API_PORT: String(apiPort),
  };
  try {
    return { boot: await timed(async () => await context.run("sh", ["-c", `cd '${directory}'\n${script}`], variables)) };
  } finally {
    for (const program of ["kube-apiserver", "etcd"]) {
      const pid = Number(await readFile(join(directory, `${program}.pid`), "utf8").catch(() => ""));
      if (pid) process.kill(pid, "SIGKILL");
    }
  }
}
