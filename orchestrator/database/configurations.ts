/** The configurations of a phase by their loss: what a random search is about. */
import type { Parameterization } from "../../schema/sweep/rules.ts";
import type { Coordinates } from "../sweep/expand-sweep.ts";
import { cellResults } from "./cells.ts";
import type { Database } from "./connection.ts";

export interface Configuration {
  /** Those of its first seed. */
  coordinates: Coordinates;
  /** Validation loss, mean over its seeds; null unless all of them have finished. */
  loss: number | null;
}

/** By rising loss; those without one come last. */
export function rankConfigurations(
  db: Database,
  phase: number,
  parameterization: Parameterization,
): Configuration[] {
  const seeds = new Map<string, { coordinates: Coordinates; losses: (number | null)[] }>();
  for (const { coordinates, state, validation_loss } of cellResults(db, phase, parameterization)) {
    const { seed: _, ...configuration } = coordinates;
    const key = JSON.stringify(configuration);
    const known = seeds.get(key) ?? { coordinates, losses: [] };
    known.losses.push(state === "finished" ? validation_loss : null);
    seeds.set(key, known);
  }
  return [...seeds.values()]
    .map(({ coordinates, losses }) => ({ coordinates, loss: mean(losses) }))
    .sort((a, b) => (a.loss ?? Number.POSITIVE_INFINITY) - (b.loss ?? Number.POSITIVE_INFINITY));
}

function mean(losses: readonly (number | null)[]): number | null {
  let sum = 0;
  for (const loss of losses) {
    if (loss === null) return null;
    sum += loss;
  }
  return sum / losses.length;
}
