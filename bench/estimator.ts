/**
 * How honest the analysis is, on synthetic curves with a known optimum: bias, coverage and width of the optimum's interval on the
 * families that it was calibrated on, beside what people do by hand, and on families that nothing was chosen on (held-out-curves.ts);
 * then cells that are fitted together, errors of the verdicts at their margins, and speed.
 * `npm run bench:estimator -- --draws=500 --only=held-out`; docs/method.md has the tables.
 */
import { parseArgs } from "node:util";
import { readCurve } from "../orchestrator/analysis/curve.ts";
import { fitOptimum } from "../orchestrator/analysis/optimum.ts";
import { fitCell, regret } from "../orchestrator/analysis/transfer.ts";
import type { Cell, CurveInput, Optimum, Pooling } from "../orchestrator/analysis/types.ts";
import { verdict } from "../orchestrator/analysis/verdict.ts";
import { argmin, bootstrappedVertex, columnsOf, type Estimate, globalParabola } from "./by-hand.ts";
import { type Drawn, drawHeldOut, type Family, familyOf, HELD_OUT } from "./held-out-curves.ts";
import {
  drawCurve,
  drawTruth,
  gridOf,
  type Random,
  type ShapeName,
  seededRandom,
} from "./synthetic-curves.ts";

const PARTS = ["calibrated", "held-out", "cells", "verdicts", "cost", "speed"] as const;
const { values } = parseArgs({
  options: {
    draws: { type: "string", default: "500" },
    only: { type: "string", multiple: true, default: [...PARTS] },
  },
});
const DRAWS = Number(values.draws);
const unknown = values.only.find((part) => !(PARTS as readonly string[]).includes(part));
if (!(Number.isInteger(DRAWS) && DRAWS > 0) || unknown !== undefined) {
  console.error(`Give --draws a whole number, and --only one of ${PARTS.join(", ")}.`);
  process.exit(2);
}

type Setting = { rates: number; spacing: number; seeds: number; noise: number; shape?: ShapeName };

const CALIBRATED: Setting[] = [
  { rates: 7, spacing: 1, seeds: 3, noise: 0.005 },
  { rates: 5, spacing: 1, seeds: 3, noise: 0.005 },
  { rates: 12, spacing: 1, seeds: 5, noise: 0.005 },
  { rates: 7, spacing: 1, seeds: 3, noise: 0.001 },
  { rates: 7, spacing: 1, seeds: 3, noise: 0.02 },
  { rates: 7, spacing: 1, seeds: 2, noise: 0.002 },
  { rates: 7, spacing: 1, seeds: 1, noise: 0.001 },
  { rates: 7, spacing: 1, seeds: 1, noise: 0.005 },
  { rates: 12, spacing: 1, seeds: 1, noise: 0.01 },
  { rates: 9, spacing: 0.5, seeds: 3, noise: 0.005 },
  { rates: 12, spacing: 0.5, seeds: 1, noise: 0.005 },
  { rates: 5, spacing: 2, seeds: 3, noise: 0.005 },
  { rates: 6, spacing: 2, seeds: 5, noise: 0.02 },
];

const sum = (values: readonly number[]): number => values.reduce((total, v) => total + v, 0);
const meanOf = (values: readonly number[]): number => sum(values) / values.length;
const percent = (part: number, of: number, digits = 0): string =>
  of === 0 ? "–" : ((100 * part) / of).toFixed(digits);

