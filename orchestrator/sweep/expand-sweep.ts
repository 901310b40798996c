/**
 * A phase in, its runs out, one at a time: the grid is never held as a whole.
 */

import {
  type AxisName,
  HYPERPARAMETER_NAMES,
  type HyperparameterName,
  type Hyperparameters,
  isSettingName,
  type SettingName,
  type TakenName,
} from "../../schema/sweep/hyperparameters.ts";
import type { Phase } from "../../schema/sweep/sweep.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { canonicalJson, type RunPlan, runIdOf, type Setting } from "../../schema/wire/plan.ts";
import { type DataIdentity, resolvePlan } from "../parameterization/resolve-plan.ts";
import { resolveScriptPlan, type ScriptSettings } from "../parameterization/resolve-script-plan.ts";
import type { Settings } from "../parameterization/settings.ts";
import { product } from "./combinations.ts";
import { findRepeats, type Repeats } from "./find-repeats.ts";
import { type Dimension, type Grid, type Point, readGrids, type Values } from "./grids.ts";
import { type PartialSettings, type SettingsReader, settingsReader } from "./settings-of.ts";

/** Every run has these; an axis over anything else adds its own name. */
const ALWAYS = ["parameterization", "width", "sparsity", "layers", "learning_rate", "seed"] as const;

/** Where a run stands in its sweep: every axis of the sweep and the six that every run has, resolved. */
export type Coordinates = Pick<Hyperparameters, (typeof ALWAYS)[number]> & {
  [K in HyperparameterName]?: Hyperparameters[K] | null;
} & { [K in SettingName]?: Setting | null };

export interface Cell {
  coordinates: Coordinates;
  /** Names the curve: canonical JSON of the coordinates without seed and without what the phase tunes, the learning rate. */
  curve: string;
  /** Of what the phase tunes. */
  tuned_value: number;
  plan: RunPlan;
  /** Content hash of the plan. Two cells can be one run: SμPar is μP at density 1. */
  run: string;
  keep_weights: boolean;
}

interface Counts {
  /** Points as the axes declare them. */
  points: number;
  /** Points that another one equals; they are left out. */
  duplicates: number;
  /** points − duplicates: the cells. */
  cells: number;
}

/** A further point of a curve that the grid has. */
interface Extra {
  /** Of what the phase tunes. */
  tuned_value: number;
  seed: number;
}

/** A curve of the grid, and where its points are. */
export interface GridCurve {
  curve: string;
  /** Of what the phase tunes, and seeds: those of the grid, rising. */
  tuned_values: number[];
  seeds: number[];
  points: number;
}

