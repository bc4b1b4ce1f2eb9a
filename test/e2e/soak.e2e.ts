/** The long forms: `make soak`. */
import { expect, test } from "vitest";
import { isSoak, needDocker, openHome, type Ran, seatrial } from "../support/e2e.ts";

const clusters = 100;
/** More than boot at once: the others wait for a place, or run already. */
const atOnce = 4;

test(
  `no boot fails at full capacity: ${clusters} kind clusters, ${atOnce} commands at once`,
  { timeout: 4 * 3_600_000 },
  async (context) => {
    if (!isSoak) context.skip("a long form: make soak runs it");
    await needDocker(context);
    const home = await openHome(context);
    const failures: Ran[] = [];
    let next = 0;
    const worker = async () => {
      while (next < clusters) {
        next++;
        const ran = await seatrial(home, ["with", "kind", "--", "sh", "-c", 'test -s "$KUBECONFIG"'], { timeoutMs: 1_200_000 });
        if (ran.code !== 0) failures.push(ran);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
    expect(failures.map(({ stderr }) => stderr)).toEqual([]);
    expect(await home.leaks()).toEqual([]);
  },
);
