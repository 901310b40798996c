/** Sweeps by name and by time, and the counts that the database itself keeps of each. */
import { and, count, desc, eq, inArray, sql } from "drizzle-orm";
import { RESULT_STATES, type RunState, type SWEEP_STATES } from "../../schema/database/states.ts";
import {
  cells,
  phases,
  runs,
  sweepCounts,
  sweepRuns,
  sweeps,
  sweepTags,
} from "../../schema/database/tables.ts";
import { type Database, given, prepared, proposed } from "./connection.ts";

export interface StoredSweep {
  id: number;
  name: string;
  /** The YAML as submitted. */
  file: string;
  /** Null: not known, or imported results. */
  file_name: string | null;
  data_hash: string;
}

const find = prepared(({ orm }) =>
  orm
    .select({
      id: sweeps.id,
      name: sweeps.name,
      file: sweeps.file,
      file_name: sweeps.file_name,
      data_hash: sweeps.data_hash,
    })
    .from(sweeps)
    .where(eq(sweeps.name, given("name")))
    .prepare(),
);

export const findSweep = (db: Database, name: string): StoredSweep | undefined => find(db).get({ name });

const names = prepared(({ orm }) => orm.select({ name: sweeps.name }).from(sweeps).prepare());

export const sweepNames = (db: Database): string[] =>
  names(db)
    .all()
    .map(({ name }) => name);

const newest = prepared(({ orm }) =>
  orm.select({ name: sweeps.name }).from(sweeps).orderBy(desc(sweeps.submitted_at)).limit(1).prepare(),
);

/** The name of the one that was submitted last. */
export const newestSweep = (db: Database): string | undefined => newest(db).get()?.name;

const put = prepared(({ orm }) =>
  orm
    .insert(sweeps)
    .values({
      name: given("name"),
      file: given("file"),
      file_name: given("file_name"),
      data_hash: given("data_hash"),
      priority: given("priority"),
      submitted_at: given("now"),
    })
    .onConflictDoUpdate({
      target: sweeps.name,
      set: {
        revision: sql`${sweeps.revision} + (${sweeps.file} <> ${proposed("file")})`,
        file: proposed("file"),
        file_name: proposed("file_name"),
        data_hash: proposed("data_hash"),
        priority: proposed("priority"),
        archived_at: null,
        state: "active",
        submitted_at: proposed("submitted_at"),
      },
    })
    .returning({ id: sweeps.id })
    .prepare(),
);

/** A sweep as it is submitted now; another file under its name is another revision, and it is put away no longer. @returns its id */
export const putSweep = (
  db: Database,
  sweep: Omit<StoredSweep, "id"> & { priority: number; now: number },
): number => put(db).get(sweep).id;

const setState = prepared(({ orm }) =>
  orm
    .update(sweeps)
    .set({
      state: given("state"),
      archived_at: sql`CASE WHEN ${given("state")} = 'active' THEN NULL ELSE ${sweeps.archived_at} END`,
    })
    .where(eq(sweeps.name, given("name")))
    .prepare(),
);

/** One that is trained again is put away no longer. */
export const setSweepState = (db: Database, name: string, state: (typeof SWEEP_STATES)[number]): void =>
  void setState(db).run({ name, state });

const counted = prepared(({ orm }) =>
  orm
    .select({ state: sweepCounts.state, runs: sweepCounts.runs, points: sweepCounts.points })
    .from(sweepCounts)
    .where(eq(sweepCounts.sweep_id, given("sweep")))
    .prepare(),
);

/** Grid points; the distinct runs behind them; those that have a result, and those that failed. */
export interface SweepSize {
  points: number;
  runs: number;
  done: number;
  failed: number;
}