export interface Expansion {
  /** What the phase varies. */
  axes: readonly AxisName[];
  /** A fresh walk over the cells: all curves of the first seed, then of the next. */
  cells(): Generator<Cell>;
  /** Cells at other values of what the phase tunes, and other seeds, than the grid's, by curve; as they would be if the grid had them. */
  extraCells(extras: ReadonlyMap<string, readonly Extra[]>): Generator<Cell>;
  /** Without resolving a plan. */
  curves(): GridCurve[];
  counts(): Counts;
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const pointsOf = (grid: Grid, along: (dimension: Dimension) => number): number =>
  grid.dimensions.reduce((n, dimension) => n * along(dimension), 1);

const axesOf = (grids: readonly Grid[]): AxisName[] => {
  const varied = new Set(grids.flatMap((grid) => grid.dimensions.flatMap((d) => d.names)));
  return [...HYPERPARAMETER_NAMES.filter((name) => varied.has(name)), ...[...varied].filter(isSettingName)];
};

/** The names of a run's coordinates in a phase. */
export const coordinateNames = (grids: readonly Grid[]): AxisName[] => [
  ...new Set<AxisName>([...ALWAYS, ...axesOf(grids)]),
];

/** The coordinates of the runs of some grids. */
export function coordinatesReader(
  grids: readonly Grid[],
): (settings: SettingsReader, values: Values) => Coordinates {
  const names = coordinateNames(grids) as (keyof PartialSettings)[];
  return (settings, values) => {
    const some = settings.some(names, values);
    return Object.fromEntries(names.map((name) => [name, some[name] ?? null])) as unknown as Coordinates;
  };
}

/** What a phase seeks the optimum of, on every curve. */
export const tunedOf = ({ tune }: Pick<Phase, "tune">): TakenName => tune ?? "learning_rate";

/** Coordinates of a whole curve: without seed and what is tuned. */
export function ofCurve(coordinates: Coordinates, tuned: TakenName): Partial<Coordinates> {
  const { [tuned]: _value, seed: _seed, ...rest } = coordinates;
  return rest;
}

/** @param sweep one of the phases that parseSweep returns; @param data the tokenized data that its runs train on */
export function expandPhase(sweep: Phase, data: DataIdentity): Expansion {
  const { grids, findings } = readGrids(sweep.axes);
  if (findings[0] !== undefined)
    throw new MusweepError("sweep-file", findings[0].message, {
      kind: "usage",
      remedy: "Read the file with parseSweep.",
    });
  const tuned = tunedOf(sweep);
  const reader = settingsReader(sweep);
  const coordinatesAt = coordinatesReader(grids);
  let found: readonly Repeats[] | undefined;
  const repeats = (): readonly Repeats[] => {
    found ??= findRepeats(grids, coordinateNames(grids), reader);
    return found;
  };

  function* points(): Generator<{ point: Point; coordinates: Coordinates }> {
    for (const [i, grid] of grids.entries()) {
      let position = 0;
      for (const point of product(grid.dimensions)) {
        if (repeats()[i]!.has(position++)) continue;
        yield { point, coordinates: coordinatesAt(reader, point.values) };
      }
    }
  }

  function cellOf(coordinates: Coordinates, values: Values): Cell {
    const settings = reader.at(values);
    const resolved =
      sweep.script === undefined
        ? resolvePlan(complete(settings), data)
        : resolveScriptPlan(settings as unknown as ScriptSettings, sweep.script, Object.keys(values));
    // What is measured does not change what is trained, but a run that was not measured has no coordinates.
    const plan: RunPlan =
      sweep.coordinates === undefined
        ? resolved
        : { ...resolved, coordinates: { steps: sweep.coordinates.steps } };
    return {
      coordinates,
      curve: curveOf(coordinates, tuned),
      tuned_value: coordinates[tuned] as number,
      plan,
      run: runIdOf(plan),
      keep_weights: sweep.keep_weights,
    };
  }

  return {
    axes: axesOf(grids),
    *cells() {
      for (const { point, coordinates } of points()) yield cellOf(coordinates, point.values);
    },
    *extraCells(extras) {
      const open = new Map(extras);
      for (const { point, coordinates } of points()) {
        if (open.size === 0) return;
        const curve = curveOf(coordinates, tuned);
        for (const { tuned_value, seed } of open.get(curve) ?? []) {
          const extra = { [tuned]: tuned_value, seed };
          yield cellOf({ ...coordinates, ...extra }, { ...point.values, ...extra });
        }
        open.delete(curve);
      }
    },
    curves() {
      const found = new Map<string, { values: Set<number>; seeds: Set<number>; points: number }>();
      for (const { coordinates } of points()) {
        const curve = curveOf(coordinates, tuned);
        const known = found.get(curve) ?? { values: new Set(), seeds: new Set(), points: 0 };
        known.values.add(coordinates[tuned] as number);
        known.seeds.add(coordinates.seed);
        known.points++;
        found.set(curve, known);
      }
      const rising = (values: ReadonlySet<number>) => [...values].sort((a, b) => a - b);
      return [...found].map(([curve, { values, seeds, points }]) => ({
        curve,
        tuned_values: rising(values),
        seeds: rising(seeds),
        points,
      }));
    },
    counts() {
      const points = sum(grids.map((grid) => pointsOf(grid, (d) => d.declared)));
      const distinct = sum(grids.map((grid) => pointsOf(grid, (d) => d.points.length)));
      const cells = distinct - sum(repeats().map((r) => r.count));
      return { points, duplicates: points - cells, cells };
    },
  };
}

export const curveOf = (coordinates: Coordinates, tuned: TakenName = "learning_rate"): string =>
  canonicalJson(ofCurve(coordinates, tuned));

/** parseSweep has seen to it that nothing is missing. */
function complete(settings: PartialSettings): Settings {
  const missing = Object.entries(settings).find(([, value]) => value === undefined);
  if (missing !== undefined || settings.parameterization === undefined)
    throw new MusweepError("sweep-file", `${missing?.[0] ?? "parameterization"} is missing`, {
      kind: "usage",
      remedy: "Read the file with parseSweep.",
    });
  const { tokens: _tokens, warmup_fraction: _fraction, ...rest } = settings;
  return rest as Settings;
}
