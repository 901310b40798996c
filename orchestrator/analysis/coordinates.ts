/**
 * The coordinate check: does the size of activations stay as width, density or depth changes? Per module the log-log slope
 * of mean |activation| against the axis, with an interval over seeds, and whether it lies within a tolerance of what theory
 * allows. docs/coordinate-check.md says what it can see.
 */
import tQuantile from "@stdlib/stats-base-dists-t-quantile";
import {
  COORDINATE_AXES,
  type CoordinateAxis,
  type FlatVerdict,
  type QUANTITIES,
} from "../../schema/database/states.ts";
import { COORDINATE_MODULES, type ModuleSize } from "../../schema/wire/coordinates.ts";

export { COORDINATE_AXES, type CoordinateAxis, type FlatVerdict };

/** One network that was, or was to be, measured. */
export interface MeasuredRun {
  seed: number;
  /** log2 of its value on the axis. */
  x: number;
  outcome: "measured" | "diverged" | "missing";
  /** By step: updates done, from 0. */
  sizes: readonly (readonly ModuleSize[] | undefined)[];
}

/** Networks that differ in one axis, and in seed, alone. */
export interface Line {
  axis: CoordinateAxis;
  /** Whether attention heads get wider along it. */
  heads_grow: boolean;
  runs: readonly MeasuredRun[];
}

/** size: of the activations; change: of what training has added to the initial network's. */
type Quantity = (typeof QUANTITIES)[number];

export interface Slope {
  module: string;
  /** Null for what a model has once, and along depth, where layers are taken together. */
  layer: number | null;
  quantity: Quantity;
  /** Null: the mean over the steps after the initial network. */
  step: number | null;
  /** Octaves of size per octave of the axis; null where fewer than two networks of any seed were measured. */
  slope: number | null;
  /** 95% interval; null with one seed. */
  slope_low: number | null;
  slope_high: number | null;
  /** What theory allows, before the tolerance. */
  allowed_low: number;
  allowed_high: number;
  /** Only of the initial network and of the mean over steps; null elsewhere. */
  verdict: FlatVerdict | null;
  /** Distinct values on the axis, and seeds that have all of them. */
  points: number;
  seeds: number;
}

/**
 * What theory says of the slope where a parameterization keeps sizes. Sums over n independent terms grow as √n, sums that
 * training has aligned as n. The logits' multiplier 1/width, and 1/d_head of the attention scores, are right for aligned sums;
 * of the initial network, where nothing is aligned yet, both fall by ½ an octave per octave, and training takes them from there
 * towards 0.
 */
function allowedSlope(
  module: string,
  step: number | null,
  line: Pick<Line, "axis" | "heads_grow">,
): [low: number, high: number] {
  const falls = module === "logits" || (module === "attention_scores" && line.heads_grow);
  if (line.axis !== "width" || !falls) return [0, 0];
  return step === 0 ? [-0.5, -0.5] : [-0.5, 0];
}

/** @param options steps: the last one measured */
export function fitLine(line: Line, options: { steps: number; tolerance: number }): Slope[] {
  const places = placesOf(line);
  const steps = Array.from({ length: options.steps + 1 }, (_, step) => step);
  const slopeOf = (place: Place, quantity: Quantity, step: number | null): Slope =>
    fitSlope(line, place, quantity, step, options);
  return places.flatMap((place) => [
    slopeOf(place, "size", 0),
    slopeOf(place, "size", null),
    slopeOf(place, "change", null),
    ...steps.slice(1).flatMap((step) => [slopeOf(place, "size", step), slopeOf(place, "change", step)]),
  ]);
}

/** The worst of them; what is not judged does not count. */
export function verdictOf(slopes: readonly Pick<Slope, "verdict">[]): FlatVerdict {
  if (slopes.some(({ verdict }) => verdict === "not flat")) return "not flat";
  const judged = slopes.filter(({ verdict }) => verdict !== null);
  return judged.length > 0 && judged.every(({ verdict }) => verdict === "flat") ? "flat" : "inconclusive";
}

interface Place {
  module: string;
  layer: number | null;
}

/** Networks of different depth have no layers in common: there, layers are taken together. */
function placesOf({ axis, runs }: Line): Place[] {
  const measured = runs.flatMap(({ sizes }) => sizes[0] ?? []);
  return modulesIn(measured).flatMap((module): Place[] => {
    const own = measured.filter((size) => size.module === module);
    const layers = axis === "layers" ? 0 : Math.max(0, ...own.map(({ layer }) => (layer ?? -1) + 1));
    return layers === 0
      ? [{ module, layer: null }]
      : Array.from({ length: layers }, (_, layer) => ({ module, layer }));
  });
}

