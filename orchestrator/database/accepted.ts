/** What a database holds of trainings in the end, to be held against another's: outcomes, curves, and what should not be there any more. */
import { type Database, prepared } from "./connection.ts";
import { SETBACKS_ALLOWED } from "./run-states.ts";

/** Everything that the same plan must end with, on the same engine and machine, however often it was interrupted. */
export interface Accepted {
  state: string;
  step: number;
  train_loss: number | null;
  validation_loss: number | null;
  last_finite_loss: number | null;
  divergence: string | null;
  tokens: number | null;
  flops: number | null;
  error: string | null;
  /** Attempts that have ended it. */
  results: number;
  attempts: number;
  /** The curve as text, and the sizes of activations: a row a line. */
  curve: string[];
}

const outcomes = prepared(({ sqlite }) =>
  sqlite.prepare<[], Omit<Accepted, "curve"> & { id: string }>(
    `SELECT id, state, step, train_loss, validation_loss, last_finite_loss, divergence, tokens, flops, error,
       (SELECT count(*) FROM attempts a WHERE a.run_id = r.id AND a.outcome IN ('finished', 'diverged')) AS results,
       (SELECT count(*) FROM attempts a WHERE a.run_id = r.id) AS attempts
     FROM runs r ORDER BY id`,
  ),
);

const points = prepared(({ sqlite }) =>
  sqlite
    .prepare<{ run: string }, string>(
      `SELECT json_array(step, train_loss, validation_loss, gradient_norm) FROM metrics WHERE run_id = @run
       UNION ALL SELECT json_array(step, module, layer, size, change) FROM activation_sizes WHERE run_id = @run
       ORDER BY 1`,
    )
    .pluck(),
);

/** By run. */
export const readAccepted = (db: Database): Map<string, Accepted> =>
  db.snapshot(
    () =>
      new Map(
        outcomes(db)
          .all()
          .map(({ id, ...outcome }) => [id, { ...outcome, curve: points(db).all({ run: id }) }]),
      ),
  );

const open = prepared(({ sqlite }) =>
  sqlite.prepare<[], number>("SELECT count(*) FROM attempts WHERE outcome IS NULL").pluck(),
);

/** Attempts that nobody has ended. */
export const openAttempts = (db: Database): number => open(db).get() ?? 0;

export interface UnderWay {
  run: string;
  /** Its last sign of life, by its worker's clock: Unix time, milliseconds. */
  heard_at: number;
}

const underWay = prepared(({ sqlite }) =>
  sqlite.prepare<[], UnderWay>(
    "SELECT id AS run, updated_at AS heard_at FROM runs WHERE state = 'running' AND step > 0 ORDER BY id",
  ),
);

/** Runs that are trained at this moment. */
export const runsUnderWay = (db: Database): UnderWay[] => underWay(db).all();

const lastTries = prepared(({ sqlite }) =>
  sqlite
    .prepare<[], number>(
      `SELECT count(*) FROM runs WHERE state IN ('pending', 'queued', 'running') AND setbacks >= ${SETBACKS_ALLOWED - 1}`,
    )
    .pluck(),
);

/** How many runs would be given up if their next attempt got no further, either. */
export const runsAtLastTry = (db: Database): number => lastTries(db).get() ?? 0;

const inHand = prepared(({ sqlite }) =>
  sqlite
    .prepare<{ run: string; since: number }, number>(
      "SELECT 1 FROM runs WHERE id = @run AND (state <> 'running' OR updated_at > @since)",
    )
    .pluck(),
);

/** Whether a run that was under way goes on since then, is back on the queue, or has ended. */
export const isInHand = (db: Database, run: string, since: number): boolean =>
  inHand(db).get({ run, since }) !== undefined;
