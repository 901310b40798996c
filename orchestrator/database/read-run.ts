/** Everything that is known of one run: what it is, who asks for it, every attempt at it, and its training curve. */
import type Sqlite from "better-sqlite3";
import { type Plan, planSchema } from "../../schema/plan.ts";
import type { attempts, runs } from "../../schema/tables.ts";
import type { Coordinates } from "../sweep/expand-sweep.ts";
import { titleOf } from "../sweep/title.ts";
import type { Database } from "./open.ts";

type RunRow = typeof runs.$inferSelect;

export interface Run extends RunRow {
  /** That of the first grid point that asked for it; its id where none does any more. */
  title: string;
  plan: Plan;
  /** Of the same grid point. */
  coordinates: Coordinates | null;
}

/** A grid point that the run stands for. */
export interface Asking {
  sweep: string;
  phase: string;
  title: string;
  /** Why the point is there: "grid", or what added it. */
  reason: string;
}

export interface RunAttempt extends Omit<typeof attempts.$inferSelect, "notes"> {
  /** From 1, in the order they were made. */
  number: number;
  notes: string[];
}

export interface MetricRow {
  step: number;
  train_loss: number | null;
  validation_loss: number | null;
  gradient_norm: number | null;
  tokens_per_second: number | null;
}

/** More grid points than any page shows may mean the same training. */
const ASKING_SHOWN = 20;
/** A run that is put back on the queue for ever makes no page endless. */
const ATTEMPTS_SHOWN = 50;

/** Curves in one picture that can still be told apart. */
export const COMPARED_AT_MOST = 12;

/** @returns null when there is no such run */
export function readRun({ sqlite }: Database, id: string): Run | null {
  const row = sqlite
    .prepare<[string], RunRow & { plan: string }>(
      "SELECT runs.*, plan FROM runs JOIN plans ON run_id = id WHERE id = ?",
    )
    .get(id);
  if (row === undefined) return null;
  const coordinates = firstCoordinates(sqlite, id);
  return {
    ...row,
    title: coordinates === null ? id : titleOf(coordinates),
    plan: planSchema.parse(JSON.parse(row.plan)),
    coordinates,
  };
}

function firstCoordinates(sqlite: Sqlite.Database, run: string): Coordinates | null {
  const cell = sqlite
    .prepare<[string], { coordinates: string }>(
      "SELECT coordinates FROM cells WHERE run_id = ? ORDER BY id LIMIT 1",
    )
    .get(run);
  return cell === undefined ? null : (JSON.parse(cell.coordinates) as Coordinates);
}

/** @returns the first of them, and how many there are */
export function readAsking({ sqlite }: Database, run: string): { asking: Asking[]; total: number } {
  const asking = sqlite
    .prepare<[string], Omit<Asking, "title"> & { coordinates: string }>(
      `SELECT s.name AS sweep, p.name AS phase, c.coordinates, c.reason
       FROM cells c JOIN phases p ON p.id = c.phase_id JOIN sweeps s ON s.id = p.sweep_id
       WHERE c.run_id = ? ORDER BY c.id LIMIT ${ASKING_SHOWN}`,
    )
    .all(run)
    .map(({ coordinates, ...rest }) => ({ ...rest, title: titleOf(JSON.parse(coordinates) as Coordinates) }));
  const { total } = sqlite
    .prepare<[string], { total: number }>("SELECT count(*) AS total FROM cells WHERE run_id = ?")
    .get(run)!;
  return { asking, total };
}

/** The last ones, oldest first. */
export function readAttempts({ sqlite }: Database, run: string): RunAttempt[] {
  const rows = sqlite
    .prepare<[string], typeof attempts.$inferSelect & { number: number }>(
      `SELECT *, row_number() OVER (ORDER BY attempt) AS number FROM attempts WHERE run_id = ?
       ORDER BY attempt DESC LIMIT ${ATTEMPTS_SHOWN}`,
    )
    .all(run);
  return rows
    .reverse()
    .map((row) => ({ ...row, notes: row.notes === null ? [] : (JSON.parse(row.notes) as string[]) }));
}

/** By rising step. Workers thin curves to a few hundred points. */
export const readMetrics = ({ sqlite }: Database, run: string): MetricRow[] =>
  sqlite
    .prepare<[string], MetricRow>(
      `SELECT step, train_loss, validation_loss, gradient_norm, tokens_per_second FROM metrics
       WHERE run_id = ? ORDER BY step`,
    )
    .all(run);

export interface Relatives {
  /** What they are to it. */
  what: string;
  /** The run itself among them, in order of what they differ in. */
  runs: string[];
}

/** Runs that differ from this one in its learning rate or its seed alone, where there are others. */
export function readRelatives({ sqlite }: Database, run: string): Relatives[] {
  const cell = sqlite
    .prepare<[string], { phase_id: number; curve: string; learning_rate: number; seed: number }>(
      "SELECT phase_id, curve, learning_rate, seed FROM cells WHERE run_id = ? ORDER BY id LIMIT 1",
    )
    .get(run);
  if (cell === undefined) return [];
  const alike = (same: "seed" | "learning_rate", order: "seed" | "learning_rate"): string[] =>
    sqlite
      .prepare<unknown[], { run_id: string }>(
        `SELECT run_id FROM cells WHERE phase_id = @phase_id AND curve = @curve AND ${same} = @${same}
         ORDER BY ${order}`,
      )
      .all(cell)
      .map((row) => row.run_id);
  return [
    { what: "other learning rates", runs: around(alike("seed", "learning_rate"), run) },
    { what: "other seeds", runs: around(alike("learning_rate", "seed"), run) },
  ].filter(({ runs }) => runs.length > 1);
}

/** As many as can be compared, those nearest to it. */
function around(runs: readonly string[], run: string): string[] {
  const first = Math.min(
    Math.max(0, runs.indexOf(run) - Math.floor(COMPARED_AT_MOST / 2)),
    Math.max(0, runs.length - COMPARED_AT_MOST),
  );
  return runs.slice(first, first + COMPARED_AT_MOST);
}
