/** `node lab/main.ts COMMAND`: the lab by hand. Results go to stdout, progress to stderr. */
import { messageOf, SeatrialError } from "../src/base/errors.ts";
import { labDown, labStatus, labUp } from "./daemon.ts";
import { buildForge, forgeDown, forgeUp } from "./forge.ts";
import { buildLab } from "./images.ts";
import { currentLab } from "./lab.ts";
import { remoteDown, remoteUp } from "./remote.ts";
import { buildRunnerBase } from "./runner-image.ts";

const usage = `usage: node lab/main.ts COMMAND
  build [--k8s vX.Y.Z]…   the daemon and its images; by default the node image of the default Kubernetes
  runner-image            what jobs in containers run in; build makes it, too
  up                      the daemon; prints its DOCKER_HOST
  down                    stops it; its images stay in the cache
  status
  remote-up               a second daemon behind ssh://root@10.99.0.2; prints how to reach it
  remote-down
  forge-build             Gitea
  forge-up                builds and starts it; prints its address and the administrator's token
  forge-down`;

async function main(args: string[]): Promise<void> {
  const lab = currentLab();
  const [command, ...rest] = args;
  switch (command) {
    case "build": {
      const asked = rest.filter((_, index) => rest[index - 1] === "--k8s");
      if (rest.length !== asked.length * 2) throw new SeatrialError("usage", usage);
      const { dockerHost, images } = await buildLab(lab, asked.length > 0 ? { kubernetes: asked } : {});
      const { image } = await buildRunnerBase(lab);
      process.stdout.write(`${[`DOCKER_HOST=${dockerHost}`, ...images, image].join("\n")}\n`);
      return;
    }
    case "runner-image":
      process.stdout.write(`${(await buildRunnerBase(lab)).image}\n`);
      return;
    case "up":
      process.stdout.write(`DOCKER_HOST=${(await labUp(lab)).dockerHost}\n`);
      return;
    case "down":
      await labDown(lab);
      return;
    case "status":
      process.stdout.write(`${JSON.stringify(await labStatus(lab), null, 2)}\n`);
      return;
    case "remote-up":
      process.stdout.write(`${JSON.stringify(await remoteUp(lab), null, 2)}\n`);
      return;
    case "remote-down":
      await remoteDown(lab);
      return;
    case "forge-build":
      process.stdout.write(`${(await buildForge(lab)).program}\n`);
      return;
    case "forge-up":
      process.stdout.write(`${JSON.stringify(await forgeUp(lab), null, 2)}\n`);
      return;
    case "forge-down":
      await forgeDown(lab);
      return;
    default:
      throw new SeatrialError("usage", usage);
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  if (error instanceof SeatrialError && error.hint) process.stderr.write(`hint: ${error.hint}\n`);
  process.exitCode = error instanceof SeatrialError && error.code === "usage" ? 2 : 1;
}
