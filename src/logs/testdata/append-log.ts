/** Appends numbered lines until it is killed, and says how many bytes are stored: `node append-log.ts FOLDER`. */
import { FolderStore } from "../../artifacts/folder.ts";
import { openLogStore } from "../log-store.ts";

const [, , directory = ""] = process.argv;
const store = await openLogStore({ settings: { sqlite: { directory } }, objects: new FolderStore(directory), chunkBytes: 2_000 });
let size = (await store.info("log"))?.size ?? 0;
// After a kill it counts anew to where the log ends, and goes on there.
for (let line = 0, at = 0; ; line++) {
  const bytes = Buffer.from(`line ${line}\n`);
  if (at + bytes.length > size) {
    size = await store.append("log", at, bytes, new Date());
    process.stdout.write(`${size}\n`);
  }
  at += bytes.length;
}