/** Those of the model that ships in its order, then a script's own in theirs. */
export function modulesIn(measured: readonly { module: string }[]): string[] {
  const met = [...new Set(measured.map(({ module }) => module))];
  const ours: readonly string[] = COORDINATE_MODULES;
  if (met.length === 0) return [...ours];
  return [
    ...ours.filter((module) => met.includes(module)),
    ...met.filter((module) => !ours.includes(module)),
  ];
}

/** log2 of a size at one step; NaN when it was not measured, not finite, or nothing. */
function logSize(run: MeasuredRun, { module, layer }: Place, quantity: Quantity, step: number): number {
  const values = (run.sizes[step] ?? [])
    .filter((size) => size.module === module && (layer === null || size.layer === layer))
    .map((size) => Math.log2(size[quantity] ?? Number.NaN));
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return Number.isFinite(mean) ? mean : Number.NaN;
}

function fitSlope(
  line: Line,
  place: Place,
  quantity: Quantity,
  step: number | null,
  options: { steps: number; tolerance: number },
): Slope {
  const steps = step === null ? Array.from({ length: options.steps }, (_, i) => i + 1) : [step];
  const heightOf = (run: MeasuredRun): number =>
    steps.reduce((sum, at) => sum + logSize(run, place, quantity, at), 0) / steps.length;
  const xs = [...new Set(line.runs.map((run) => run.x))];
  const seeds = [...new Set(line.runs.map((run) => run.seed))];
  // Seeds are columns: the same seed means the same data at every value of the axis, and only whole columns are compared.
  const slopes = seeds.flatMap((seed) => {
    const column = line.runs
      .filter((run) => run.seed === seed)
      .map((run) => ({ x: run.x, y: heightOf(run) }))
      .filter(({ y }) => !Number.isNaN(y));
    return column.length === xs.length && xs.length > 1 ? [leastSquaresSlope(column)] : [];
  });
  const [allowed_low, allowed_high] = allowedSlope(place.module, step, line);
  const { mean, half } = meanWithInterval(slopes);
  const interval = mean === null || half === null ? null : { low: mean - half, high: mean + half };
  const judged = step === 0 ? quantity === "size" : step === null;
  return {
    ...place,
    quantity,
    step,
    slope: mean,
    slope_low: interval?.low ?? null,
    slope_high: interval?.high ?? null,
    allowed_low,
    allowed_high,
    verdict: judged
      ? judge(line, interval, allowed_low - options.tolerance, allowed_high + options.tolerance)
      : null,
    points: xs.length,
    seeds: slopes.length,
  };
}

function judge(
  { runs }: Line,
  interval: { low: number; high: number } | null,
  low: number,
  high: number,
): FlatVerdict {
  // Where one network of the line has no finite activations, they do not keep their size.
  if (runs.some((run) => run.outcome === "diverged")) return "not flat";
  if (interval === null) return "inconclusive";
  if (interval.high < low || interval.low > high) return "not flat";
  const complete = runs.every((run) => run.outcome === "measured");
  return complete && interval.low >= low && interval.high <= high ? "flat" : "inconclusive";
}

function leastSquaresSlope(points: readonly { x: number; y: number }[]): number {
  const mean = (of: (p: { x: number; y: number }) => number): number =>
    points.reduce((sum, p) => sum + of(p), 0) / points.length;
  const [x, y] = [mean((p) => p.x), mean((p) => p.y)];
  const covariance = points.reduce((sum, p) => sum + (p.x - x) * (p.y - y), 0);
  return covariance / points.reduce((sum, p) => sum + (p.x - x) ** 2, 0);
}

/** Mean, and half of its 95% interval: t on one degree of freedom less than there are values. */
function meanWithInterval(values: readonly number[]): { mean: number | null; half: number | null } {
  const n = values.length;
  if (n === 0) return { mean: null, half: null };
  const mean = values.reduce((a, b) => a + b, 0) / n;
  if (n === 1) return { mean, half: null };
  const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (n - 1);
  return { mean, half: tQuantile(0.975, n - 1) * Math.sqrt(variance / n) };
}
