import type { Database } from "../database/open.ts";
import type { Coordinates } from "../sweep/expand-sweep.ts";
import { titleOf } from "../sweep/title.ts";

/** A run as people know it: the title of the first grid point that asked for it. */
export function runTitle(db: Database, run: string): string {
  const cell = db.sqlite
    .prepare<[string], { coordinates: string }>(
      "SELECT coordinates FROM cells WHERE run_id = ? ORDER BY id LIMIT 1",
    )
    .get(run);
  return cell ? titleOf(JSON.parse(cell.coordinates) as Coordinates) : run;
}
