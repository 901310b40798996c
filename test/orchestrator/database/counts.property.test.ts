/** The counts that the database keeps of every sweep, against counting everything anew, whatever happens in between. */

import fc from "fast-check";
import { expect, it } from "vitest";
import type { Database } from "../../../orchestrator/database/open.ts";
import { sweepProgress } from "../../../orchestrator/database/progress.ts";
import { cancelSweep, requeueRuns } from "../../../orchestrator/database/stop-and-requeue.ts";
import { LOST_STATES } from "../../../schema/database/states.ts";
import { Attempt, applyAll, freshDatabase, gridText, sqliteOf, submitText } from "../../support/database.ts";

const NAMES = ["one", "two"] as const;
const name = fc.constantFrom(...NAMES);
/** At sparsity 0 both parameterizations mean the same run, and the sweeps share all their runs. */
const submission = fc.record({
  kind: fc.constant("submit" as const),
  name,
  parameterization: fc.constantFrom("[mup]", "[mup, supar]"),
  sparsity: fc.constantFrom("[0]", "[0, 0.5]"),
  rates: fc.constantFrom("[0.01]", "[0.01, 0.02]", "[0.02, 0.04]"),
  /** Another number makes the same points other runs. */
  steps: fc.constantFrom(20, 30),
});
const attempt = fc.record({
  kind: fc.constant("attempt" as const),
  run: fc.nat(20),
  ending: fc.constantFrom("finished", "diverged", "failed", "released", "none"),
});
const action = fc.oneof(
  { arbitrary: attempt, weight: 3 },
  { arbitrary: submission, weight: 2 },
  fc.record({ kind: fc.constant("cancel" as const), name }),
  fc.record({ kind: fc.constant("requeue" as const), name }),
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

let attempts = 1000;

function perform(db: Database, did: Action): void {
  if (did.kind === "submit") submitText(db, gridText(did));
  else if (did.kind === "attempt") {
    const runs = sqliteOf(db).prepare<[], string>("SELECT id FROM runs ORDER BY id").pluck().all();
    if (runs.length === 0) return;
    const tried = new Attempt(runs[did.run % runs.length]!, ++attempts);
    const events = [tried.claimed(), tried.started(), tried.metrics(7, 3)];
    if (did.ending === "finished") events.push(tried.finished(3));
    if (did.ending === "diverged") events.push(tried.diverged());
    if (did.ending === "failed") events.push(tried.failed(true));
    if (did.ending === "released") events.push(tried.released("shutdown"));
    applyAll(db, events);
  } else if (sweepProgress(db, [did.name]).length > 0) {
    if (did.kind === "cancel") cancelSweep(db, did.name);
    else requeueRuns(db, did.name, { states: LOST_STATES });
  }
}

/** Sweep, state, runs, points, planned work, and the work done by what has not ended. */
const COUNTED = `
  SELECT s.name, r.state, count(*) AS runs, sum(w.points) AS points, sum(r.planned_flops) AS planned,
    sum(CASE WHEN r.state IN ('pending', 'queued', 'running') THEN r.planned_flops * r.step / r.steps ELSE 0 END) AS done
  FROM (SELECT p.sweep_id, c.run_id, count(*) AS points FROM cells c JOIN phases p ON p.id = c.phase_id
        GROUP BY p.sweep_id, c.run_id) w
  JOIN sweeps s ON s.id = w.sweep_id JOIN runs r ON r.id = w.run_id
  GROUP BY s.name, r.state ORDER BY s.name, r.state`;
const KEPT = `
  SELECT s.name, n.state, n.runs, n.points, n.planned_flops AS planned
  FROM sweep_counts n JOIN sweeps s ON s.id = n.sweep_id
  WHERE n.runs <> 0 OR n.points <> 0 OR n.planned_flops <> 0 ORDER BY s.name, n.state`;

interface Counts {
  name: string;
  state: string;
  runs: number;
  points: number;
  planned: number;
  done: number;
}

it("are right after every submission, resubmission, attempt, cancellation and requeue", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 25 }), (actions) => {
      const db = freshDatabase();
      for (const did of actions) {
        perform(db, did);
        const counted = sqliteOf(db).prepare<[], Counts>(COUNTED).all();
        const kept = sqliteOf(db).prepare<[], Counts>(KEPT).all();
        const whole = ({ name, state, runs, points }: Counts) => ({ name, state, runs, points });
        expect(kept.map(whole)).toEqual(counted.map(whole));
        for (const [i, { planned }] of kept.entries())
          expect(Math.abs(planned / counted[i]!.planned - 1)).toBeLessThan(1e-12);
        for (const sweep of sweepProgress(db)) {
          const own = counted.filter((row) => row.name === sweep.sweep);
          const ended = own.filter(({ state }) => !["pending", "queued", "running"].includes(state));
          const done = own.reduce((sum, row) => sum + row.done, 0);
          const expected = done + ended.reduce((sum, row) => sum + row.planned, 0);
          expect(Math.abs(sweep.done_flops - expected)).toBeLessThanOrEqual(1e-9 * sweep.planned_flops);
          if (ended.length === own.length) expect(sweep.fraction).toBe(1);
        }
      }
      db.close();
    }),
    { numRuns: 40 },
  );
});
