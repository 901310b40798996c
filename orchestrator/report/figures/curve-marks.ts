/** The marks inside one panel of loss against learning rate: means with their spread, what leaves the axis, the optimum. */
import { area, line as lineShape } from "d3-shape";
import { lossDigits, lossText } from "../../analysis/loss-text.ts";
import { TUNED } from "../../analysis/tuned.ts";
import type { Optimum } from "../../analysis/types.ts";
import type { FigureCurve, FigurePoint } from "./data.ts";
import type { Panel } from "./facets.ts";
import { arrow, type Box, line, type linear, path } from "./frame.ts";
import { decimal, sparsityLabel, widthWords } from "./labels.ts";
import { element, type Markup, text } from "./markup.ts";
import { marker } from "./theme.ts";

/** Height of one line's marks above the axis. */
export const STRIP_ROW = 8;

type Scale = ReturnType<typeof linear>;
export interface Scales {
  x: Scale;
  y: Scale;
  top: number;
}

export const isAbove = (point: FigurePoint, losses: [number, number] | null): boolean =>
  point.mean !== null && losses !== null && point.mean > losses[1];

/** The optimum of the panel's first curve, the one that the others' drift is measured from. */
export function baseLine(panel: Panel, box: Box, { x }: Scales): Markup[] {
  const { log2_tuned, log2_tuned_low, log2_tuned_high } = panel.curves[0]!.optimum;
  if (log2_tuned === null || log2_tuned_low === null || log2_tuned_high === null) return [];
  const [from, to] = [x(log2_tuned_low), x(log2_tuned_high)];
  return [
    element("rect", { x: from, y: box.y, width: to - from, height: box.height, class: "base-spread" }),
    line(x(log2_tuned), box.y, x(log2_tuned), box.y + box.height, {
      class: "base",
      "data-base-log2-lr": log2_tuned,
    }),
  ];
}

type Trained = FigurePoint & { mean: number; low: number; high: number };

/** Rates at which every seed that ended has a loss: what the line joins, and what the optimum is fitted to. */
const isStable = (point: FigurePoint): point is Trained => point.mean !== null && point.diverged === 0;

export function spreadAndLine({ points }: FigureCurve, { x, y }: Scales): Markup[] {
  const spread = area<FigurePoint>()
    .defined(isStable)
    .x((p) => x(p.log2_tuned))
    .y0((p) => y(p.low!))
    .y1((p) => y(p.high!))
    .digits(2)(points);
  const joined = lineShape<FigurePoint>()
    .defined(isStable)
    .x((p) => x(p.log2_tuned))
    .y((p) => y(p.mean!))
    .digits(2)(points);
  const several = points.some((p) => p.finished > 1);
  return [
    ...(several && spread !== null ? [path(spread, { class: "spread" })] : []),
    ...(joined === null ? [] : [path(joined, { class: "line" })]),
  ];
}

/** The address of what a point stands for: the runs of a curve at one value. */
export type LinkOf = (curve: FigureCurve, point: FigurePoint) => string;

/** Every mean on the axis: filled where stable, open where a seed diverged. */
export function points(
  curve: FigureCurve,
  series: number,
  losses: [number, number] | null,
  { x, y }: Scales,
  linkOf?: LinkOf,
): Markup[] {
  return curve.points.flatMap((p) => {
    if (p.mean === null || isAbove(p, losses)) return [];
    const mark = element(
      "path",
      {
        d: marker(series, 32),
        transform: `translate(${x(p.log2_tuned).toFixed(2)} ${y(p.mean).toFixed(2)})`,
        class: p.diverged > 0 ? "open" : "mark edge",
        "data-log2-lr": p.log2_tuned,
        "data-loss": p.mean,
      },
      element("title", {}, text(describePoint(curve, p))),
    );
    // The map and the list of runs lead there by keyboard.
    return linkOf === undefined ? mark : element("a", { href: linkOf(curve, p), tabindex: "-1" }, mark);
  });
}

/**
 * Above the axis: a cross where a seed diverged, an arrowhead where the mean is off the axis.
 * @param row from the bottom
 */
