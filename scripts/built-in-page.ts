/** docs/reference/actions.md: the actions that are part of Seatrial, from the table that the program itself asks. */
import { type BuiltInInput, builtIns } from "../src/workflows/actions/built-in.ts";

export function builtInPage(note: string): string {
  const intro = `What each of these takes and gives; whatever else is written in \`with\` is refused by \`seatrial check\`, with its place. How they are used:
[the guide](../guides/actions.md#actions-that-are-part-of-seatrial).`;
  const parts = builtIns.map(({ name, note: what, inputs, outputs, refusedVersions }) => {
    const rows = Object.entries(inputs).map(([key, input]) => `| \`${key}\` | ${wordsOf(input)} |`);
    const versions = refusedVersions ? ` Refused are ${refusedVersions.versions.join(", ")}: ${refusedVersions.why}.` : "";
    const given = outputs.length === 0 ? "none" : outputs.map((output) => `\`${output}\``).join(", ");
    return [`## ${name}`, `${what}${versions}`, ["| input | |", "|---|---|", ...rows].join("\n"), `Outputs: ${given}.`].join("\n\n");
  });
  return `${["# Actions that are part of Seatrial", note, intro, ...parts].join("\n\n")}\n`;
}

function wordsOf({ state, values, default: byDefault, isRequired, note, leavesOut }: BuiltInInput): string {
  const one = (values ?? []).map((value) => `\`${value}\``).join(", ");
  const allowed = one === "" ? "" : `: ${one}`;
  if (state === "refused") return `refused${one === "" ? "" : `, but ${one}`}: ${note}`;
  if (state === "ignored") return `ignored, with a notice: ${note}`;
  return `works${allowed}${isRequired ? "; required" : ""}${byDefault === undefined ? "" : `; default \`${byDefault}\``}${leavesOut ? `; ${leavesOut.note}` : ""}`;
}
