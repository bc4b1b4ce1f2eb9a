import { beforeEach, describe, expect, test } from "vitest";
import { type DockerClient, DockerError } from "../docker/client.ts";
import type { ContainerDetails } from "../docker/objects.ts";
import { labels } from "../docker/ownership.ts";
import type { Registry, RegistrySpec } from "../resources/registry.ts";
import { type EnsureOptions, reasonsToRecreate, Registries } from "./registries.ts";

const registry = (spec: RegistrySpec = {}): Registry => ({
  apiVersion: "seatrial.dev/v1alpha1",
  kind: "Registry",
  metadata: { name: "reg" },
  spec,
});

/** What the image registry:3 brings by itself; ctlptl took it for a difference at each apply, and lost all contents. */
const builtIn = ["PATH=/usr/local/bin:/bin", "OTEL_TRACES_EXPORTER=none"];

function details(
  more: { env?: string[]; image?: string; labels?: Record<string, string>; port?: string; pinned?: string; address?: string } = {},
): ContainerDetails {
  const { port = "5005", pinned = port, address = "127.0.0.1" } = more;
  return {
    Id: "c1",
    Name: "/reg",
    Created: "2026-01-01T00:00:00.123Z",
    Image: "sha256:1",
    State: { Status: "running", Running: true, Paused: false, ExitCode: 0, Error: "" },
    Config: {
      Image: more.image ?? "docker.io/library/registry:3",
      Labels: more.labels ?? null,
      Env: more.env ?? ["REGISTRY_STORAGE_DELETE_ENABLED=true", ...builtIn],
      Cmd: null,
    },
    HostConfig: { PortBindings: { "5000/tcp": [{ HostIp: address, HostPort: pinned }] } },
    Mounts: [],
    NetworkSettings: { Ports: port ? { "5000/tcp": [{ HostIp: address, HostPort: port }] } : {}, Networks: {} },
  };
}

describe("why a registry is made anew", () => {
  test.each<[string, ContainerDetails, RegistrySpec, RegExp[]]>([
    ["nothing was asked for, with registry:3's own variables", details(), {}, []],
    [
      "the same as it is",
      details({ env: ["A=1", ...builtIn] }),
      { port: 5005, listenAddress: "127.0.0.1", image: "registry:3", env: ["A=1"] },
      [],
    ],
    ["one image, named in three ways: registry:3", details({ image: "registry:3" }), { image: "docker.io/library/registry:3" }, []],
    [
      "one image, named in three ways: docker.io/registry:3",
      details({ image: "library/registry:3" }),
      { image: "docker.io/registry:3" },
      [],
    ],
    ["another image", details(), { image: "registry:2" }, [/^its image is docker\.io\/library\/registry:3, asked for is registry:2$/]],
    ["another registry's image of that name", details(), { image: "ghcr.io/library/registry:3" }, [/its image is/]],
    ["another port", details(), { port: 5006 }, [/^its port is 5005, asked for is 5006$/]],
    ["port 0 is no wish", details(), { port: 0 }, []],
    ["another address", details(), { listenAddress: "0.0.0.0" }, [/^its? listens on 127\.0\.0\.1, asked for is 0\.0\.0\.0$/]],
    ["a label more", details(), { labels: { team: "a" } }, [/^its label team is not there, asked for is a$/]],
    ["a label's value", details({ labels: { team: "b" } }), { labels: { team: "a" } }, [/^its label team is b, asked for is a$/]],
    ["a label that it has, and others beside", details({ labels: { team: "a", other: "x" } }), { labels: { team: "a" } }, []],
    ["a variable more", details(), { env: ["A=1"] }, [/^its variable A is not as asked for$/]],
    [
      "a variable's value, which may be a secret and is not told",
      details({ env: ["A=old"] }),
      { env: ["A=secret"] },
      [/^its variable A is not as asked for$/],
    ],
    ["a value with = in it", details({ env: ["A=b=c"] }), { env: ["A=b=c"] }, []],
    ["all at once", details(), { port: 1, image: "x:1", env: ["A=1"] }, [/port/, /image/, /variable A/]],
    ["stopped: the port that it will have counts", details({ port: "", pinned: "5005" }), { port: 5005 }, []],
  ])("%s", (_, existing, spec, expected) => {
    const reasons = reasonsToRecreate(existing, registry(spec));
    expect(reasons).toHaveLength(expected.length);
    for (const [i, pattern] of expected.entries()) expect(reasons[i]).toMatch(pattern);
    expect(reasons.join()).not.toContain("secret");
  });
});

