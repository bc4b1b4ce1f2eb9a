/** Looking for files that can be run: nothing is started here. */
import { access, constants, stat } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";
import type { Environment } from "../base/environment.ts";

/** True for a regular file that this user may execute. */
export async function isExecutable(path: string): Promise<boolean> {
  try {
    if (!(await stat(path)).isFile()) return false;
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** All programs of that name in PATH, first found first; relative folders in PATH are not trusted. */
export async function lookInPath(name: string, environment: Environment, more: readonly string[] = []): Promise<string[]> {
  const folders = [...(environment.variables["PATH"] ?? "").split(delimiter), ...more];
  const found: string[] = [];
  for (const folder of new Set(folders.filter((each) => isAbsolute(each)))) {
    const path = join(folder, name);
    if (await isExecutable(path)) found.push(path);
  }
  return found;
}
