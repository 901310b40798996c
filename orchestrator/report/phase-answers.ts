/**
 * What the phases of the proxy-to-target workflow answer: the best configurations of a random search, and how a learning
 * rate that was taken from another phase did beside its neighbours.
 */
import { type Parameterization, RULES } from "../../schema/sweep/rules.ts";
import type { CurvePoint } from "../analysis/types.ts";
import { parameterizationsOf } from "../database/cells.ts";
import { rankConfigurations } from "../database/configurations.ts";
import type { PhaseCurves } from "../database/curves.ts";
import type { Database } from "../database/open.ts";
import type { StoredPhase, TakenValue } from "../database/phases.ts";
import type { Coordinates } from "../sweep/expand-sweep.ts";

const BEST_SHOWN = 5;

export interface Search {
  phase: string;
  title: string;
  configurations: number;
  /** Those all of whose seeds have finished. */
  finished: number;
  /** The few of lowest validation loss. */
  best: { coordinates: Coordinates; loss: number }[];
}

export interface Confirmation {
  phase: string;
  title: string;
  width: number;
  layers: number;
  sparsity: number;
  other: Record<string, unknown>;
  curve: string;
  /** The learning rate that was taken, before multiples, and the phase it comes from. */
  learning_rate: number;
  from: string;
  /** By rising multiple. */
  points: ConfirmationPoint[];
  /** The multiple of lowest mean loss; null when nothing has trained. */
  best: number | null;
  /** Loss of the rate as taken above the lowest one, per cent; null when either is not known. */
  cost_per_cent: number | null;
}

export interface ConfirmationPoint {
  multiple: number;
  /** Validation loss, mean over seeds; null when one diverged or none has finished. */
  loss: number | null;
  diverged: boolean;
}

/** Coordinates that every row shows in columns of its own. */
const SHOWN = new Set(["parameterization", "width", "layers", "sparsity"]);

/** Coordinates that tell rows apart beside parameterization, width, layers and sparsity. */
export const otherCoordinates = (coordinates: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(coordinates).filter(([name]) => !SHOWN.has(name)));

export function answerSearch(db: Database, phase: StoredPhase): Search[] {
  return parameterizationsOf(db, phase.id).map((parameterization) => {
    const ranked = rankConfigurations(db, phase.id, parameterization);
    const finished = ranked.flatMap(({ coordinates, loss }) =>
      loss === null ? [] : [{ coordinates, loss }],
    );
    return {
      phase: phase.name,
      title: RULES[parameterization].title,
      configurations: ranked.length,
      finished: finished.length,
      best: finished.slice(0, BEST_SHOWN),
    };
  });
}

/** @param rows the phase's curves as the answer has them */
export function confirmations(
  phase: StoredPhase,
  rows: readonly (Omit<Confirmation, "learning_rate" | "from" | "points" | "best" | "cost_per_cent"> & {
    parameterization: Parameterization;
  })[],
  curves: PhaseCurves,
): Confirmation[] {
  if (phase.tuned !== "learning_rate") return [];
  return rows.flatMap(({ phase: name, title, width, layers, sparsity, other, curve, parameterization }) => {
    const { points } = curves.get(curve)!.input;
    const taken = phase.taken.find(
      (v) => v.name === "learning_rate" && v.parameterization === parameterization && isAmong(v, points),
    );
    if (taken === undefined) return [];
    const measured = points
      .map((point) => measure(point, taken.value))
      .sort((a, b) => a.multiple - b.multiple);
    const known = measured.flatMap(({ multiple, loss }) => (loss === null ? [] : [{ multiple, loss }]));
    const best = known.toSorted((a, b) => a.loss - b.loss)[0];
    const own = known.find(({ multiple }) => multiple === 1);
    return [
      {
        phase: name,
        title,
        width,
        layers,
        sparsity,
        other,
        curve,
        learning_rate: taken.value,
        from: taken.from,
        points: measured,
        best: best?.multiple ?? null,
        cost_per_cent: best === undefined || own === undefined ? null : 100 * (own.loss / best.loss - 1),
      },
    ];
  });
}

/** One phase may take several rates for a parameterization: a curve was trained at its own, when 1 is among the multiples. */
const isAmong = ({ value }: TakenValue, points: readonly CurvePoint[]): boolean =>
  points.some(({ log2_tuned }) => Math.abs(log2_tuned - Math.log2(value)) < 1e-9);

function measure({ log2_tuned, seeds }: CurvePoint, taken: number): ConfirmationPoint {
  const diverged = seeds.some((seed) => seed.diverged);
  const losses = seeds.flatMap(({ loss }) => (loss === null ? [] : [loss]));
  return {
    multiple: Number((2 ** (log2_tuned - Math.log2(taken))).toPrecision(6)),
    loss: diverged || losses.length === 0 ? null : losses.reduce((a, b) => a + b, 0) / losses.length,
    diverged,
  };
}