export function countSweep(db: Database, sweep: number): SweepSize {
  const size = { points: 0, runs: 0, done: 0, failed: 0 };
  const hasResult = (state: RunState): boolean => RESULT_STATES.some((known) => known === state);
  for (const { state, runs, points } of counted(db).all({ sweep })) {
    size.points += points;
    size.runs += runs;
    if (hasResult(state)) size.done += runs;
    if (state === "failed") size.failed += runs;
  }
  return size;
}

export type ListedSweep = Pick<typeof sweeps.$inferSelect, "id" | "name" | "submitted_at">;

const tagsOfRow = sql`(SELECT ${sweepTags.tag} FROM ${sweepTags} WHERE ${sweepTags.sweep_id} = ${sweeps.id})`;

const page = (backward: boolean, isFirst: boolean) =>
  prepared(({ orm }) => {
    const place = sql`(${sweeps.submitted_at}, ${sweeps.id})`;
    const from = sql`(${given("time")}, ${given("id")})`;
    const behind = isFirst ? sql`1` : backward ? sql`${place} > ${from}` : sql`${place} < ${from}`;
    const order = (column: typeof sweeps.submitted_at | typeof sweeps.id) =>
      backward ? column : desc(column);
    return orm
      .select({ id: sweeps.id, name: sweeps.name, submitted_at: sweeps.submitted_at })
      .from(sweeps)
      .where(
        and(
          sql`(${sweeps.archived_at} IS NOT NULL) = ${given("archived")}`,
          sql`(${given("tag")} IS NULL OR ${given("tag")} IN ${tagsOfRow})`,
          behind,
        ),
      )
      .orderBy(order(sweeps.submitted_at), order(sweeps.id))
      .limit(sql.placeholder("limit"))
      .prepare();
  });
const pages = {
  newer: page(true, false),
  newest: page(false, true),
  older: page(false, false),
  oldest: page(true, true),
};

/**
 * Newest first, or oldest first when `backward`.
 * @param which tag: those that have it; archived: those that are put away, in place of the others
 * @param from the time and the id of the sweep that they come after; null: from the end
 */
export const listSweeps = (
  db: Database,
  from: readonly [time: number, id: number] | null,
  backward: boolean,
  limit: number,
  { tag = null, archived = false }: { tag?: string | null; archived?: boolean } = {},
): ListedSweep[] => {
  const statement =
    from === null ? (backward ? pages.oldest : pages.newest) : backward ? pages.newer : pages.older;
  return statement(db).all({ time: from?.[0], id: from?.[1], limit, tag, archived: archived ? 1 : 0 });
};

/** Runs of a sweep that have a result, by the engine and version that trained them. */
export interface EngineCount {
  engine: string;
  runs: number;
}

const engineName = sql<string>`coalesce(${runs.engine}, 'unknown')`;
const hasResult = inArray(runs.state, [...RESULT_STATES]);

const engines = prepared(({ orm }) =>
  orm
    .select({ engine: engineName, runs: count() })
    .from(runs)
    .innerJoin(sweepRuns, eq(sweepRuns.run_id, runs.id))
    .where(and(hasResult, eq(sweepRuns.sweep_id, given("sweep"))))
    .groupBy(engineName)
    .orderBy(desc(count()), engineName)
    .prepare(),
);

/** Most first. */
export const enginesOf = (db: Database, sweep: number): EngineCount[] => engines(db).all({ sweep });

const mixed = prepared(({ orm }) =>
  orm
    .select({ curve: cells.curve })
    .from(cells)
    .innerJoin(phases, eq(phases.id, cells.phase_id))
    .innerJoin(runs, eq(runs.id, cells.run_id))
    .where(and(hasResult, eq(phases.sweep_id, given("sweep"))))
    .groupBy(cells.phase_id, cells.curve)
    .having(sql`count(DISTINCT ${engineName}) > 1`)
    .prepare(),
);

/** How many curves of a sweep have results of several engines or versions: they round differently, and may differ by more. */
export const countMixedCurves = (db: Database, sweep: number): number => mixed(db).all({ sweep }).length;
