/** Disks that a test may fill. They need root. */
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { open, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "vitest";
import { systemCodeOf } from "../../src/base/errors.ts";

const mib = 1024 ** 2;

/** A file system in memory, gone when the test ends. */
export class Disk {
  readonly path: string;

  /** Or the end of the test, where nothing can be mounted. */
  static mount(context: Pick<TestContext, "skip" | "onTestFinished">, path: string, sizeMiB: number): Disk {
    mkdirSync(path, { recursive: true });
    const { status, stderr } = spawnSync("/bin/mount", ["-t", "tmpfs", "-o", `size=${sizeMiB}m,mode=0700`, "tmpfs", path], {
      encoding: "utf8",
    });
    if (status !== 0) context.skip(`no file system can be mounted here: ${stderr?.trim() ?? "there is no mount"}`);
    context.onTestFinished(() => void spawnSync("/bin/umount", ["-l", path]));
    return new Disk(path);
  }

  private constructor(path: string) {
    this.path = path;
  }

  /** Takes what is free, but for so many MiB. */
  async fill(leaveMiB = 0): Promise<void> {
    await this.free();
    const { bavail, bsize } = await statfs(this.path);
    const ballast = await open(this.#ballast, "w");
    try {
      const piece = Buffer.alloc(64 * 1024);
      for (let left = bavail * bsize - leaveMiB * mib; left > 0; left -= piece.length) await ballast.write(piece);
    } catch (error) {
      if (systemCodeOf(error) !== "ENOSPC") throw error;
    } finally {
      await ballast.close();
    }
  }

  async free(): Promise<void> {
    await rm(this.#ballast, { force: true });
  }

  get #ballast(): string {
    return join(this.path, "ballast");
  }
}
