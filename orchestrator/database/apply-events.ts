/** Applies worker events together, so that a curve that several results belong to is fitted once. */
import type { WorkerEvent } from "../../schema/wire/events.ts";
import { type Applied, applyEvent, ENDS } from "./apply-event.ts";
import type { Database } from "./connection.ts";
import { type Ahead, refreshRuns } from "./optima.ts";

/**
 * Call inside a transaction.
 * @param ahead fits and verdicts of what the events bring
 * @returns what became of each event, in their order
 */
export function applyEvents(db: Database, events: readonly WorkerEvent[], ahead: Ahead): Applied[] {
  const results = events.map((event) => applyEvent(db, event));
  const touched = events.filter(({ body }, i) => results[i] === "applied" && ENDS.has(body.type));
  refreshRuns(
    db,
    touched.map(({ run }) => run),
    ahead,
  );
  return results;
}