export function marksAbove(
  curve: FigureCurve,
  row: number,
  losses: [number, number] | null,
  { x, top }: Scales,
): Markup[] {
  const y = top - 7 - STRIP_ROW * row;
  return curve.points.flatMap((p) => {
    const above = isAbove(p, losses);
    if (p.diverged === 0 && !above) return [];
    const at = x(p.log2_tuned);
    const data =
      p.diverged > 0
        ? { "data-diverged-log2-lr": p.log2_tuned, "data-diverged": p.diverged }
        : { "data-above-log2-lr": p.log2_tuned };
    return element(
      "path",
      {
        d: p.diverged > 0 ? cross(at, y) : arrowhead(at, y),
        class: "thin",
        ...data,
        "data-loss": above ? p.mean : null,
      },
      element("title", {}, text(describePoint(curve, p))),
    );
  });
}

export const arrowhead = (x: number, y: number): string =>
  `M${x.toFixed(2)},${(y - 2.8).toFixed(2)}l3.2,5.2h-6.4Z`;

export const cross = (x: number, y: number): string => {
  const [l, r, t, b] = [x - 2.8, x + 2.8, y - 2.8, y + 2.8].map((v) => v.toFixed(2));
  return `M${l},${t}L${r},${b}M${l},${b}L${r},${t}`;
};

function describePoint({ title, width, sparsity, tuned }: FigureCurve, p: FigurePoint): string {
  const parts = [
    `${title}${widthWords(width)}, sparsity ${sparsityLabel(sparsity)}, log₂ ${TUNED[tuned].short} ${decimal(p.log2_tuned, 2)}:`,
  ];
  if (p.mean !== null && p.low !== null && p.high !== null) {
    const spread =
      p.finished > 1
        ? ` (${p.low.toFixed(lossDigits(p.mean, 3))} to ${p.high.toFixed(lossDigits(p.mean, 3))}, ${p.finished} seeds)`
        : "";
    parts.push(`loss ${lossText(p.mean, 3)}${spread}`);
  }
  if (p.diverged > 0) parts.push(`${p.diverged} of ${p.diverged + p.finished} diverged`);
  if (p.missing > 0) parts.push(`${p.missing} without result`);
  return parts.join(" ");
}

/**
 * A bracketed optimum is a point with its interval; everything else is at most a bound, drawn as an arrow away from it (or,
 * between two bounds, as a bar) and never as a point.
 */
export function optimumMark(optimum: Optimum, series: number, box: Box, { x, y }: Scales): Markup[] {
  const { flag, log2_tuned, log2_tuned_low: low, log2_tuned_high: high, loss, grid_loss } = optimum;
  if (log2_tuned !== null && low !== null && high !== null && loss !== null) {
    const at = y(loss);
    const bar = `M${x(low).toFixed(2)},${at.toFixed(2)}H${x(high).toFixed(2)}${caps([x(low), x(high)], at, 6)}`;
    return [
      path(bar, { class: "halo" }),
      path(bar, { class: "interval" }),
      path(marker(series, 70), {
        transform: `translate(${x(log2_tuned).toFixed(2)} ${at.toFixed(2)})`,
        class: "mark edge",
        "data-optimum": log2_tuned,
        "data-low": low,
        "data-high": high,
        "data-loss": loss,
      }),
    ];
  }
  if (grid_loss === null) return [];
  const at = y(grid_loss);
  const data = { class: "interval", "data-flag": flag, "data-low": low, "data-high": high };
  if (low !== null && high !== null) {
    const bar = `M${x(low).toFixed(2)},${at.toFixed(2)}H${x(high).toFixed(2)}${caps([x(low), x(high)], at, 6)}`;
    return [path(bar, { ...data, "stroke-dasharray": "3 3" })];
  }
  if (high !== null) return [arrow([x(high), at], [box.x + 3, at], data)];
  if (low !== null) return [arrow([x(low), at], [box.x + box.width - 3, at], data)];
  return [];
}

export const caps = (xs: number[], y: number, half: number): string =>
  xs.map((x) => `M${x.toFixed(2)},${(y - half).toFixed(2)}V${(y + half).toFixed(2)}`).join("");
