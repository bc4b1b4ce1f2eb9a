/** Four and eight kind clusters at once, and the deletion of four: is the host's time used as well as kind alone uses it? */
import { ours, type Bench } from "./support/bench.ts";
import { timed } from "./support/context.ts";
import { declare, removeDeclaredRemains } from "./support/declared.ts";
import { createPlain, deletePlain, newPlain, removePlainRemains } from "./support/kind.ts";

const plain = "`kind create cluster &`, then waiting";

export const kind4: Bench = atOnce("kind-4", 4, 7);
export const kind8: Bench = atOnce("kind-8", 8, 3);

function atOnce(name: string, count: number, pairs: number): Bench {
  return {
    name,
    pairs,
    questions: [
      { what: `${count} kind clusters at once, to Ready`, time: "boot", against: plain, target: { ratio: 1.0 } },
      { what: `delete of ${count} kind clusters`, time: "delete", against: plain, target: { ratio: 1.0 } },
    ],
    prepare: async (context) => {
      context.atEnd(async () => await removePlainRemains(context));
      context.atEnd(async () => await removeDeclaredRemains(context));
      return {
        sides: [
          {
            name: ours,
            run: async () => {
              const { file } = await declare(context, count, false);
              const boot = await timed(async () => await context.seatrial(["apply", "-f", file]));
              return { boot, delete: await timed(async () => await context.seatrial(["delete", "-f", file])) };
            },
          },
          {
            name: plain,
            run: async () => {
              const clusters = Array.from({ length: count }, () => newPlain(context));
              const boot = await timed(async () => await Promise.all(clusters.map(async (cluster) => await createPlain(context, cluster))));
              return { boot, delete: await timed(async () => await deletePlain(context, clusters)) };
            },
          },
        ],
      };
    },
  };
}
