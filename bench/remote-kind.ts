/** What does one ssh connection for everything save, where kind's docker makes one for each call? */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { remoteDown, remoteUp } from "../lab/remote.ts";
import { hasLabImages } from "../scripts/docker-choice.ts";
import { ours, type Bench } from "./support/bench.ts";
import { timed } from "./support/context.ts";
import { declare, removeDeclaredRemains } from "./support/declared.ts";
import { deletePlain, newPlain, removePlainRemains } from "./support/kind.ts";

const plain = "`DOCKER_HOST=ssh://… kind create cluster`, which does not wait";

export const remoteKind: Bench = {
  name: "remote-kind",
  pairs: 7,
  questions: [
    { what: "`apply` of a kind cluster on a remote host, to Ready from here", time: "boot", against: plain, target: { ratio: 0.5 } },
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
            const boot = await timed(async () => await context.seatrial(["apply", "-f", file], variables));
            await context.seatrial(["delete", "-f", file], variables);
            return { boot };
          },
        },
        {
          name: plain,
          run: async () => {
            const { name, kubeconfig } = newPlain(context);
            const boot = await timed(
              async () =>
                await context.run(
                  context.program("kind"),
                  ["create", "cluster", "--name", name, "--image", context.nodeImage, "--kubeconfig", kubeconfig],
                  bySsh,
                ),
            );
            await deletePlain(context, [{ name, kubeconfig }], bySsh);
            return { boot };
          },
        },
      ],
    };
  },
};
