/**
 * The images of the lab, made in its daemon:
 * - `offline/base`: a small Debian by debootstrap;
 * - `offline/node:vX.Y.Z`: what an unmodified kind boots, with all images of the control plane inside;
 * - `offline/registry:X.Y.Z`: distribution, laid out as the image `registry:3`;
 * - `offline/test:1`: one static program, for pods of tests.
 *
 * Each carries a label with the hash of everything that shapes it and is made anew only when that differs. A run that was
 * stopped goes on where it was: programs are in the cache one by one, images in the daemon.
 */
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { SeatrialError } from "../src/base/errors.ts";
import { seconds } from "../src/base/output.ts";
import { buildIntoCache } from "../src/programs/cache.ts";
import { recipes, type BuildableName, type GoRecipe } from "../src/programs/recipes.ts";
import { defaultKubernetesVersion, versions } from "../src/programs/versions.ts";
import { labUp } from "./daemon.ts";
import { currentLab, lockLab, system, systemEnvironment, type Lab } from "./lab.ts";
import { buildOwnPrograms, hashOfFolders, type OwnPrograms } from "./own-programs.ts";

export const keyLabel = "seatrial.dev/lab-key";
export const registryImage = `offline/registry:${versions.distribution.slice(1)}`;
export const testImage = "offline/test:1";
export const nodeImage = (kubernetes: string = defaultKubernetesVersion) => `offline/node:${kubernetes}`;

const baseImage = "offline/base:bookworm";
const basePackages = [
  "bash",
  "ca-certificates",
  "conntrack",
  "containernetworking-plugins",
  "curl",
  "ethtool",
  "iproute2",
  "iptables",
  "jq",
  "kmod",
  "mount",
  "procps",
  "runc",
  "socat",
  "util-linux",
];
const upstream = "registry.k8s.io";

/** What runs on a node; its control plane's programs go into images of their own. */
const kubernetesPrograms = [
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "kube-proxy",
  "kubelet",
  "kubeadm",
  "kubectl",
] as const satisfies readonly BuildableName[];

export interface BuildLabOptions {
  /** Versions of Kubernetes to make node images of. Default: the product's default alone. */
  kubernetes?: readonly string[];
}

/** Starts the daemon and makes every image that it lacks. */
export async function buildLab(lab: Lab = currentLab(), options: BuildLabOptions = {}): Promise<{ dockerHost: string; images: string[] }> {
  const { dockerHost } = await labUp(lab);
  using _lock = await lockLab(lab, "images");
  const builder = new Builder(lab, dockerHost, await buildOwnPrograms(lab));
  const images = [await builder.test(), await builder.registry()];
  for (const kubernetes of options.kubernetes ?? [defaultKubernetesVersion]) images.push(await builder.node(kubernetes));
  return { dockerHost, images };
}

class Builder {
  readonly #lab: Lab;
  readonly #own: OwnPrograms;
  readonly #env: Record<string, string>;

  constructor(lab: Lab, dockerHost: string, own: OwnPrograms) {
    this.#lab = lab;
    this.#own = own;
    // Debian's daemon has the classic builder; newer clients must be told to use it.
    this.#env = systemEnvironment(lab, { DOCKER_HOST: dockerHost, DOCKER_BUILDKIT: "0", DOCKER_CONFIG: join(lab.dir, "docker-config") });
  }

