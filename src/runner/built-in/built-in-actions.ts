/** The code of the actions that are part of Seatrial; what they take and give is in workflows/actions/built-in.ts. */
import { SeatrialError } from "../../base/errors.ts";
import { type BuiltIn, builtInOf, inputMistake, missingInputs } from "../../workflows/actions/built-in.ts";
import type { ActionContext, BuiltInAction } from "../actions/action.ts";
import { checkoutAction } from "../actions/checkout.ts";
import { downloadArtifact, uploadArtifact } from "./artifacts.ts";
import { cache, cacheRestore, cacheSave } from "./cache.ts";
import { kindAction, minikube, ownAction } from "./cluster.ts";
import { setupActions } from "./setup.ts";

/** What the reader of workflows could not see is checked before it runs: values of expressions, and steps of other actions. */
function checked(action: BuiltInAction): BuiltInAction {
  const builtIn = builtInOf(action.name)!;
  return {
    ...action,
    main: async (context) => {
      checkInputs(builtIn, context);
      await action.main(context);
    },
  };
}

function checkInputs(builtIn: BuiltIn, { inputs }: ActionContext): void {
  const mistakes = [
    ...Object.entries(inputs).flatMap(([name, value]) => {
      const mistake = inputMistake(builtIn, name, value);
      return mistake === undefined ? [] : [`${name} ${mistake}`];
    }),
    ...missingInputs(builtIn, Object.keys(inputs)).map((name) => `${name} is required by ${builtIn.name}`),
  ];
  if (mistakes.length > 0) throw new SeatrialError("invalid", mistakes.join("; "));
}

export const builtInActions: readonly BuiltInAction[] = [
  checkoutAction,
  uploadArtifact,
  downloadArtifact,
  cache,
  cacheRestore,
  cacheSave,
  ...setupActions,
  kindAction,
  minikube,
  ownAction,
].map(checked);
