/**
 * A phase in, its runs out, one at a time: the grid is never held as a whole.
 */

import type { TakenName } from "../../schema/axes.ts";
import { MusweepError } from "../../schema/errors.ts";
import {
  HYPERPARAMETER_NAMES,
  type HyperparameterName,
  type Hyperparameters,
} from "../../schema/hyperparameters.ts";
import { canonicalJson, type Plan, runIdOf } from "../../schema/plan.ts";
import type { Phase } from "../../schema/sweep.ts";
import { type DataIdentity, resolvePlan } from "../parameterization/resolve-plan.ts";
import type { Settings } from "../parameterization/settings.ts";
import { declaredPoints, product } from "./check-sweep.ts";
import { type Grid, type Point, readGrids } from "./grids.ts";
import { fileValues, type PartialSettings, partialSettings } from "./settings-of.ts";

/** Every run has these; an axis over anything else adds its own name. */
const ALWAYS = ["parameterization", "width", "sparsity", "layers", "learning_rate", "seed"] as const;

/** Where a run stands in its sweep: every axis of the sweep and the six that every run has, resolved. */
export type Coordinates = Pick<Hyperparameters, (typeof ALWAYS)[number]> & {
  [K in HyperparameterName]?: Hyperparameters[K] | null;
};

export interface Cell {
  coordinates: Coordinates;
  /** Names the curve: canonical JSON of the coordinates without seed and without what the phase tunes, the learning rate. */
  curve: string;
  /** Of what the phase tunes. */
  tuned_value: number;
  plan: Plan;
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

export interface Expansion {
  /** What the phase varies. */
  axes: readonly HyperparameterName[];
  /** A fresh walk over the cells: all curves of the first seed, then of the next. */
  cells(): Generator<Cell>;
  /** Cells at other values of what the phase tunes, and other seeds, than the grid's, by curve; as they would be if the grid had them. */
  extraCells(extras: ReadonlyMap<string, readonly Extra[]>): Generator<Cell>;
  counts(): Counts;
}

const axesOf = (grids: readonly Grid[]): HyperparameterName[] => {
  const varied = new Set(grids.flatMap((grid) => grid.dimensions.flatMap((d) => d.names)));
  return HYPERPARAMETER_NAMES.filter((name) => varied.has(name));
};

function coordinatesOf(axes: readonly HyperparameterName[], settings: PartialSettings): Coordinates {
  const names = [...new Set<HyperparameterName>([...ALWAYS, ...axes])];
  return Object.fromEntries(
    names.map((name) => [name, settings[name as keyof PartialSettings] ?? null]),
  ) as Coordinates;
}

/** What a phase seeks the optimum of, on every curve. */
export const tunedOf = ({ tune }: Pick<Phase, "tune">): TakenName => tune ?? "learning_rate";

/** Coordinates of a whole curve of some grids: without seed and what is tuned. */
export const curveCoordinates = (
  grids: readonly Grid[],
  settings: PartialSettings,
  tuned: TakenName,
): Partial<Coordinates> => ofCurve(coordinatesOf(axesOf(grids), settings), tuned);

function ofCurve(coordinates: Coordinates, tuned: TakenName): Partial<Coordinates> {
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
  const axes = axesOf(grids);
  const tuned = tunedOf(sweep);
  const file = fileValues(sweep);

  function* points(): Generator<{ point: Point; coordinates: Coordinates; settings: PartialSettings }> {
    // Within a grid the dimensions hold no duplicates, so only several grids can meet.
    const seen = grids.length > 1 ? new Set<string>() : null;
    for (const grid of grids)
      for (const point of product(grid.dimensions)) {
        const settings = partialSettings(sweep, file, point.values);
        const coordinates = coordinatesOf(axes, settings);
        if (seen !== null) {
          const key = JSON.stringify(Object.values(coordinates));
          if (seen.has(key)) continue;
          seen.add(key);
        }
        yield { point, coordinates, settings };
      }
  }

  function cellOf(coordinates: Coordinates, settings: PartialSettings): Cell {
    const resolved = resolvePlan(complete(settings), data);
    // What is measured does not change what is trained, but a run that was not measured has no coordinates.
    const plan: Plan =
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
    axes,
    *cells() {
      for (const { coordinates, settings } of points()) yield cellOf(coordinates, settings);
    },
    *extraCells(extras) {
      const open = new Map(extras);
      for (const { point, coordinates } of points()) {
        if (open.size === 0) return;
        const curve = curveOf(coordinates, tuned);
        for (const { tuned_value, seed } of open.get(curve) ?? []) {
          const extra = { [tuned]: tuned_value, seed };
          yield cellOf(
            { ...coordinates, ...extra },
            partialSettings(sweep, file, { ...point.values, ...extra }),
          );
        }
        open.delete(curve);
      }
    },
    counts() {
      const declared = declaredPoints(grids);
      let cells = 0;
      if (grids.length > 1) for (const _ of points()) cells++;
      else cells = grids.flatMap((g) => g.dimensions).reduce((n, d) => n * d.points.length, 1);
      return { points: declared, duplicates: declared - cells, cells };
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
