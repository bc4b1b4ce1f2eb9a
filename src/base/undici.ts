/**
 * undici, loaded with the first connection: its hundred files take longer to load than all of a short run's own work, and most
 * commands connect to nothing.
 */
import { createRequire } from "node:module";
import type * as undiciModule from "undici";

export function undici(): typeof undiciModule {
  return createRequire(import.meta.url)("undici") as typeof undiciModule;
}
