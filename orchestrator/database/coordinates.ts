/**
 * Coordinate checks in the database: what the runs of one measured, as lines along width, density and depth, and the slopes
 * that are stored when it is complete. Whatever completes a check stores them in the same transaction, and a check that trains again
 * has none until it is complete again.
 */
import type Sqlite from "better-sqlite3";
import type { CoordinateModule, ModuleSize } from "../../schema/coordinates.ts";
import type { Parameterization } from "../../schema/hyperparameters.ts";
import { canonicalJson } from "../../schema/plan.ts";
import type { RunState } from "../../schema/tables.ts";
import {
  COORDINATE_AXES,
  type CoordinateAxis,
  type FlatVerdict,
  fitLine,
  type Line,
  type MeasuredRun,
  type Slope,
  verdictOf,
} from "../analysis/coordinates.ts";
import { RULES } from "../parameterization/rules.ts";
import { complement } from "../parameterization/settings.ts";
import type { Coordinates } from "../sweep/expand-sweep.ts";

/** Networks of one parameterization that differ in one axis and in seed alone. */
export interface CoordinateLine extends Line {
  parameterization: Parameterization;
  /** Whether its rules say that activations keep their size along the axis. */
  claimed: boolean;
  /** The coordinates that stay, such as {width: 256, layers: 2}. */
  at: Record<string, unknown>;
}

/** A line's slopes, as stored. */
export interface FittedLine extends Pick<CoordinateLine, "parameterization" | "axis" | "claimed" | "at"> {
  slopes: Slope[];
  verdict: FlatVerdict;
}

interface CellRow {
  run_id: string;
  seed: number;
  coordinates: string;
  state: RunState;
}

type SizeRow = ModuleSize & { step: number };

/** Every line of a check that has two values or more, with all that has been measured so far. */
export function readLines(sqlite: Sqlite.Database, phase: number): CoordinateLine[] {
  const cells = sqlite
    .prepare<[number], CellRow>(
      `SELECT c.run_id, c.seed, c.coordinates, r.state FROM cells c JOIN runs r ON r.id = c.run_id
       WHERE c.phase_id = ? ORDER BY c.position`,
    )
    .all(phase);
  const sizes = new Map<string, MeasuredRun["sizes"]>();
  const lines = new Map<string, CoordinateLine>();
  for (const { run_id, seed, coordinates: json, state } of cells) {
    const coordinates = JSON.parse(json) as Coordinates;
    const run = sizes.get(run_id) ?? readSizes(sqlite, run_id);
    sizes.set(run_id, run);
    for (const axis of COORDINATE_AXES) {
      const { parameterization } = coordinates;
      const at = whatStays(coordinates, axis);
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
  return [...lines.values()]
    .filter((line) => new Set(line.runs.map((run) => run.x)).size > 1)
    .sort((a, b) => COORDINATE_AXES.indexOf(a.axis) - COORDINATE_AXES.indexOf(b.axis));
}

const valueOn = (coordinates: Coordinates, axis: CoordinateAxis): number =>
  axis === "density" ? complement(coordinates.sparsity) : coordinates[axis];

/**
 * Everything but the axis, the seed and the learning rate, which belongs to the parameterization. Where d_head varies, it does
 * so with width, and the number of heads is what stays.
 */
function whatStays(coordinates: Coordinates, axis: CoordinateAxis): Record<string, unknown> {
  const { parameterization: _p, seed: _s, learning_rate: _l, sparsity, d_head, ...rest } = coordinates;
  const all: Record<string, unknown> = {
    ...rest,
    density: complement(sparsity),
    ...(d_head == null ? {} : { heads: coordinates.width / d_head }),
  };
  return Object.fromEntries(Object.entries(all).filter(([name]) => name !== axis));
}

function outcomeOf(state: RunState, sizes: MeasuredRun["sizes"]): MeasuredRun["outcome"] {
  if (state === "diverged") return "diverged";
  return state === "finished" && sizes.length > 0 ? "measured" : "missing";
}

function readSizes(sqlite: Sqlite.Database, run: string): MeasuredRun["sizes"] {
  const rows = sqlite
    .prepare<[string], SizeRow>(
      `SELECT step, module, nullif(layer, -1) AS layer, size, change FROM activation_sizes
       WHERE run_id = ? ORDER BY step, layer`,
    )
    .all(run);
  const steps: ModuleSize[][] = [];
  for (const { step, ...size } of rows) {
    const modules = steps[step] ?? [];
    steps[step] = modules;
    modules.push(size);
  }
  return steps;
}

/** Fits every line of a check all of whose runs have ended. */
export function storeFits(
  sqlite: Sqlite.Database,
  phase: number,
  settings: { steps: number; tolerance: number },
): void {
  dropFits(sqlite, phase);
  const insert = sqlite.prepare(
    `INSERT INTO coordinate_fits (phase_id, position, parameterization, axis, at, claimed, module, layer, quantity, step,
       slope, slope_low, slope_high, allowed_low, allowed_high, verdict, points, seeds)
     VALUES (@phase, @position, @parameterization, @axis, @at, @claimed, @module, @layer, @quantity, @step,
       @slope, @slope_low, @slope_high, @allowed_low, @allowed_high, @verdict, @points, @seeds)`,
  );
  let position = 0;
  for (const line of readLines(sqlite, phase)) {
    const { parameterization, axis, claimed } = line;
    const own = { phase, parameterization, axis, at: canonicalJson(line.at), claimed: claimed ? 1 : 0 };
    for (const slope of fitLine(line, settings)) insert.run({ ...own, ...slope, position: position++ });
  }
}

export const dropFits = (sqlite: Sqlite.Database, phase: number): void =>
  void sqlite.prepare("DELETE FROM coordinate_fits WHERE phase_id = ?").run(phase);

/** The stored slopes of a complete check; none of one that is not. */
export function readFits(sqlite: Sqlite.Database, phase: number): FittedLine[] {
  const rows = sqlite
    .prepare<
      [number],
      Slope & { parameterization: Parameterization; axis: CoordinateAxis; at: string; claimed: number }
    >(
      `SELECT parameterization, axis, at, claimed, module, layer, quantity, step, slope, slope_low, slope_high,
         allowed_low, allowed_high, verdict, points, seeds
       FROM coordinate_fits WHERE phase_id = ? ORDER BY position`,
    )
    .all(phase);
  const lines = new Map<string, Omit<FittedLine, "verdict">>();
  for (const { parameterization, axis, at, claimed, ...slope } of rows) {
    const key = canonicalJson([parameterization, axis, at]);
    const line = lines.get(key) ?? {
      parameterization,
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

/** Lines on which a parameterization's own rules are not borne out: a check passes when there is none. */
export const broken = (lines: readonly FittedLine[]): FittedLine[] =>
  lines.filter((line) => line.claimed && line.verdict !== "flat");

/** For sentences: "attention", "ffn 1". */
export const placeName = ({ module, layer }: { module: CoordinateModule; layer: number | null }): string =>
  `${module.replace("_", " ")}${layer === null ? "" : ` ${layer}`}`;
