/** Whether a database says what it must: SQLite's own checks, and what holds between its tables. What follows from the rest is mended. */
import { type Plan, runIdOf } from "../../schema/wire/plan.ts";
import { connectionOf, type Database } from "./connection.ts";
import { refreshAll } from "./optima.ts";

export interface Finding {
  /** Stable, for scripts. */
  check: string;
  /** What is wrong, a sentence. */
  message: string;
  /** Whether `repair` mends it. */
  repairable: boolean;
}

/** So many examples are told of what may be wrong a thousand times. */
const EXAMPLES = 3;

const finding = (check: string, what: string, rows: readonly string[], repairable: boolean): Finding[] =>
  rows.length === 0
    ? []
    : [
        {
          check,
          message: `${what}: ${rows.slice(0, EXAMPLES).join(", ")}${rows.length > EXAMPLES ? ` and ${rows.length - EXAMPLES} more` : ""}`,
          repairable,
        },
      ];

/** What ought to be in sweep_runs and sweep_counts, from cells and runs alone; and what is. */
const EXPECTED_RUNS = `SELECT p.sweep_id, c.run_id, count(*) AS points FROM cells c JOIN phases p ON p.id = c.phase_id
  GROUP BY p.sweep_id, c.run_id`;
const EXPECTED_COUNTS = `SELECT w.sweep_id, r.state, count(*) AS runs, sum(w.points) AS points
  FROM (${EXPECTED_RUNS}) w JOIN runs r ON r.id = w.run_id GROUP BY w.sweep_id, r.state`;

/** Rows of one query and not of the other, either way. */
const differing = (a: string, b: string): string =>
  `SELECT * FROM (${a} EXCEPT ${b}) UNION SELECT * FROM (${b} EXCEPT ${a})`;

/** Each selects the names of what breaks it. */
const INVARIANTS: { check: string; what: string; sql: string }[] = [
  {
    check: "plan",
    // Results that were imported have none.
    what: "runs without a plan",
    sql: "SELECT id FROM runs WHERE state NOT IN ('finished', 'diverged') AND NOT EXISTS (SELECT 1 FROM plans WHERE run_id = id)",
  },
  {
    check: "result",
    what: "finished runs without a loss",
    sql: "SELECT id FROM runs WHERE state = 'finished' AND validation_loss IS NULL",
  },
  {
    check: "attempt",
    what: "results that are not those of their run's last attempt",
    sql: `SELECT r.id FROM runs r JOIN attempts a ON a.run_id = r.id AND a.attempt = r.attempt
          WHERE r.state IN ('finished', 'diverged') AND (a.outcome IS NOT r.state OR a.validation_loss IS NOT r.validation_loss)`,
  },
  {
    check: "fence",
    what: "runs whose attempts are later than the one that may write",
    sql: "SELECT DISTINCT r.id FROM runs r JOIN attempts a ON a.run_id = r.id WHERE a.attempt > r.attempt",
  },
];

/** @returns what is wrong; nothing is changed */
export function checkDatabase(db: Database): Finding[] {
  const { sqlite } = connectionOf(db);
  const damage = (sqlite.pragma("integrity_check") as { integrity_check: string }[])
    .map((row) => row.integrity_check)
    .filter((said) => said !== "ok");
  // On what cannot be read nothing else can be asked.
  if (damage.length > 0) return finding("integrity", "the file is damaged", damage, false);
  const references = sqlite.pragma("foreign_key_check") as { table: string; parent: string }[];
  return db.snapshot(() => [
    ...finding(
      "references",
      "rows that refer to none",
      references.map(({ table, parent }) => `${table} to ${parent}`),
      false,
    ),
    ...INVARIANTS.flatMap(({ check, what, sql }) =>
      finding(check, what, sqlite.prepare<[], string>(sql).pluck().all(), false),
    ),
    ...finding("plan", "runs that are not their plan's", misnamed(db), false),
    ...finding("counts", "sweeps whose counts are not those of their runs", miscounted(db), true),
  ]);
}

/** A run's id is the hash of its plan. */
function misnamed(db: Database): string[] {
  const { sqlite } = connectionOf(db);
  const wrong: string[] = [];
  for (const { run_id, plan } of sqlite
    .prepare<[], { run_id: string; plan: string }>("SELECT run_id, plan FROM plans")
    .iterate()) {
    try {
      if (runIdOf(JSON.parse(plan) as Plan) === run_id) continue;
    } catch {
      // No plan at all.
    }
    wrong.push(run_id);
  }
  return wrong;
}

function miscounted(db: Database): string[] {
  const { sqlite } = connectionOf(db);
  const ids = sqlite
    .prepare<[], number>(
      `SELECT sweep_id FROM (${differing(EXPECTED_RUNS, "SELECT sweep_id, run_id, points FROM sweep_runs")})
       UNION SELECT sweep_id FROM
         (${differing(EXPECTED_COUNTS, "SELECT sweep_id, state, runs, points FROM sweep_counts WHERE runs > 0")})`,
    )
    .pluck()
    .all();
  const name = sqlite.prepare<[number], string>("SELECT name FROM sweeps WHERE id = ?").pluck();
  return ids.map((id) => name.get(id) ?? `sweep ${id}`);
}

/** Makes anew what follows from the rest: counts, fits and verdicts. */
export const repairDatabase = (db: Database): void =>
  db.transaction(() => {
    const { sqlite } = connectionOf(db);
    // The triggers on sweep_runs fill sweep_counts.
    sqlite.exec(
      `DELETE FROM sweep_runs; DELETE FROM sweep_counts;
       INSERT INTO sweep_runs (sweep_id, run_id, points) ${EXPECTED_RUNS};`,
    );
    refreshAll(db);
  });

/**
 * A copy of the database as it is at one moment, while others write it.
 * @param path of a file that is not there yet
 */
export async function copyDatabase(db: Database, path: string): Promise<void> {
  const { sqlite } = connectionOf(db);
  // Without it every commit of another process would have the copy begin again.
  sqlite.exec("BEGIN");
  try {
    sqlite.prepare("SELECT count(*) FROM sqlite_schema").get();
    await sqlite.backup(path);
  } finally {
    sqlite.exec("COMMIT");
  }
}
