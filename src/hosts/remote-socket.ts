/**
 * Where Docker's socket is on the other side of an ssh connection: what a `docker` that is run there by that user would
 * take, so that DOCKER_HOST=ssh:// means the same daemon to us as to the docker CLI.
 */
import { SeatrialError } from "../base/errors.ts";
import { sshCommand, type SshDestination } from "./ssh-errors.ts";
import type { SshConnection } from "./ssh-connection.ts";

const MARK = "seatrial-docker:";

/**
 * Its answer is one line, `MARK state address`, among whatever the user's own shell files print.
 * Rootless Docker and Docker Desktop have their sockets in the user's folders; they come after the usual one.
 */
const SCRIPT = `
address=$DOCKER_HOST
[ -n "$address" ] || address=$(docker context inspect --format '{{.Endpoints.docker.Host}}' </dev/null 2>/dev/null) || address=
case $address in
  "") for path in /var/run/docker.sock "\${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/docker.sock" "$HOME/.docker/run/docker.sock"; do
        [ -S "$path" ] && break
        path=/var/run/docker.sock
      done ;;
  unix://*) path=\${address#unix://} ;;
  *) echo "${MARK} elsewhere \${address%%:*}"; exit 0 ;;
esac
if [ ! -S "$path" ]; then state=missing
elif [ ! -r "$path" ] || [ ! -w "$path" ]; then state=denied
else state=found
fi
echo "${MARK} $state $path"
`;

/** @throws SeatrialError `unreachable` when there is none, or none for this user. */
export async function findRemoteSocket(
  connection: SshConnection,
  name: string,
  destination: SshDestination,
  configFile: string | undefined,
  signal: AbortSignal,
): Promise<string> {
  const { stdout } = await connection.script(SCRIPT, signal);
  const answer = stdout.split("\n").findLast((line) => line.startsWith(MARK)) ?? "";
  const [, state, path = ""] = /^\S+ (\S+) (.*)$/.exec(answer.trimEnd()) ?? [];
  const command = sshCommand(destination, configFile);
  switch (state) {
    case "found":
      // What ssh would read as a separator or expand. Docker's own paths have none of these.
      if (/^\/[^:\\%$\s\p{Cc}]*$/u.test(path)) return path;
      throw new SeatrialError("unreachable", `Docker's socket on ${name} has a path that cannot be forwarded: ${JSON.stringify(path)}`, {
        hint: "give the socket a path without spaces, colons, % and $",
      });
    case "denied":
      throw new SeatrialError("unreachable", `the user on ${name} may not use Docker: ${path} is not theirs to read and write`, {
        hint: `have the user added to the group of that socket there (usually: usermod -aG docker USER); \`${command} docker version\` must work`,
      });
    case "missing":
      throw new SeatrialError("unreachable", `there is no Docker socket ${path} on ${name}`, {
        hint: `start Docker there, or set DOCKER_HOST=unix://… in that user's environment there; \`${command} docker version\` shows what is found`,
      });
    case "elsewhere":
      throw new SeatrialError("unreachable", `the Docker that is set on ${name} is at ${path}://…, and only a unix socket is forwarded`, {
        hint: `name that daemon in DOCKER_HOST here, or set DOCKER_HOST=unix://… in that user's environment there`,
      });
    default:
      throw new SeatrialError("unreachable", `the shell on ${name} did not say where Docker's socket is`, {
        hint: `\`${command} sh -c true\` must work`,
        cause: new Error(stdout.slice(-500)),
      });
  }
}
