/** What does Seatrial add to the time that kind needs? A registry, its wiring, labels, and DNS that answers are in it. */
import { ours, type Bench, type Side } from "./support/bench.ts";
import { timed } from "./support/context.ts";
import { ctlptlDocuments, findCtlptl, runCtlptl } from "./support/ctlptl.ts";
import { declare, removeDeclaredRemains } from "./support/declared.ts";
import { createPlain, deletePlain, newPlain, removePlainRemains } from "./support/kind.ts";

const plain = "`kind create cluster`, then waiting by kubectl for the same";
const ctlptl = "`ctlptl apply`, which waits for less";

export const applyKind: Bench = {
  name: "apply-kind",
  pairs: 5,
  questions: [
    { what: "`apply` of a kind cluster with a registry, to Ready", time: "boot", against: plain, target: { ratio: 1.05 } },
    { what: "`apply` of a kind cluster with a registry, to Ready", time: "boot", against: ctlptl },
  ],
  prepare: async (context) => {
    context.atEnd(async () => await removePlainRemains(context));
    context.atEnd(async () => await removeDeclaredRemains(context));
    const sides: Side[] = [
      {
        name: ours,
        run: async () => {
          const { file } = await declare(context, 1, true);
          const boot = await timed(async () => await context.seatrial(["apply", "-f", file]));
          await context.seatrial(["delete", "-f", file]);
          return { boot };
        },
      },
      {
        name: plain,
        run: async () => {
          const cluster = newPlain(context);
          const boot = await timed(async () => await createPlain(context, cluster));
          await deletePlain(context, [cluster]);
          return { boot };
        },
      },
    ];
    const program = await findCtlptl(context);
    if (program) {
      sides.push({
        name: ctlptl,
        run: async () => {
          const file = await ctlptlDocuments(context);
          const boot = await timed(async () => await runCtlptl(context, program, "apply", file));
          await runCtlptl(context, program, "delete", file);
          return { boot };
        },
      });
    }
    return { sides };
  },
};