  async test(): Promise<string> {
    const key = keyOf("test", await hashOfFolders(["go.mod", "test-image"]));
    return await this.#make(testImage, key, async (folder) => {
      await place(this.#own.test, folder, "lab-test");
      await this.#build(testImage, folder, key, ["FROM scratch", "COPY lab-test /lab-test", 'ENTRYPOINT ["/lab-test"]', 'CMD ["sleep"]']);
    });
  }

  async registry(): Promise<string> {
    const version = versions.distribution;
    const key = keyOf("registry", version, recipeOf("registry"), await hashOfFolders(["registry"]));
    return await this.#make(registryImage, key, async (folder) => {
      await place((await this.#programs([["registry", version]]))[0]!, folder, "registry");
      await place(join(import.meta.dirname, "registry", "config.yml"), folder, "config.yml");
      await this.#build(registryImage, folder, key, [
        "FROM scratch",
        "COPY registry /bin/registry",
        "COPY config.yml /etc/distribution/config.yml",
        "ENV PATH=/bin OTEL_TRACES_EXPORTER=none",
        'VOLUME ["/var/lib/registry"]',
        "EXPOSE 5000",
        'ENTRYPOINT ["registry"]',
        'CMD ["serve", "/etc/distribution/config.yml"]',
      ]);
    });
  }

  async node(kubernetes: string): Promise<string> {
    const tag = nodeImage(kubernetes);
    const key = keyOf(
      "node",
      kubernetes,
      versions.containerd,
      basePackages.join(),
      ...kubernetesPrograms.map(recipeOf),
      recipeOf("containerd"),
      await hashOfFolders(["go.mod", "images.ts", "node", "runtime"]),
    );
    return await this.#make(tag, key, async (folder) => {
      const base = await this.#base();
      const control = await this.#programs(kubernetesPrograms.map((name) => [name, kubernetes]));
      const [apiserver, controllerManager, scheduler, proxy, kubelet, kubeadm, kubectl] = control as [
        string,
        string,
        string,
        string,
        string,
        string,
        string,
      ];
      // kubeadm knows which versions of the rest belong to it.
      const tags = await this.#imageTags(kubeadm, kubernetes);
      const [etcd, coredns, containerd, shim, ctr] = (await this.#programs([
        ["etcd", `v${tags.etcd.replace(/-\d+$/, "")}`],
        ["coredns", tags.coredns],
        ["containerd", versions.containerd],
        ["containerd-shim-runc-v2", versions.containerd],
        ["ctr", versions.containerd],
      ])) as [string, string, string, string, string];
      const images = [
        await this.#component(folder, `${upstream}/kube-apiserver:${kubernetes}`, apiserver),
        await this.#component(folder, `${upstream}/kube-controller-manager:${kubernetes}`, controllerManager),
        await this.#component(folder, `${upstream}/kube-scheduler:${kubernetes}`, scheduler),
        await this.#proxy(folder, `${upstream}/kube-proxy:${kubernetes}`, proxy, base),
        await this.#component(folder, `${upstream}/etcd:${tags.etcd}`, etcd),
        await this.#component(folder, `${upstream}/coredns/coredns:${tags.coredns}`, coredns, "/coredns"),
        await this.#component(folder, `${upstream}/pause:${tags.pause}`, this.#own.pause, "/pause"),
      ];
      const context = join(folder, "node");
      await cp(join(import.meta.dirname, "node", "files"), join(context, "files"), { recursive: true });
      const config = join(context, "files", "containerd.toml");
      await writeFile(config, (await readFile(config, "utf8")).replace("@PAUSE@", tags.pause));
      for (const [from, name] of [
        [kubelet],
        [kubeadm],
        [kubectl],
        [containerd],
        [shim],
        [ctr],
        [this.#own.network, "node-network"],
      ] as const) {
        await place(from, join(context, "bin"), name ?? basename(from));
      }
      await place(this.#own.runtime, context, "runc-within-limits");
      await mkdir(join(context, "images"));
      await this.#docker(["save", ...images, "-o", join(context, "images", "all.tar")]);
      const importImages = [
        `echo ${kubernetes} > /kind/version`,
        "mkdir -p /etc/kubernetes/manifests /etc/containerd/certs.d /etc/cni/net.d",
        "(containerd >/tmp/containerd.log 2>&1 &)",
        "for i in $(seq 100); do ctr version >/dev/null 2>&1 && break; sleep 0.1; done",
        "ctr -n k8s.io images import --label=io.cri-containerd.pinned=pinned --no-unpack --all-platforms /kind/images/all.tar",
        "rm -rf /kind/images /tmp/containerd.log",
      ].join(" && ");
      await this.#build(tag, context, key, [
        `FROM ${base}`,
        "COPY bin/ /usr/local/bin/",
        "COPY runc-within-limits /usr/local/sbin/",
        "COPY files/entrypoint files/systemctl files/journalctl files/crictl /usr/local/bin/",
        "COPY files/kubelet.conf.d /etc/kubernetes/kubelet.conf.d",
        "COPY files/containerd.toml /etc/containerd/config.toml",
        "COPY files/20-limits.conf /kind/",
        "COPY files/manifests /kind/manifests",
        "COPY images /kind/images",
        `RUN ${importImages}`,
        "ENV container=docker",
        "STOPSIGNAL SIGRTMIN+3",
        'ENTRYPOINT ["/usr/local/bin/entrypoint"]',
      ]);
      await this.#docker(["image", "rm", ...images]);
      // The first stage of an image of two.
      await this.#docker(["image", "prune", "-f"]);
    });
  }

  async #base(): Promise<string> {
    const key = keyOf("base", "bookworm", basePackages.join());
    return await this.#make(baseImage, key, async (folder) => {
      const root = join(folder, "root");
      const include = `--include=${basePackages.join(",")}`;
      await system(this.#lab, "debootstrap", ["--variant=minbase", include, "bookworm", root, await debianMirror()]);
      const left = ["var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man", "dev"];
      const archive = join(folder, "base.tar");
      await system(this.#lab, "tar", ["-C", root, ...left.map((each) => `--exclude=./${each}/*`), "-cf", archive, "."]);
      await this.#docker(["import", "--change", `LABEL ${keyLabel}=${key}`, archive, baseImage]);
    });
  }

  /** An image of one static program. Manifests name it without a folder. */
  async #component(folder: string, tag: string, program: string, entrypoint?: string): Promise<string> {
    const context = await mkdtemp(join(folder, "component-"));
    const name = basename(entrypoint ?? program);
    await place(program, context, name);
    const start = entrypoint ? [`ENTRYPOINT [${JSON.stringify(entrypoint)}]`] : [];
    const folderInside = entrypoint ? "/" : "/usr/local/bin/";
    await this.#build(tag, context, undefined, [
      "FROM scratch",
      `COPY ${name} ${folderInside}${name}`,
      "ENV PATH=/usr/local/bin",
      ...start,
    ]);
    await rm(context, { recursive: true });
    return tag;
  }

  /** kube-proxy runs iptables and conntrack: they go with their libraries, not with a whole Debian that each boot would unpack. */
  async #proxy(folder: string, tag: string, program: string, base: string): Promise<string> {
    const context = await mkdtemp(join(folder, "component-"));
    await place(program, context, "kube-proxy");
    const collect = [
      "set -e",
      "mkdir -p /out/run /out/tmp /out/usr/sbin",
      'for f in xtables-nft-multi xtables-legacy-multi conntrack; do cp --parents "$(command -v $f)" /out; done',
      "cp -a --parents /usr/lib/*/xtables /out",
      // Of the extensions too: some bring libraries that the programs do without.
      "ldd /out/usr/sbin/* /usr/lib/*/xtables/*.so | grep -o '/[^ :]*lib[^ :]*' | sort -u | while read l; do cp -L --parents $l /out; done",
      "for n in iptables ip6tables; do for s in '' -save -restore; do ln -s xtables-nft-multi /out/usr/sbin/$n$s; done; done",
    ].join("; ");
    await this.#build(tag, context, undefined, [
      `FROM ${base} AS base`,
      `RUN ${collect}`,
      "FROM scratch",
      "COPY --from=base /out /",
      "COPY kube-proxy /usr/local/bin/kube-proxy",
      "ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]);
    await rm(context, { recursive: true });
    return tag;
  }

  /** Makes an image unless the daemon has it with the same key. */
  async #make(tag: string, key: string, make: (folder: string) => Promise<void>): Promise<string> {
    if ((await this.#keyOfImage(tag)) === key) return tag;
    const startedAt = performance.now();
    this.#lab.say(`making ${tag}`);
    const folder = await mkdtemp(join(this.#lab.dir, ".image-"));
    try {
      await make(folder);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    this.#lab.say(`made ${tag} in ${seconds(performance.now() - startedAt)}`);
    return tag;
  }

  async #build(tag: string, context: string, key: string | undefined, lines: readonly string[]): Promise<void> {
    await writeFile(join(context, "Dockerfile"), `${lines.join("\n")}\n`);
    const label = key ? ["--label", `${keyLabel}=${key}`] : [];
    await this.#docker(["build", "-q", "--no-cache", "--force-rm", ...label, "-t", tag, context]);
  }

  async #keyOfImage(tag: string): Promise<string | undefined> {
    const format = `{{index .Config.Labels ${JSON.stringify(keyLabel)}}}`;
    const asked = await system(this.#lab, "docker", ["image", "inspect", "--format", format, tag], { env: this.#env, okCodes: [0, 1] });
    return asked.exitCode === 0 ? asked.stdout : undefined;
  }

  async #docker(args: readonly string[]): Promise<string> {
    return (await system(this.#lab, "docker", args, { env: this.#env })).stdout;
  }

  async #programs(wanted: readonly (readonly [BuildableName, string])[]): Promise<string[]> {
    const { environment } = this.#lab;
    return await buildIntoCache(
      wanted.map(([name, version]) => ({ name, version })),
      { environment, onProgress: (line) => this.#lab.say(line) },
    );
  }

  async #imageTags(kubeadm: string, kubernetes: string): Promise<{ etcd: string; coredns: string; pause: string }> {
    const { stdout } = await system(this.#lab, kubeadm, ["config", "images", "list", "--kubernetes-version", kubernetes]);
    const tagOf = (name: string) => {
      const found = new RegExp(`/${name}:(\\S+)$`, "m").exec(stdout)?.[1];
      if (!found) throw new SeatrialError("internal", `kubeadm ${kubernetes} lists no image of ${name}:\n${stdout}`);
      return found;
    };
    return { etcd: tagOf("etcd"), coredns: tagOf("coredns"), pause: tagOf("pause") };
  }
}

/** The mirror that this machine's own packages come from. */
export async function debianMirror(): Promise<string> {
  for (const path of ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"]) {
    if (!existsSync(path)) continue;
    const found = /^(?:URIs:\s*|deb\s+(?:\[[^\]]*\]\s+)?)(https?:\S+)/m.exec(await readFile(path, "utf8"))?.[1];
    if (found) return found;
  }
  throw new SeatrialError("not-found", "the apt sources of this machine name no Debian mirror over http");
}

async function place(from: string, folder: string, name: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await cp(from, join(folder, name));
  if (!name.endsWith(".yml")) await chmod(join(folder, name), 0o755);
}

function recipeOf(name: BuildableName): string {
  const recipe: GoRecipe = recipes[name];
  return JSON.stringify([recipe, recipe.ldflags?.("v0.0.0")]);
}

function keyOf(...parts: readonly string[]): string {
  return createHash("sha256")
    .update([process.arch, ...parts].join("\0"))
    .digest("hex")
    .slice(0, 24);
}