interface Body {
  Image: string;
  Env: string[];
  Labels: Record<string, string>;
  HostConfig: {
    PortBindings: Record<string, { HostIp: string; HostPort: string }[]>;
    RestartPolicy: { Name: string };
    Mounts?: { Source: string; VolumeOptions: { Labels: Record<string, string> } }[];
  };
}

/** A daemon as far as registries need one; calls are noted. */
class Daemon {
  readonly calls: string[] = [];
  readonly containers = new Map<string, ContainerDetails>();
  readonly volumes = new Set<string>();
  /** The installation that the volumes are labelled with. */
  volumesOf = "me";
  readonly bodies: Body[] = [];
  taken: string[] = [];
  #next = 1;
  readonly client = {
    container: async (idOrName: string) => await Promise.resolve(structuredClone(this.#find(idOrName))),
    containers: async () => await Promise.resolve([...this.containers.values()]),
    image: async () => await Promise.resolve({}),
    images: async () => await Promise.resolve([]),
    volumes: async () =>
      await Promise.resolve(
        [...this.volumes].map((Name) => ({ Name, Labels: { [labels.instance]: this.volumesOf, [labels.owner]: "declared" } })),
      ),
    removeVolume: async (name: string) => await Promise.resolve(void (this.calls.push(`remove volume ${name}`), this.volumes.delete(name))),
    createContainer: async (name: string, body: Body) => {
      const Id = `id${this.#next++}`;
      this.calls.push(`create ${name}`);
      this.bodies.push(body);
      for (const { Source } of body.HostConfig.Mounts ?? []) this.volumes.add(Source);
      const made = details({
        env: [...body.Env, ...builtIn],
        image: body.Image,
        labels: body.Labels,
        port: "",
        pinned: body.HostConfig.PortBindings["5000/tcp"]![0]!.HostPort,
      });
      const Mounts = (body.HostConfig.Mounts ?? []).map(({ Source }) => ({
        Type: "volume",
        Name: Source,
        Destination: "/var/lib/registry",
        Source: "",
      }));
      this.containers.set(Id, { ...made, Id, Name: `/${name}`, Mounts, State: { ...made.State, Status: "created", Running: false } });
      return await Promise.resolve(Id);
    },
    startContainer: async (id: string) => {
      const container = this.#find(id)!;
      const wanted = container.HostConfig.PortBindings!["5000/tcp"]![0]!.HostPort;
      this.calls.push(`start ${container.Name.slice(1)} on ${wanted}`);
      if (this.taken.includes(wanted))
        throw new DockerError(500, "start it", `Bind for 127.0.0.1:${wanted} failed: port is already allocated`);
      container.State = { ...container.State, Status: "running", Running: true };
      container.NetworkSettings.Ports = { "5000/tcp": [{ HostIp: "127.0.0.1", HostPort: wanted === "0" ? "33000" : wanted }] };
      return await Promise.resolve();
    },
    stopContainer: async (id: string) => {
      const container = this.#find(id)!;
      container.State = { ...container.State, Status: "exited", Running: false };
      container.NetworkSettings.Ports = {};
      return await Promise.resolve();
    },
    removeContainer: async (id: string) =>
      await Promise.resolve(
        void (this.calls.push(`remove ${this.#find(id)?.Name.slice(1)}`), this.containers.delete(this.#find(id)?.Id ?? "")),
      ),
    renameContainer: async (id: string, name: string) => await Promise.resolve(void (this.#find(id)!.Name = `/${name}`)),
    connect: async (network: string) => await Promise.resolve(void this.calls.push(`connect ${network}`)),
    containerLogs: async () => await Promise.resolve(""),
  };

  #find(idOrName: string): ContainerDetails | undefined {
    return this.containers.get(idOrName) ?? [...this.containers.values()].find(({ Name }) => Name === `/${idOrName}`);
  }
}

describe("ensure", () => {
  let daemon: Daemon;
  let registries: Registries;
  const options: EnsureOptions = { ownership: { instance: "me", owner: "declared" }, uid: "u1", isDurable: true, onProgress: () => {} };
  const only = () => {
    expect(daemon.containers.size).toBe(1);
    return [...daemon.containers.values()][0]!;
  };
  beforeEach(() => {
    daemon = new Daemon();
    registries = new Registries(daemon.client as unknown as DockerClient);
  });

  test("a declared one gets a port from the daemon, once, and keeps it", async () => {
    expect(await registries.ensure(registry(), options)).toMatchObject({ change: "created", hostPort: 33000 });
    expect(only().HostConfig.PortBindings!["5000/tcp"]![0]!.HostPort).toBe("33000");
    expect(daemon.bodies.at(-1)).toMatchObject({
      HostConfig: { RestartPolicy: { Name: "always" }, Mounts: [{ Source: "seatrial-registry-reg" }] },
    });
    expect(await registries.ensure(registry(), options)).toMatchObject({ change: "unchanged", hostPort: 33000, containerId: only().Id });
    expect(await registries.ensure(registry({ env: [] }), options)).toMatchObject({ change: "unchanged" });
  });

  test("a throwaway one is made once, by one call", async () => {
    await registries.ensure(registry({ port: 0 }), { ...options, isDurable: false });
    expect(daemon.calls).toEqual(["create reg", "start reg on 0"]);
    expect(daemon.volumes.size).toBe(0);
  });

  test("secrets are in no label", async () => {
    await registries.ensure(registry({ env: ["TOKEN=secret"] }), options);
    expect(JSON.stringify(daemon.bodies.map((body) => body.Labels))).not.toContain("secret");
    expect(daemon.bodies.at(-1)!.Env).toContain("TOKEN=secret");
  });

  test("custom variables survive a change of something else, and an apply that names none", async () => {
    await registries.ensure(registry({ env: ["TOKEN=secret", "REGISTRY_STORAGE_DELETE_ENABLED=false"] }), options);
    expect(await registries.ensure(registry(), options)).toMatchObject({ change: "unchanged" });
    expect(await registries.ensure(registry({ labels: { team: "a" } }), options)).toMatchObject({ change: "recreated", hostPort: 33000 });
    expect(only().Config.Env).toEqual(expect.arrayContaining(["TOKEN=secret", "REGISTRY_STORAGE_DELETE_ENABLED=false"]));
    expect(only()).toMatchObject({ Name: "/reg", Mounts: [{ Name: "seatrial-registry-reg" }], Config: { Labels: { team: "a" } } });
    expect(daemon.calls.join()).not.toContain("remove volume");
  });

  test("the port that is asked for is taken: nothing is left, or the old one is as it was", async () => {
    daemon.taken = ["5006"];
    await expect(registries.ensure(registry({ port: 5006 }), options)).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining("127.0.0.1:5006 on the Docker host is taken"),
    });
    expect([daemon.containers.size, daemon.volumes.size]).toEqual([0, 0]);

    const { containerId } = await registries.ensure(registry(), options);
    await expect(registries.ensure(registry({ port: 5006 }), options)).rejects.toMatchObject({ code: "conflict" });
    expect(only()).toMatchObject({ Id: containerId, Name: "/reg", State: { Running: true } });
    expect(await registries.ensure(registry(), options)).toMatchObject({ change: "unchanged", containerId });
  });

  test("contents that were there before outlive a start that fails", async () => {
    daemon.volumes.add("seatrial-registry-reg");
    daemon.taken = ["5006"];
    await expect(registries.ensure(registry({ port: 5006 }), options)).rejects.toMatchObject({ code: "conflict" });
    expect([...daemon.volumes]).toEqual(["seatrial-registry-reg"]);
  });

  test.each<[string, boolean]>([
    ["before its first start", false],
    ["before its port was pinned", true],
  ])("one whose maker was killed %s is made anew", async (_, wasStarted) => {
    const { containerId } = await registries.ensure(registry(), { ...options, isDurable: false });
    const half = only();
    half.Config.Labels = { ...half.Config.Labels, [labels.owner]: "declared" };
    if (!wasStarted) half.State = { ...half.State, Status: "created", Running: false };
    const result = await registries.ensure(registry(), options);
    expect(result).toMatchObject({ change: "created", hostPort: 33000 });
    expect(result.containerId).not.toBe(containerId);
    expect(only().HostConfig.PortBindings!["5000/tcp"]![0]!.HostPort).toBe("33000");
  });

  test("a container of that name that is no registry is refused and untouched", async () => {
    daemon.containers.set("x", { ...details({ image: "postgres" }), Id: "x" });
    await expect(registries.ensure(registry(), options)).rejects.toMatchObject({
      code: "refused",
      message: expect.stringContaining("image postgres"),
    });
    expect(daemon.calls).toEqual([]);
  });

  describe("one that ctlptl made", () => {
    beforeEach(() => void daemon.containers.set("x", { ...details({ labels: { "dev.tilt.ctlptl.role": "registry" } }), Id: "x" }));

    test("is used as it is", async () => {
      expect(await registries.ensure(registry({ port: 5005 }), options)).toMatchObject({ change: "unchanged", containerId: "x" });
    });

    test("is not made anew unless it may be taken over", async () => {
      await expect(registries.ensure(registry({ env: ["A=1"] }), options)).rejects.toMatchObject({
        code: "refused",
        hint: expect.stringContaining("--adopt"),
      });
      expect(daemon.calls).toEqual([]);
      expect(await registries.ensure(registry({ env: ["A=1"] }), { ...options, mayAdopt: true })).toMatchObject({
        change: "recreated",
        hostPort: 5005,
      });
    });
  });

  describe("one of another installation", () => {
    test("is not made anew unless it may be taken over", async () => {
      await registries.ensure(registry(), { ...options, ownership: { instance: "they", owner: "declared" } });
      await expect(registries.ensure(registry({ env: ["A=1"] }), options)).rejects.toMatchObject({ code: "refused" });
      expect(only().Config.Labels).toMatchObject({ [labels.instance]: "they" });
    });

    test("its contents are neither used nor deleted", async () => {
      daemon.volumes.add("seatrial-registry-reg");
      daemon.volumesOf = "they";
      await expect(registries.ensure(registry(), options)).rejects.toMatchObject({
        code: "refused",
        hint: expect.stringContaining("docker volume rm"),
      });
      expect(await registries.delete("reg", "me")).toBe(false);
      expect([...daemon.volumes]).toEqual(["seatrial-registry-reg"]);
    });
  });

  test("one that stopped is started", async () => {
    await registries.ensure(registry(), options);
    await daemon.client.stopContainer("reg");
    expect(await registries.ensure(registry(), options)).toMatchObject({ change: "started", hostPort: 33000 });
  });

  test("delete takes the contents too, also when the container is gone already", async () => {
    await registries.ensure(registry(), options);
    expect(await registries.delete("reg", "me")).toBe(true);
    expect([daemon.containers.size, daemon.volumes.size]).toEqual([0, 0]);
    expect(await registries.delete("reg", "me")).toBe(false);
    daemon.volumes.add("seatrial-registry-reg");
    daemon.volumes.add("seatrial-registry-other");
    expect(await registries.delete("reg", "me")).toBe(true);
    expect([...daemon.volumes]).toEqual(["seatrial-registry-other"]);
  });
});
