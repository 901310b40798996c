/**
 * Bias and coverage of the optimum's estimator on synthetic curves with a known optimum, beside what people do by hand
 * (grid argmin, a parabola through everything, a three-point vertex with a bootstrap over seeds), on the same draws; then
 * the verdict's error rates and the regret's coverage. `npm run bench:estimator`, or `-- --quick` for a tenth of the draws and
 * `-- --only=optimum|stress|verdict|speed` for one table.
 */
import { inverse, Matrix } from "ml-matrix";
import { fitOptimum } from "../orchestrator/analysis/optimum.ts";
import { drift, regret } from "../orchestrator/analysis/transfer.ts";
import type { CurveInput, Optimum } from "../orchestrator/analysis/types.ts";
import { DEFAULT_MARGIN, judgeDrift } from "../orchestrator/analysis/verdict.ts";
import {
  drawCurve,
  drawTruth,
  gridOf,
  type Random,
  SHAPES,
  type ShapeName,
  seededRandom,
  type Truth,
  trueLoss,
} from "./synthetic-curves.ts";

const only = process.argv.find((a) => a.startsWith("--only="))?.slice("--only=".length);
const wanted = (part: string): boolean => only === undefined || only === part;
const quick = process.argv.includes("--quick");
const DRAWS = quick ? 200 : 2000;
const STRESS_DRAWS = quick ? 200 : 1000;
const PAIRS = quick ? 60 : 400;
const BOOTSTRAPS = 199;

type Setting = {
  rates: number;
  spacing: number;
  seeds: number;
  noise: number;
  shape?: ShapeName;
  skew?: number;
  tilt?: number;
  /** The noise is also known from other curves of the sweep, on 20 degrees of freedom. */
  pooled?: boolean;
};

const SETTINGS: Setting[] = [
  { rates: 7, spacing: 1, seeds: 3, noise: 0.005 },
  { rates: 5, spacing: 1, seeds: 3, noise: 0.005 },
  { rates: 9, spacing: 1, seeds: 3, noise: 0.005 },
  { rates: 12, spacing: 1, seeds: 5, noise: 0.005 },
  { rates: 7, spacing: 1, seeds: 3, noise: 0.001 },
  { rates: 7, spacing: 1, seeds: 3, noise: 0.02 },
  { rates: 7, spacing: 1, seeds: 2, noise: 0.002 },
  { rates: 7, spacing: 1, seeds: 5, noise: 0.01 },
  { rates: 7, spacing: 1, seeds: 1, noise: 0.001 },
  { rates: 7, spacing: 1, seeds: 1, noise: 0.005 },
  { rates: 12, spacing: 1, seeds: 1, noise: 0.01 },
  { rates: 5, spacing: 0.5, seeds: 3, noise: 0.005 },
  { rates: 9, spacing: 0.5, seeds: 3, noise: 0.005 },
  { rates: 12, spacing: 0.5, seeds: 3, noise: 0.01 },
  { rates: 12, spacing: 0.5, seeds: 1, noise: 0.005 },
  { rates: 5, spacing: 2, seeds: 3, noise: 0.005 },
  { rates: 6, spacing: 2, seeds: 5, noise: 0.02 },
];
/** One octave, three seeds, 0.5%: each family alone, a symmetric valley, one that leans left, and seeds that tilt the whole curve. */
const STRESS: (Setting & { name: string })[] = [
  ...(Object.keys(SHAPES) as ShapeName[]).map((shape) => ({ name: shape, ...SETTINGS[0]!, shape })),
  { name: "symmetric", ...SETTINGS[0]!, shape: "half parabolas", skew: 1 },
  { name: "left steeper ×2", ...SETTINGS[0]!, shape: "half parabolas", skew: 0.5 },
  { name: "one seed", ...SETTINGS[0]!, seeds: 1 },
  { name: "one seed, pooled noise", ...SETTINGS[0]!, seeds: 1, pooled: true },
  { name: "seeds tilt 0.2%/octave", ...SETTINGS[0]!, tilt: 0.002 },
];

type Estimate = { value: number; low: number; high: number };

