/** Labels that a matrix brings into `runs-on`, where the file alone says which: `runs-on: ${{ matrix.os }}` beside plain lists. */
import { type Place, SeatrialError } from "../../base/errors.ts";
import { evaluateNode, holdsExpressions, plainValue } from "../expressions/evaluate.ts";
import type { Json } from "../expressions/expressions.ts";
import { expandMatrix } from "./matrix.ts";
import { findLabelMistakes, type RunsOnRule } from "../runs-on.ts";
import type { Node } from "../read/tree.ts";

/** Contexts whose values a file does not have. */
const unknown = /\b(github|inputs|vars|needs|strategy)\b/i;

/** What is wrong with labels of any cell, each once, at the matrix's value where it is written there. What is no matrix is told elsewhere. */
export function findCellLabelMistakes(runsOn: Node, matrix: Node, rules: readonly RunsOnRule[]): { place: Place; message: string }[] {
  if (!holdsExpressions(runsOn) || holdsExpressions(matrix) || unknown.test(JSON.stringify(plainValue(runsOn)))) return [];
  const found = new Map<string, Place>();
  try {
    for (const { values } of expandMatrix(plainValue(matrix))) {
      const value = evaluateNode(runsOn, ["runs-on"], { contexts: { matrix: values } });
      const parts = runsOn.kind === "map" ? Object.values(value as Record<string, Json>) : [value];
      const labels = parts.flat().filter((label) => typeof label === "string");
      for (const { index, message } of findLabelMistakes(labels, rules)) {
        if (!found.has(message)) found.set(message, placeOf(labels[index]!, matrix) ?? runsOn.place);
      }
    }
  } catch (error) {
    if (!(error instanceof SeatrialError)) throw error;
  }
  return [...found].map(([message, place]) => ({ place, message }));
}

function placeOf(text: string, node: Node): Place | undefined {
  if (node.kind === "scalar") return node.text === text ? node.place : undefined;
  const values = node.kind === "list" ? node.items : node.entries.map(({ value }) => value);
  for (const value of values) {
    const place = placeOf(text, value);
    if (place) return place;
  }
  return undefined;
}
