/** What the runs of a phase need of workers (schema/wire/need.ts), as far as the file says it. */

import type { Phase } from "../../schema/sweep/sweep.ts";
import { type Need, needOfRun } from "../../schema/wire/need.ts";
import type { Plan } from "../../schema/wire/plan.ts";
import { type Grid, readGrids } from "./grids.ts";
import { fileValues } from "./settings-of.ts";

/** Each once. */
export function precisionsOf(phase: Phase, grids: readonly Grid[]): Plan["precision"][] {
  const file = fileValues(phase).precision;
  return [
    ...new Set(
      grids.flatMap(({ dimensions }) => {
        const axis = dimensions.find(({ names }) => names.includes("precision"));
        return axis === undefined ? [file] : axis.points.map(({ values }) => values.precision ?? file);
      }),
    ),
  ].filter((precision) => precision !== undefined);
}

/** Each once. */
export const needsOfPhase = (phase: Phase): Need[] => {
  const trainer = { name: phase.trainer, revision: phase.revision };
  const precisions = precisionsOf(phase, readGrids(phase.axes).grids);
  return [...new Set(precisions.map((precision) => needOfRun({ trainer, precision }, phase)))];
};
