/** What does it cost to say again what is so already? Editors and watch loops do it at every save. */
import { ours, type Bench, type Side } from "./support/bench.ts";
import { timed } from "./support/context.ts";
import { ctlptlDocuments, findCtlptl, runCtlptl } from "./support/ctlptl.ts";
import { declare, removeDeclaredRemains } from "./support/declared.ts";

const ctlptl = "`ctlptl apply`";

export const reapply: Bench = {
  name: "reapply",
  pairs: 15,
  questions: [
    { what: "re-apply with nothing to do", time: "apply", target: { most: 400 } },
    { what: "re-apply with nothing to do", time: "apply", against: ctlptl },
  ],
  prepare: async (context) => {
    context.atEnd(async () => await removeDeclaredRemains(context));
    const { file } = await declare(context, 1, true);
    await context.seatrial(["apply", "-f", file]);
    const sides: Side[] = [
      { name: ours, run: async () => ({ apply: await timed(async () => await context.seatrial(["apply", "-f", file])) }) },
    ];
    const program = await findCtlptl(context);
    if (program) {
      const theirs = await ctlptlDocuments(context);
      context.atEnd(async () => await runCtlptl(context, program, "delete", theirs));
      await runCtlptl(context, program, "apply", theirs);
      sides.push({
        name: ctlptl,
        run: async () => ({ apply: await timed(async () => await runCtlptl(context, program, "apply", theirs)) }),
      });
    }
    return { sides };
  },
};
