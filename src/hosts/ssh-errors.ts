/** From ssh's last words to an error that says what to do. The words are OpenSSH's, which does not translate them. */
import { SeatrialError, type ErrorOptions } from "../base/errors.ts";

export interface SshDestination {
  host: string;
  user?: string | undefined;
  port?: number | undefined;
}

/** The words of a command line that name the destination; `--` keeps a host from being read as an option. */
export function destinationArgs(destination: SshDestination): string[] {
  const { host, user, port } = destination;
  return [...(user === undefined ? [] : ["-l", user]), ...(port === undefined ? [] : ["-p", String(port)]), "--", host];
}

/** `ssh …` as a person types it to see for themselves. */
export function sshCommand(destination: SshDestination, configFile: string | undefined): string {
  const { host, user, port } = destination;
  const options = [...(configFile === undefined ? [] : ["-F", configFile]), ...(port === undefined ? [] : ["-p", port])];
  return ["ssh", ...options, user === undefined ? host : `${user}@${host}`].join(" ");
}

const UNREACHABLE =
  /Could not resolve hostname|Connection refused|timed out|No route to host|Network is (unreachable|down)|Host is (down|unreachable)|Connection (closed|reset)|kex_exchange_identification|not responding|Broken pipe/i;

/**
 * @param name the destination as messages name it.
 * @param words the last lines that ssh wrote.
 */
export function sshError(
  name: string,
  destination: SshDestination,
  configFile: string | undefined,
  words: readonly string[],
  exitCode: number | null,
): SeatrialError {
  const text = words.join("\n");
  const command = sshCommand(destination, configFile);
  const last = words.findLast((line) => line.trim() !== "")?.trim();
  const error = (why: string, options: ErrorOptions) => new SeatrialError("unreachable", `cannot connect to ${name}: ${why}`, options);
  const keyscan = `ssh-keyscan ${destination.port === undefined ? "" : `-p ${destination.port} `}${destination.host}`;

  if (exitCode === 127) {
    return new SeatrialError("missing-program", `cannot connect to ${name}: there is no program ssh on PATH`, {
      hint: "install OpenSSH's client (Debian: apt-get install openssh-client)",
    });
  }
  // OpenSSH's words for a changed key; a key that it knows as revoked is no less a reason to look.
  if (/REMOTE HOST IDENTIFICATION HAS CHANGED|REVOKED HOST KEY/.test(text)) {
    const place = /^Offending .* in (\S+:\d+)/m.exec(text)?.[1];
    const known = destination.port === undefined ? destination.host : `[${destination.host}]:${destination.port}`;
    return error(`its host key is not the one that is known${place ? ` (${place})` : ""}: somebody else may be answering`, {
      hint: `find out from its administrator whether the key was changed; if so: ssh-keygen -R '${known}', then \`${command}\` once`,
    });
  }
  if (/Host key verification failed|No \S+ host key is known/.test(text)) {
    return error("its host key is not known here", {
      hint: `run \`${command}\` once and compare the fingerprint that it shows, or add the output of \`${keyscan}\` to ~/.ssh/known_hosts after comparing`,
    });
  }
  if (/Permission denied|Too many authentication failures|No supported authentication methods/.test(text)) {
    return error(last ?? "permission denied", {
      hint: `the key must work without a question: try \`${command} true\`; a key with a passphrase needs \`ssh-add\``,
    });
  }
  if (UNREACHABLE.test(text)) {
    return error(words.findLast((line) => UNREACHABLE.test(line))!.trim(), {
      hint: `is the host up, and is this its name? Try \`${command} true\``,
      retryable: true,
    });
  }
  return error(last ?? `ssh ended with exit code ${exitCode}`, { hint: `try \`${command} true\``, retryable: true });
}
