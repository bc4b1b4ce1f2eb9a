/**
 * What does one ssh connection for everything save, where kind's docker makes one for each call? To the point where kind returns,
 * the API is up; and to Ready, for which the other side opens a tunnel to the API and waits by kubectl.
 */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { remoteDown, remoteUp } from "../lab/remote.ts";
import { waitFor } from "../src/base/wait.ts";
import { canConnect } from "../src/docker/ports.ts";
import { hasLabImages } from "../scripts/docker-choice.ts";
import { ours, type Bench } from "./support/bench.ts";
import { timed } from "./support/context.ts";
import { declare, removeDeclaredRemains } from "./support/declared.ts";
import { deletePlain, newPlain, removePlainRemains, waitByKubectl } from "./support/kind.ts";

const plain = "`DOCKER_HOST=ssh://… kind create cluster`";

export const remoteKind: Bench = {
  name: "remote-kind",
  pairs: 4,
  questions: [
    { what: "a kind cluster on a remote host, until its API answers here", time: "api", against: plain, target: { ratio: 0.5 } },
    { what: "the same, to Ready; the other side by `ssh -L` and kubectl", time: "boot", against: plain, target: { ratio: 0.5 } },
  ],
  prepare: async (context) => {
    if (process.platform !== "linux" || process.getuid?.() !== 0) return { reason: "the lab's remote host needs root on Linux" };
    if (!(await hasLabImages())) return { reason: "the lab's images are not there: make lab builds them" };
    const wasUp = existsSync("/sys/class/net/st0");
    const remote = await remoteUp();
    if (!wasUp) context.atEnd(remoteDown);
    const config = join(context.directory, "ssh-config");
    await writeFile(
      config,
      ["Host *", `  IdentityFile ${remote.identityFile}`, "  IdentitiesOnly yes", `  UserKnownHostsFile ${remote.knownHosts}`, ""].join(
        "\n",
      ),
    );
    // The docker CLI runs `ssh`, which looks for its configuration in root's own home folder.
    const bin = join(context.directory, "bin");
    await mkdir(bin);
    await writeFile(join(bin, "ssh"), `#!/bin/sh\nexec /usr/bin/ssh -F '${config}' "$@"\n`, { mode: 0o755 });
    const variables = { DOCKER_HOST: remote.dockerHost, SEATRIAL_SSH_CONFIG: config };
    const bySsh = { DOCKER_HOST: remote.dockerHost, PATH: `${bin}${delimiter}${context.variables["PATH"] ?? ""}` };
    context.atEnd(async () => await removePlainRemains(context, bySsh));
    context.atEnd(async () => await removeDeclaredRemains(context, variables));
    return {
      sides: [
        {
          name: ours,
          run: async () => {
            const { file } = await declare(context, 1, false);
            const from = performance.now();
            let api = NaN;
            const onLine = (line: string) => {
              if (/: create \d/.test(line)) api = performance.now() - from;
            };
            const boot = await timed(async () => await context.seatrial(["apply", "-f", file], variables, undefined, onLine));
            await context.seatrial(["delete", "-f", file], variables);
            return { api, boot };
          },
        },
        {
          name: plain,
          run: async () => {
            const { name, kubeconfig } = newPlain(context);
            const from = performance.now();
            const api = await timed(
              async () =>
                await context.run(
                  context.program("kind"),
                  ["create", "cluster", "--name", name, "--image", context.nodeImage, "--kubeconfig", kubeconfig],
                  bySsh,
                ),
            );
            const port = /127\.0\.0\.1:(\d+)/.exec(await readFile(kubeconfig, "utf8"))![1]!;
            const host = new URL(remote.dockerHost);
            const forward = [
              "-N",
              "-o",
              "ExitOnForwardFailure=yes",
              "-L",
              `${port}:127.0.0.1:${port}`,
              `${host.username}@${host.hostname}`,
            ];
            const tunnel = spawn(join(bin, "ssh"), forward, { stdio: "ignore" });
            try {
              await waitFor("the tunnel", async () => ((await canConnect(Number(port))) ? true : undefined), {
                timeoutMs: 15_000,
                pollMs: 50,
              });
              await waitByKubectl(context, kubeconfig);
            } finally {
              tunnel.kill();
            }
            const boot = performance.now() - from;
            await deletePlain(context, [{ name, kubeconfig }], bySsh);
            return { api, boot };
          },
        },
      ],
    };
  },
};
