/**
 * How far a sweep has seen the optimum move along the axes on which a target stands elsewhere than the curve whose optimum it gets; and so
 * how far it may move on the way there.
 */

import { atLeast } from "../analysis/bounds.ts";
import { coordinateOf, coordinatesOf, valueAlong } from "../analysis/groups.ts";
import { signed } from "../analysis/signed.ts";
import type { Bounded } from "../analysis/types.ts";
import type { TransferRow } from "../database/results.ts";
import { type AnswerRow, placeOf } from "./answer.ts";
import type { TransferAxis, Wanted } from "./choose-source.ts";

export interface MeasuredDrift {
  axis: TransferAxis;
  /** Where it was measured, as people say it: sparsity, not density. */
  from: number;
  to: number;
  /** Octaves from there to there; an estimate with its 95% interval, or a bound alone. */
  moved: Bounded;
  /** Octaves on the way from the source to the target, if the optimum goes on as it did; null: no bound. */
  low: number | null;
  high: number | null;
}

/** Along each axis that changes, unless the optimum was shown to stay. */
export function measuredDrifts(
  transfer: readonly TransferRow[],
  source: AnswerRow,
  target: Wanted,
): MeasuredDrift[] {
  const wanted = {
    width: target.width,
    density: 1 - target.sparsity,
    layers: target.layers ?? source.layers,
  };
  const here = placeOf(source);
  return (["width", "density", "layers"] as const).flatMap((axis) => {
    const way = Math.log2(wanted[axis] / valueAlong(axis, here));
    const known = transfer.filter(
      (t) =>
        t.axis === axis &&
        t.phase === source.phase &&
        t.parameterization === source.parameterization &&
        hasMoved(t) &&
        valueAlong(axis, coordinatesOf(t.curve)) > 0,
    );
    if (way === 0 || !Number.isFinite(way) || known.length === 0) return [];
    // Beside the source itself, where that was measured; nearest to the target.
    const beside = known.filter(({ place }) =>
      Object.entries(JSON.parse(place) as Record<string, unknown>).every(
        ([name, value]) => here[name] === value,
      ),
    );
    const away = ({ curve }: TransferRow): number =>
      Math.abs(Math.log2(valueAlong(axis, coordinatesOf(curve)) / wanted[axis]));
    const [t] = (beside.length > 0 ? beside : known).toSorted((a, b) => away(a) - away(b));
    const [base, cell] = [coordinatesOf(t!.base_curve), coordinatesOf(t!.curve)];
    const moved = { estimate: t!.drift, low: t!.drift_low, high: t!.drift_high };
    const share = way / Math.log2(valueAlong(axis, cell) / valueAlong(axis, base));
    const [low, high] = share < 0 ? [moved.high, moved.low] : [moved.low, moved.high];
    const name = coordinateOf(axis);
    return [
      {
        axis,
        from: Number(base[name]),
        to: Number(cell[name]),
        moved,
        low: low === null ? null : low * share,
        high: high === null ? null : high * share,
      },
    ];
  });
}

/** Whether a row says that the optimum moves, or may: an estimate that is not shown to be small, or a bound that excludes none. */
const hasMoved = ({ drift_verdict, drift, drift_low, drift_high }: TransferRow): boolean =>
  drift_verdict !== "transfers" && (drift !== null || (drift_low ?? 0) > 0 || (drift_high ?? 0) < 0);

export function driftText({ axis, from, to, moved: { estimate, low, high } }: MeasuredDrift): string {
  const along = `from ${coordinateOf(axis)} ${from} to ${to} the optimum`;
  if (estimate !== null)
    return `${along} moved by ${signed(estimate, 2)} octaves (95%: ${signed(low!, 2)} to ${signed(high!, 2)})`;
  const least = (low ?? 0) > 0 ? low! : high!;
  return `${along} moves ${least > 0 ? "up" : "down"} by at least ${atLeast(Math.abs(least), 1)} octaves`;
}

/** More runs than that are a sweep of their own. */
const MOST_OCTAVES = 6;
/** Beyond a bound that has no other side. */
const BEYOND = 1;

/**
 * @returns base learning rates an octave apart about the recommended one, as far as its own interval and the drifts reach, and one on
 * either side at least
 */
export function validationRates(
  { log2_tuned, log2_tuned_low, log2_tuned_high }: AnswerRow["optimum"],
  drifts: readonly MeasuredDrift[],
): number[] {
  const down = drifts.map(({ low, high }) => Math.min(0, low ?? (high! < 0 ? high! - BEYOND : 0)));
  const up = drifts.map(({ low, high }) => Math.max(0, high ?? (low! > 0 ? low! + BEYOND : 0)));
  const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
  const octaves = (reach: number): number => Math.min(MOST_OCTAVES, Math.max(1, Math.round(reach + 0.25)));
  const below = octaves(log2_tuned! - log2_tuned_low! - sum(down));
  const above = octaves(log2_tuned_high! - log2_tuned! + sum(up));
  return Array.from({ length: below + above + 1 }, (_, i) => 2 ** (log2_tuned! + i - below));
}
