/**
 * `offline/runner:1`: what the runner's image is made from where no container registry can be reached: a small Debian with git and
 * the Node that this runs on. Made like the lab's other images, and anew only when what shapes it differs.
 */
import { createHash } from "node:crypto";
import { chmod, cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { seconds } from "../src/base/output.ts";
import { labBaseImage } from "../src/runner/executors/runner-image.ts";
import { labUp } from "./daemon.ts";
import { debianMirror, keyLabel } from "./images.ts";
import { currentLab, lockLab, system, systemEnvironment, type Lab } from "./lab.ts";

/** What the steps of a job expect to find: little beside what GitHub's images have, enough for shell, git and archives. */
const packages = [
  "bash",
  "ca-certificates",
  "curl",
  "git",
  "iproute2",
  "jq",
  "make",
  "openssh-client",
  "procps",
  "unzip",
  "util-linux",
  "xz-utils",
];

/** Makes the image unless the daemon has it; starts the daemon. Takes about a minute. */
export async function buildRunnerBase(lab: Lab = currentLab()): Promise<{ dockerHost: string; image: string }> {
  const { dockerHost } = await labUp(lab);
  using _lock = await lockLab(lab, "images");
  const env = systemEnvironment(lab, { DOCKER_HOST: dockerHost, DOCKER_CONFIG: join(lab.dir, "docker-config") });
  const docker = async (...args: string[]) => await system(lab, "docker", args, { env, okCodes: [0, 1] });
  const key = createHash("sha256")
    .update([process.arch, process.version, ...packages].join("\0"))
    .digest("hex")
    .slice(0, 24);
  const found = await docker("image", "inspect", "--format", `{{index .Config.Labels ${JSON.stringify(keyLabel)}}}`, labBaseImage);
  if (found.exitCode === 0 && found.stdout === key) return { dockerHost, image: labBaseImage };
  const startedAt = performance.now();
  lab.say(`making ${labBaseImage}`);
  const folder = await mkdtemp(join(lab.dir, ".image-"));
  try {
    const root = join(folder, "root");
    await system(lab, "debootstrap", ["--variant=minbase", `--include=${packages.join(",")}`, "bookworm", root, await debianMirror()]);
    await mkdir(join(root, "usr", "local", "bin"), { recursive: true });
    await cp(process.execPath, join(root, "usr", "local", "bin", "node"));
    await chmod(join(root, "usr", "local", "bin", "node"), 0o755);
    const left = ["var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man", "dev"];
    const archive = join(folder, "runner.tar");
    await system(lab, "tar", ["-C", root, ...left.map((each) => `--exclude=./${each}/*`), "-cf", archive, "."]);
    const changes = [`LABEL ${keyLabel}=${key}`, "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8"];
    await system(lab, "docker", ["import", ...changes.flatMap((change) => ["--change", change]), archive, labBaseImage], { env });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  lab.say(`made ${labBaseImage} in ${seconds(performance.now() - startedAt)}`);
  return { dockerHost, image: labBaseImage };
}