class Tally {
  readonly #errors: number[] = [];
  #covered = 0;
  #width = 0;
  add(e: Estimate, truth: number): void {
    this.#errors.push(e.value - truth);
    if (e.low <= truth && truth <= e.high) this.#covered++;
    this.#width += e.high - e.low;
  }
  get count(): number {
    return this.#errors.length;
  }
  get bias(): number {
    return this.#errors.reduce((s, e) => s + e, 0) / this.count;
  }
  get rmse(): number {
    return Math.sqrt(this.#errors.reduce((s, e) => s + e * e, 0) / this.count);
  }
  get coverage(): number {
    return (100 * this.#covered) / this.count;
  }
  get width(): number {
    return this.#width / this.count;
  }
}

type Column = { x: number; losses: number[] };

/** Rates at which every seed trained; losses in the order of the seeds. */
const columnsOf = (curve: CurveInput): Column[] =>
  curve.points
    .filter((p) => p.seeds.every((s) => !s.diverged))
    .map((p) => ({ x: p.log2_lr, losses: p.seeds.map((s) => s.loss!) }));
const meanOf = (v: number[]): number => v.reduce((s, x) => s + x, 0) / v.length;

/** The best rate tried; its "interval" is half a grid step to each side. */
function argmin(columns: Column[], spacing: number): Estimate {
  const means = columns.map((c) => meanOf(c.losses));
  const value = columns[means.indexOf(Math.min(...means))]!.x;
  return { value, low: value - spacing / 2, high: value + spacing / 2 };
}

/** Least-squares parabola through every rate that trained; interval by the delta method from its residuals. */
function globalParabola(columns: Column[]): Estimate | null {
  const rows = columns.flatMap((c) => c.losses.map((l) => ({ x: c.x, l })));
  const X = new Matrix(rows.map(({ x }) => [1, x, x * x]));
  const covariance = inverse(X.transpose().mmul(X));
  const y = Matrix.columnVector(rows.map(({ l }) => l));
  const beta = covariance.mmul(X.transpose()).mmul(y);
  const [b, c] = [beta.get(1, 0), beta.get(2, 0)];
  if (c <= 0) return null;
  const residual = Matrix.sub(y, X.mmul(beta));
  const variance = residual.dot(residual) / Math.max(1, rows.length - 3);
  const g = Matrix.columnVector([0, -1 / (2 * c), b / (2 * c * c)]);
  const half = 1.96 * Math.sqrt(variance * g.transpose().mmul(covariance).mmul(g).get(0, 0));
  // Nobody reads a vertex far outside the grid as an optimum.
  const value = Math.min(columns.at(-1)!.x, Math.max(columns[0]!.x, -b / (2 * c)));
  return { value, low: value - half, high: value + half };
}

/** Vertex of the parabola through the best rate and its two neighbours; the rate itself at an edge. */
function vertex(columns: Column[], seeds: number[]): number {
  const means = columns.map((c) => meanOf(seeds.map((s) => c.losses[s]!)));
  const i = means.indexOf(Math.min(...means));
  const [a, b, c] = [means[i - 1], means[i]!, means[i + 1]];
  if (a === undefined || c === undefined) return columns[i]!.x;
  const [h, k] = [columns[i]!.x - columns[i - 1]!.x, columns[i + 1]!.x - columns[i]!.x];
  const [left, right] = [(b - a) / h, (c - b) / k];
  return columns[i]!.x - (right * h + left * k) / (2 * (right - left));
}

/** Three-point vertex with a percentile bootstrap that draws seeds as whole columns. */
function bootstrappedVertex(columns: Column[], random: Random): Estimate {
  const all = columns[0]!.losses.map((_, s) => s);
  const draws = Array.from({ length: BOOTSTRAPS }, () =>
    vertex(
      columns,
      all.map(() => Math.floor(random.uniform(0, all.length))),
    ),
  ).sort((a, b) => a - b);
  return { value: vertex(columns, all), low: draws[4]!, high: draws[BOOTSTRAPS - 5]! };
}

const estimateOf = (o: Optimum): Estimate => ({
  value: o.log2_lr!,
  low: o.log2_lr_low!,
  high: o.log2_lr_high!,
});

function measure(name: string, s: Setting, draws: number, seed: number): Record<string, string | number> {
  const random = seededRandom(seed);
  const resampling = seededRandom(seed + 1);
  const grid = gridOf(s.rates, s.spacing);
  const [ours, byArgmin, byParabola, byVertex] = [new Tally(), new Tally(), new Tally(), new Tally()];
  for (let i = 0; i < draws; i++) {
    const truth = {
      ...drawTruth(random, random.uniform(grid[0]!, grid.at(-1)!), s.shape),
      ...(s.skew === undefined ? {} : { skew: s.skew }),
    };
    const curve = drawCurve(random, truth, grid, s.seeds, {
      independent: s.noise,
      common: s.noise,
      tilt: s.tilt ?? 0,
    });
    const optimum = fitOptimum(curve, s.pooled ? { noise: { sd: s.noise, df: 20 } } : {});
    if (optimum.flag !== "bracketed") continue;
    ours.add(estimateOf(optimum), truth.optimum);
    const columns = columnsOf(curve);
    byArgmin.add(argmin(columns, s.spacing), truth.optimum);
    const parabola = globalParabola(columns);
    if (parabola !== null) byParabola.add(parabola, truth.optimum);
    byVertex.add(bootstrappedVertex(columns, resampling), truth.optimum);
  }
  const short = (t: Tally) => `${t.bias.toFixed(3)} ${t.rmse.toFixed(2)} ${t.coverage.toFixed(0)}%`;
  return {
    setting: name,
    "bracketed %": ((100 * ours.count) / draws).toFixed(0),
    bias: ours.bias.toFixed(3),
    rmse: ours.rmse.toFixed(3),
    "coverage %": ours.coverage.toFixed(1),
    "mean width": ours.width.toFixed(2),
    "argmin: bias rmse cov": short(byArgmin),
    "parabola: bias rmse cov": short(byParabola),
    "vertex+bootstrap: bias rmse cov": short(byVertex),
  };
}

const nameOf = (s: Setting): string =>
  `${s.rates} rates × ${s.spacing} oct, ${s.seeds} ${s.seeds === 1 ? "seed" : "seeds"}, ${(100 * s.noise).toFixed(1)}%`;

/** Two cells of one shape, `shift` octaves apart: verdict rates, coverage of drift and of regret. */
function measureVerdict(shift: number, seeds: number, seed: number): Record<string, string | number> {
  const random = seededRandom(seed);
  const grid = gridOf(11, 1);
  const counts = { transfers: 0, drifts: 0, inconclusive: 0 };
  let [bothBracketed, driftCovered, regrets, regretCovered, regretBias, regretTrue] = [0, 0, 0, 0, 0, 0];
  for (let i = 0; i < PAIRS; i++) {
    const cellAt = (optimum: number) => {
      const truth: Truth = { ...drawTruth(random, optimum), wall: random.uniform(2, 4) };
      const curve = drawCurve(random, truth, grid, seeds, { independent: 0.005, common: 0.005, tilt: 0 });
      return { truth, width: 256, density: 1, curve, optimum: fitOptimum(curve) };
    };
    const base = cellAt(random.uniform(-6, -5));
    const cell = cellAt(base.truth.optimum + shift);
    const d = drift(cell.optimum, base.optimum);
    counts[judgeDrift(d, DEFAULT_MARGIN)]++;
    if (base.optimum.flag !== "bracketed" || cell.optimum.flag !== "bracketed") continue;
    bothBracketed++;
    if (d.low! <= shift && shift <= d.high!) driftCovered++;
    const r = regret(cell, base.optimum);
    const atBase = trueLoss(cell.truth, base.optimum.log2_lr!);
    if (r.state !== "known" || atBase === null) continue;
    const truth = 100 * (atBase / cell.truth.best_loss - 1);
    regrets++;
    regretTrue += truth;
    regretBias += r.per_cent.estimate! - truth;
    if (r.per_cent.low! <= truth && truth <= r.per_cent.high!) regretCovered++;
  }
  const percent = (n: number, of: number) => ((100 * n) / of).toFixed(1);
  return {
    "true drift": shift,
    seeds,
    "transfers %": percent(counts.transfers, PAIRS),
    "inconclusive %": percent(counts.inconclusive, PAIRS),
    "drifts %": percent(counts.drifts, PAIRS),
    "drift coverage %": percent(driftCovered, bothBracketed),
    "mean regret %": (regretTrue / regrets).toFixed(2),
    "its bias": (regretBias / regrets).toFixed(2),
    "its coverage %": percent(regretCovered, regrets),
  };
}

function report(part: string, title: string, rows: () => Record<string, string | number>[]): void {
  if (!wanted(part)) return;
  console.log(title);
  console.table(rows());
}

const started = performance.now();
report(
  "optimum",
  `Optimum: ${DRAWS} draws per setting; figures over the draws flagged bracketed; bias and rmse in octaves`,
  () => SETTINGS.map((s, i) => measure(nameOf(s), s, DRAWS, 100 + i)),
);
report("stress", `Stress: ${nameOf(SETTINGS[0]!)}, ${STRESS_DRAWS} draws`, () =>
  STRESS.map((s, i) => measure(s.name, s, STRESS_DRAWS, 200 + i)),
);
report(
  "verdict",
  `Verdict at a margin of ${DEFAULT_MARGIN} octave: ${PAIRS} pairs of cells, 11 rates one octave apart, 0.5% noise`,
  () =>
    [0, 0.25, 0.5, 1, 2].flatMap((shift, i) => [3, 5].map((seeds) => measureVerdict(shift, seeds, 300 + i))),
);
report("speed", "One fitOptimum, milliseconds of processor time", () =>
  [
    { rates: 9, seeds: 3 },
    { rates: 12, seeds: 5 },
  ].map(({ rates, seeds }) => {
    const random = seededRandom(1);
    const noise = { independent: 0.005, common: 0.005, tilt: 0 };
    const CALLS = 200;
    // Another one each time: the fit remembers those it has seen.
    const curves = Array.from({ length: CALLS }, () =>
      drawCurve(random, drawTruth(random, -4.6), gridOf(rates, 1), seeds, noise),
    );
    const before = process.cpuUsage();
    for (const curve of curves) fitOptimum(curve);
    const { user, system } = process.cpuUsage(before);
    return { rates, seeds, "ms per call": ((user + system) / 1000 / CALLS).toFixed(1) };
  }),
);
console.log(`In all ${((performance.now() - started) / 1000).toFixed(0)} s`);
