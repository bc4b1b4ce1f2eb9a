/**
 * What the process was given: its environment variables, folders and identity of the machine, read once in `main.ts`
 * and handed down. No other module reads `process.env`.
 */
import { join, resolve } from "node:path";

export interface Environment {
  /** The environment variables, as they were at the start. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** Lasts: the installation's id, one folder for each cluster. `SEATRIAL_HOME`, else `~/.local/share/seatrial`. */
  readonly dataDir: string;
  /** Can be deleted at any time: programs, downloads. `SEATRIAL_CACHE`, else `~/.cache/seatrial`. */
  readonly cacheDir: string;
  /** Lasts until the user logs out: sockets, locks of this user. `$XDG_RUNTIME_DIR/seatrial`, else `/tmp/seatrial-UID`. */
  readonly runtimeDir: string;
  /**
   * Lasts until reboot, whoever logs out and whatever a session's TMPDIR is: sockets that containers hold. `/tmp/seatrial-UID`: a
   * short path, which Docker Desktop shares, and where nothing that tidies up takes a socket away that somebody listens on.
   */
  readonly doorsDir: string;
  readonly homeDir: string;
  /** For files that nobody needs afterwards. */
  readonly tempDir: string;
  readonly cwd: string;
}

/** Builds the environment from what Node gives; pure, so that tests give their own. */
export function environmentFrom(given: {
  variables: Readonly<Record<string, string | undefined>>;
  homeDir: string;
  tempDir: string;
  uid: number;
  cwd: string;
}): Environment {
  const { variables, homeDir, tempDir, uid, cwd } = given;
  const set = (name: string) => (variables[name] === "" ? undefined : variables[name]);
  return {
    variables,
    homeDir,
    tempDir,
    cwd,
    // Absolute: what runs in another folder is told these paths.
    dataDir: resolve(cwd, set("SEATRIAL_HOME") ?? join(set("XDG_DATA_HOME") ?? join(homeDir, ".local", "share"), "seatrial")),
    cacheDir: resolve(cwd, set("SEATRIAL_CACHE") ?? join(set("XDG_CACHE_HOME") ?? join(homeDir, ".cache"), "seatrial")),
    doorsDir: `/tmp/seatrial-${uid}`,
    runtimeDir: resolve(cwd, set("XDG_RUNTIME_DIR") ? join(set("XDG_RUNTIME_DIR")!, "seatrial") : join(tempDir, `seatrial-${uid}`)),
  };
}
