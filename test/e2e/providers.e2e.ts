/** Every provider, held to the contract of src/clusters/provider.ts. */
import { homedir, tmpdir } from "node:os";
import { environmentFrom } from "../../src/base/environment.ts";
import { describeProvider, type ProviderUnderTest } from "../../src/clusters/conformance.ts";
import type { ClusterProvider, Target } from "../../src/clusters/provider.ts";
import { controlPlaneProcesses, stopControlPlane } from "../../src/controlplane/control-plane.ts";
import { labels } from "../../src/docker/ownership.ts";
import type { Cluster, Provider } from "../../src/resources/cluster.ts";
import { CommandWorkspace } from "../../src/server/start.ts";
import { docker, newName, nodesOf, testImage } from "../support/clusters.ts";
import { findDocker, type Home, needDocker, openHome } from "../support/e2e.ts";

interface Opened {
  workspace: CommandWorkspace;
  provider: ClusterProvider;
  base: Pick<ProviderUnderTest, "provider" | "records" | "instance" | "cluster" | "close">;
}

async function open(name: Provider): Promise<Opened> {
  const home: Home = await openHome();
  const environment = environmentFrom({
    variables: home.variables,
    homeDir: homedir(),
    tempDir: tmpdir(),
    uid: process.getuid?.() ?? 0,
    cwd: home.cwd,
  });
  const say = (): void => {};
  const workspace = new CommandWorkspace(environment, { out: say, write: say, err: say }, new AbortController().signal);
  const provider = await workspace.provider(name);
  const cluster: Cluster = {
    apiVersion: "seatrial.dev/v1alpha1",
    kind: "Cluster",
    metadata: { name: newName("conf") },
    spec: { provider: name },
  };
  const close = async () => {
    await workspace[Symbol.asyncDispose]();
    await home.close();
  };
  return { workspace, provider, base: { provider, records: workspace.records, instance: await workspace.instance(), cluster, close } };
}

describeProvider({
  name: "kind",
  skip: [],
  create: async (context) => {
    const on = await needDocker(context);
    const { base } = await open("kind");
    const names = async ({ name }: Target) => (await nodesOf(on, name)).map(({ Names }) => Names[0]!.slice(1));
    return {
      ...base,
      image: (await on.client.image(testImage)) ? testImage : undefined,
      stop: async (target) => void (await docker(on, "stop", "-t", "1", ...(await names(target)))),
      kill: async (target) => void (await docker(on, "kill", (await names(target))[0]!)),
      leftOf: async ({ uid }) => {
        const ours = `${labels.uid}=${uid}`;
        const [containers, networks, images] = await Promise.all([
          on.client.containers([ours]),
          on.client.networks(ours),
          on.client.images({ label: [ours] }),
        ]);
        return [
          ...containers.map(({ Id }) => `container ${Id}`),
          ...networks.map(({ Name }) => `network ${Name}`),
          ...images.map(({ Id }) => `image ${Id}`),
        ];
      },
    };
  },
});

describeProvider({
  name: "bare",
  skip: [{ reason: "bare has no nodes that could run an image", tests: ["images"] }],
  create: async () => {
    await findDocker(); // So that its connection is nobody's leak.
    const { base } = await open("bare");
    return {
      ...base,
      stop: async ({ uid }) => await stopControlPlane(uid),
      kill: async ({ uid }) =>
        void process.kill(controlPlaneProcesses(uid).find(({ program }) => program.endsWith("/etcd"))!.identity.pid, "SIGKILL"),
      leftOf: async ({ uid }) =>
        await Promise.resolve(controlPlaneProcesses(uid).map(({ program, identity }) => `${program} ${identity.pid}`)),
    };
  },
});
