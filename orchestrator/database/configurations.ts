/** The configurations of a phase by their loss: what a random search is about. */
import type Sqlite from "better-sqlite3";
import type { Parameterization } from "../../schema/hyperparameters.ts";
import type { Coordinates } from "../sweep/expand-sweep.ts";

export interface Configuration {
  /** Those of its first seed. */
  coordinates: Coordinates;
  /** Validation loss, mean over its seeds; null unless all of them have finished. */
  loss: number | null;
}

/** By rising loss; those without one come last. */
export function rankConfigurations(
  sqlite: Sqlite.Database,
  phaseId: number,
  parameterization: Parameterization,
): Configuration[] {
  const rows = sqlite
    .prepare<unknown[], { coordinates: string; state: string; validation_loss: number | null }>(
      `SELECT c.coordinates, r.state, r.validation_loss FROM cells c JOIN runs r ON r.id = c.run_id
       WHERE c.phase_id = ? AND c.parameterization = ? ORDER BY c.position`,
    )
    .all(phaseId, parameterization);
  const seeds = new Map<string, { coordinates: Coordinates; losses: (number | null)[] }>();
  for (const row of rows) {
    const coordinates = JSON.parse(row.coordinates) as Coordinates;
    const { seed: _, ...configuration } = coordinates;
    const key = JSON.stringify(configuration);
    const known = seeds.get(key) ?? { coordinates, losses: [] };
    known.losses.push(row.state === "finished" ? row.validation_loss : null);
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