/** Lower end of Wilson's 95% interval of a share. */
function wilsonLow(part: number, of: number): number {
  const z = 1.96;
  const p = part / of;
  return (
    (p + (z * z) / (2 * of) - z * Math.sqrt((p * (1 - p)) / of + (z / (2 * of)) ** 2)) / (1 + (z * z) / of)
  );
}

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
    return meanOf(this.#errors);
  }
  get rmse(): number {
    return Math.sqrt(meanOf(this.#errors.map((e) => e * e)));
  }
  get coverage(): number {
    return this.#covered / this.count;
  }
  get row(): Record<string, string> {
    return {
      bias: this.bias.toFixed(2),
      "coverage %": percent(this.#covered, this.count, 1),
      "at least": percent(wilsonLow(this.#covered, this.count), 1),
      width: (this.#width / this.count).toFixed(2),
    };
  }
}

const estimateOf = (o: Optimum): Estimate => ({
  value: o.log2_tuned!,
  low: o.log2_tuned_low!,
  high: o.log2_tuned_high!,
});

function calibrated(s: Setting, seed: number): Record<string, string> {
  const random = seededRandom(seed);
  const resampling = seededRandom(seed + 1);
  const grid = gridOf(s.rates, s.spacing);
  const [ours, byArgmin, byParabola, byVertex] = [new Tally(), new Tally(), new Tally(), new Tally()];
  for (let i = 0; i < DRAWS; i++) {
    const truth = drawTruth(random, random.uniform(grid[0]!, grid.at(-1)!), s.shape);
    const curve = drawCurve(random, truth, grid, s.seeds, { independent: s.noise, common: s.noise, tilt: 0 });
    const optimum = fitOptimum(curve);
    if (optimum.flag !== "bracketed") continue;
    ours.add(estimateOf(optimum), truth.optimum);
    const columns = columnsOf(curve);
    byArgmin.add(argmin(columns, s.spacing), truth.optimum);
    const parabola = globalParabola(columns);
    if (parabola !== null) byParabola.add(parabola, truth.optimum);
    byVertex.add(bootstrappedVertex(columns, resampling), truth.optimum);
  }
  const byHand = (t: Tally) => `${t.bias.toFixed(2)} ${t.rmse.toFixed(2)} ${percent(t.coverage, 1)}%`;
  return {
    setting: `${s.rates} rates × ${s.spacing} oct, ${s.seeds} ${s.seeds === 1 ? "seed" : "seeds"}, ${100 * s.noise}%`,
    "bracketed %": percent(ours.count, DRAWS),
    ...ours.row,
    "argmin: bias rmse cov": byHand(byArgmin),
    "parabola: bias rmse cov": byHand(byParabola),
    "vertex, bootstrap: bias rmse cov": byHand(byVertex),
  };
}

const coverages: { covered: number; bracketed: number }[] = [];

function heldOut(family: Family, seed: number): Record<string, string> {
  const random = seededRandom(seed);
  const tally = new Tally();
  let [ambiguous, named] = [0, 0];
  for (let i = 0; i < DRAWS; i++) {
    const { curve, optimum: truth } = drawHeldOut(random, family);
    const o = fitOptimum(curve, family.stated ? { stated_noise: 100 * family.noise! } : {});
    if (o.flag === "bracketed") tally.add(estimateOf(o), truth);
    if (o.flag !== "ambiguous") continue;
    ambiguous++;
    if (o.places.some(({ low, high }) => low <= truth && truth <= high)) named++;
  }
  coverages.push({ covered: tally.coverage * tally.count, bracketed: tally.count });
  return {
    family: family.name,
    "bracketed %": percent(tally.count, DRAWS),
    ...tally.row,
    "ambiguous %": percent(ambiguous, DRAWS),
    "a place holds it %": percent(named, ambiguous),
  };
}

function averageRow(): Record<string, string> {
  const shares = coverages.filter((c) => c.bracketed > 0).map((c) => c.covered / c.bracketed);
  return { family: "mean of the rows", "coverage %": percent(meanOf(shares), 1, 1) };
}

const cellOf = ({ curve, optimum }: Drawn, density: number): Cell & { truth: number } => ({
  coordinates: { parameterization: "supar", width: 256, layers: 2, sparsity: 1 - density },
  curve,
  optimum: fitOptimum(curve),
  truth: optimum,
});

/** The families of the cells of one sweep of four: all alike, each another, or as unlike as can be. */
const MIXTURES: Record<string, (random: Random) => Family[]> = {
  alike: (random) => {
    const shape = familyOf("like published curves").shape(random);
    return Array.from({ length: 4 }, () => ({ name: "alike", shape: () => shape }));
  },
  mixed: () => ["asym 1", "asym 2", "like published curves", "steepening sides"].map(familyOf),
  unrelated: () => ["asym 0.25", "asym 4", "asym 1", "vee"].map(familyOf),
};

function cellsTogether(kind: string, pooling: Pooling, seed: number): Record<string, string> {
  const random = seededRandom(seed);
  const tally = new Tally();
  for (let i = 0; i < DRAWS / 4; i++) {
    const cells = MIXTURES[kind]!(random).map((family, k) => cellOf(drawHeldOut(random, family), 1 / 2 ** k));
    const [base, ...others] = cells;
    for (const { cell, drift } of verdict(others, base!, { axis: "density", pooling, open: 1 }).cells)
      if (drift.estimate !== null && base!.optimum.flag === "bracketed" && cell.optimum.flag === "bracketed")
        tally.add(
          { value: drift.estimate, low: drift.low!, high: drift.high! },
          others.find((o) => o.coordinates === cell.coordinates)!.truth - base!.truth,
        );
  }
  return { cells: kind, pooling, pairs: String(tally.count), ...tally.row };
}

/** Two cells of a family whose optima lie a known distance apart. */
function verdicts(name: string, drift: number, seeds: number, seed: number): Record<string, string | number> {
  const random = seededRandom(seed);
  const family = { ...familyOf(name), seeds };
  const said = { transfers: 0, drifts: 0, "costs at most": 0, "costs at least": 0 };
  for (let i = 0; i < DRAWS; i++) {
    const at = random.uniform(-5.5, -4.5);
    const [base, cell] = [at, at + drift * (random.uniform(0, 1) < 0.5 ? -1 : 1)].map((optimum, k) =>
      cellOf(drawHeldOut(random, family, { optimum }), 1 / 2 ** k),
    );
    const v = verdict([cell!], base!, { axis: "density", open: 1 });
    if (v.drift_verdict !== "inconclusive") said[v.drift_verdict]++;
    if (v.cost_verdict !== "open") said[v.cost_verdict]++;
  }
  return {
    family: name,
    "true drift": drift,
    seeds,
    "transfers %": percent(said.transfers, DRAWS),
    "drifts %": percent(said.drifts, DRAWS),
    "costs at most 1% %": percent(said["costs at most"], DRAWS),
    "costs at least 1% %": percent(said["costs at least"], DRAWS),
  };
}

/** The base's rate costs just more than the margin in the cell: how often the opposite is said, and how often the truth is covered. */
function costErrors(family: Family, seeds: number, seed: number): Record<string, string | number> {
  const random = seededRandom(seed);
  const TRUE_COST = 0.0102;
  let [judged, wrong, known, covered, ambiguous] = [0, 0, 0, 0, 0];
  for (let i = 0; i < DRAWS; i++) {
    const rate = random.uniform(-5.5, -4.5);
    const side = random.uniform(0, 1) < 0.5 ? -1 : 1;
    const { curve, excess, optimum } = drawAtCost(random, { ...family, seeds }, rate, side, TRUE_COST);
    const cell = fitCell(readCurve(curve));
    if (cell.optimum.flag === "ambiguous") ambiguous++;
    const { state, per_cent } = regret(cell, { ...cell.optimum, flag: "bracketed", log2_tuned: rate });
    judged++;
    if (per_cent.high_90 !== null && per_cent.high_90 <= 1) wrong++;
    if (state !== "known" || per_cent.high === null) continue;
    known++;
    const truth = 100 * excess(rate - optimum);
    if (per_cent.low! <= truth && truth <= per_cent.high) covered++;
  }
  return {
    family: family.name,
    seeds,
    "wrongly at most 1% %": percent(wrong, judged, 1),
    "cost known %": percent(known, judged),
    "coverage %": percent(covered, known, 1),
    "ambiguous %": percent(ambiguous, judged),
  };
}

/** A curve on which `rate` costs that much, from that side of its optimum. */
function drawAtCost(random: Random, family: Family, rate: number, side: number, cost: number): Drawn {
  const excess = family.shape(random);
  let u = 0;
  while (excess(side * u) < cost && u < 4) u += 0.005;
  return drawHeldOut(random, { ...family, shape: () => excess }, { optimum: rate - side * u });
}

/** Alone, and together as the curves of a phase. */
function speed(): Record<string, string | number>[] {
  return [
    { rates: 7, seeds: 3 },
    { rates: 9, seeds: 3 },
    { rates: 12, seeds: 5 },
  ].map(({ rates, seeds }) => {
    const random = seededRandom(1);
    const noise = { independent: 0.005, common: 0.005, tilt: 0 };
    const CURVES = 500;
    // Another one each time: the fit remembers those it has seen.
    const curves = Array.from(
      { length: CURVES },
      (): CurveInput => drawCurve(random, drawTruth(random, -4.6), gridOf(rates, 1), seeds, noise),
    );
    const before = process.cpuUsage();
    for (const curve of curves) fitOptimum(curve);
    const { user, system } = process.cpuUsage(before);
    return { rates, seeds, "s for 500 curves": ((user + system) / 1e6).toFixed(1) };
  });
}

function report(
  part: (typeof PARTS)[number],
  title: string,
  rows: () => Record<string, string | number>[],
): void {
  if (!values.only.includes(part)) return;
  const started = performance.now();
  console.log(title);
  console.table(rows());
  console.log(`${((performance.now() - started) / 1000).toFixed(0)} s`);
}

report("calibrated", `Families that the constants were chosen on: ${DRAWS} draws a row; octaves`, () =>
  CALIBRATED.map((s, i) => calibrated(s, 100 + i)),
);
report("held-out", `Families that nothing was chosen on: ${DRAWS} draws a row; octaves`, () => [
  ...HELD_OUT.map((family, i) => heldOut(family, 400 + i)),
  averageRow(),
]);
report("cells", "Drift of four cells that are fitted together; octaves", () =>
  Object.keys(MIXTURES).flatMap((kind, i) =>
    (["none", "loose", "medium"] as const).map((pooling) => cellsTogether(kind, pooling, 600 + i)),
  ),
);
report("verdicts", "What is said of two cells, 0.5% noise, margins 0.5 octave and 1%", () =>
  ["like published curves", "asym 2"].flatMap((name, i) =>
    [0, 0.5, 1, 2].flatMap((drift, k) =>
      [1, 3].map((seeds) => verdicts(name, drift, seeds, 700 + 10 * i + k)),
    ),
  ),
);
report("cost", "The base's rate costs 1.02%, margin 1%", () =>
  HELD_OUT.filter(
    ({ rates, seeds, stated }) => rates === undefined && seeds === undefined && stated === undefined,
  )
    .filter(({ optimum }) => optimum === undefined)
    .flatMap((family, i) => [1, 3].map((seeds) => costErrors(family, seeds, 800 + i))),
);
report("speed", "Processor time of fitOptimum, on whatever else the machine does", speed);
