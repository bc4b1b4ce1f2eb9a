/** The browser that pages are tested with: what is there, else Debian's package. Whoever starts it gives it a folder of its own. */
import { existsSync } from "node:fs";
import { messageOf } from "../src/base/errors.ts";
import { currentLab, installDebian, type Lab, lockLab } from "./lab.ts";

const debian = "/usr/bin/chromium";
const places = [
  debian,
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** Its path, or why it cannot be had. */
export async function findChromium(lab: Lab = currentLab()): Promise<string | { reason: string }> {
  const found = places.find((path) => existsSync(path));
  if (found !== undefined) return found;
  if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get"))
    return { reason: "there is no Chromium here, and its Debian package is installed only by root on Debian" };
  try {
    using _lock = await lockLab(lab, "chromium");
    if (!existsSync(debian)) await installDebian(lab, ["chromium", "fonts-dejavu-core"]);
    return debian;
  } catch (error) {
    return { reason: `Debian's chromium could not be installed: ${messageOf(error)}` };
  }
}
