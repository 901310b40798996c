/**
 * Coordinate checks in the database: what the runs of one measured, as lines along width, density and depth, and the slopes
 * that are stored when it is complete. Whatever completes a check stores them in the same transaction, and a check that trains again
 * has none until it is complete again.
 */
import { asc, eq, getTableColumns } from "drizzle-orm";
import { COORDINATE_AXES, type CoordinateAxis, type RunState } from "../../schema/database/states.ts";
import { cells, coordinateFits, runs } from "../../schema/database/tables.ts";
import { type Parameterization, RULES } from "../../schema/sweep/rules.ts";
import { canonicalJson } from "../../schema/wire/plan.ts";
import type { FittedLine } from "../analysis/coordinate-lines.ts";
import { fitLine, type Line, type MeasuredRun, verdictOf } from "../analysis/coordinates.ts";
import { complement } from "../parameterization/settings.ts";
import type { Coordinates } from "../sweep/expand-sweep.ts";
import { type Database, given, prepared, putRow } from "./connection.ts";
import { readSizes } from "./measurements.ts";

/** Networks of one parameterization that differ in one axis and in seed alone. */
export interface CoordinateLine extends Line {
  parameterization: Parameterization;
  /** Whether its rules say that activations keep their size along the axis. */
  claimed: boolean;
  /** The coordinates that stay, such as {width: 256, layers: 2}. */
  at: Record<string, unknown>;
}

const measured = prepared(({ orm }) =>
  orm
    .select({ run: cells.run_id, seed: cells.seed, coordinates: cells.coordinates, state: runs.state })
    .from(cells)
    .innerJoin(runs, eq(runs.id, cells.run_id))
    .where(eq(cells.phase_id, given("phase")))
    .orderBy(asc(cells.position))
    .prepare(),
);

/**
 * Every line of a check that has two values or more, with all that has been measured so far. Of an axis that a parameterization claims,
 * and whose values no line brings together, each by itself: nothing is known along it, and so the check cannot pass.
 */
export function readLines(db: Database, phase: number): CoordinateLine[] {
  const sizes = new Map<string, MeasuredRun["sizes"]>();
  const lines = new Map<string, CoordinateLine>();
  const cells = measured(db)
    .all({ phase })
    .map((cell) => ({ ...cell, coordinates: JSON.parse(cell.coordinates) as Coordinates }));
  const headsStay = new Set(cells.map(({ coordinates }) => coordinates.d_head)).size > 1;
  for (const { run: id, seed, coordinates, state } of cells) {
    const run = sizes.get(id) ?? readSizes(db, id);
    sizes.set(id, run);
    for (const axis of COORDINATE_AXES) {
      const { parameterization } = coordinates;
      const at = whatStays(coordinates, axis, headsStay);
      const key = canonicalJson([parameterization, axis, at]);
      const line = lines.get(key) ?? {
        parameterization,
        axis,
        at,
        claimed: RULES[parameterization].keeps.some((kept) => kept === axis),
        heads_grow: "heads" in at && axis === "width",
        runs: [] as MeasuredRun[],
      };
      lines.set(key, line);
      (line.runs as MeasuredRun[]).push({
        seed,
        x: Math.log2(valueOn(coordinates, axis)),
        outcome: outcomeOf(state, run),
        sizes: run,
      });
    }
  }
  const all = [...lines.values()];
  const found = all.filter(variesAlong);
  const isLost = (line: CoordinateLine): boolean => {
    const isBeside = (other: CoordinateLine): boolean =>
      other.axis === line.axis && other.parameterization === line.parameterization;
    return (
      line.claimed &&
      !found.some(isBeside) &&
      variesAlong({ runs: all.filter(isBeside).flatMap(({ runs }) => runs) })
    );
  };
  return all
    .filter((line) => found.includes(line) || isLost(line))
    .sort((a, b) => COORDINATE_AXES.indexOf(a.axis) - COORDINATE_AXES.indexOf(b.axis));
}

const variesAlong = ({ runs }: Pick<Line, "runs">): boolean => new Set(runs.map(({ x }) => x)).size > 1;

const valueOn = (coordinates: Coordinates, axis: CoordinateAxis): number =>
  axis === "density" ? complement(coordinates.sparsity) : coordinates[axis];

/**
 * Everything but the axis, the seed and the learning rate, which belongs to the parameterization.
 * @param headsStay of the check's runs d_head varies: it does so with width, and the number of heads is what stays
 */
function whatStays(
  coordinates: Coordinates,
  axis: CoordinateAxis,
  headsStay: boolean,
): Record<string, unknown> {
  const { parameterization: _p, seed: _s, learning_rate: _l, sparsity, d_head, ...rest } = coordinates;
  const all: Record<string, unknown> = {
    ...rest,
    density: complement(sparsity),
    ...(d_head == null ? {} : headsStay ? { heads: coordinates.width / d_head } : { d_head }),
  };
  return Object.fromEntries(Object.entries(all).filter(([name]) => name !== axis));
}

function outcomeOf(state: RunState, sizes: MeasuredRun["sizes"]): MeasuredRun["outcome"] {
  if (state === "diverged") return "diverged";
  return state === "finished" && sizes.length > 0 ? "measured" : "missing";
}

const put = putRow(coordinateFits);

/** Fits every line of a check all of whose runs have ended. */
export function storeFits(db: Database, phase: number, settings: { steps: number; tolerance: number }): void {
  dropFits(db, phase);
  let position = 0;
  for (const line of readLines(db, phase)) {
    const { parameterization, axis, claimed } = line;
    const own = {
      phase_id: phase,
      parameterization,
      axis,
      at: canonicalJson(line.at),
      claimed: claimed ? 1 : 0,
    };
    for (const slope of fitLine(line, settings)) put(db, { ...own, ...slope, position: position++ });
  }
}

const drop = prepared(({ orm }) =>
  orm
    .delete(coordinateFits)
    .where(eq(coordinateFits.phase_id, given("phase")))
    .prepare(),
);

export const dropFits = (db: Database, phase: number): void => void drop(db).run({ phase });

const { phase_id, position, ...columns } = getTableColumns(coordinateFits);

const read = prepared(({ orm }) =>
  orm
    .select(columns)
    .from(coordinateFits)
    .where(eq(phase_id, given("phase")))
    .orderBy(asc(position))
    .prepare(),
);

/** The stored slopes of a complete check; none of one that is not. */
export function readFits(db: Database, phase: number): FittedLine[] {
  const lines = new Map<string, Omit<FittedLine, "verdict">>();
  for (const { parameterization, axis, at, claimed, ...slope } of read(db).all({ phase })) {
    const key = canonicalJson([parameterization, axis, at]);
    const line = lines.get(key) ?? {
      parameterization,
      title: RULES[parameterization].title,
      axis,
      at: JSON.parse(at) as Record<string, unknown>,
      claimed: claimed === 1,
      slopes: [],
    };
    lines.set(key, line);
    line.slopes.push(slope);
  }
  return [...lines.values()].map((line) => ({ ...line, verdict: verdictOf(line.slopes) }));
}
