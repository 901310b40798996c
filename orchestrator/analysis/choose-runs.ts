/**
 * Which runs to do next: those that tell most about what is undecided, for the computation that they cost. What a curve's fit
 * leaves open is a distribution of optimum, shape and curvature; across it the loss at every rate, the optimum and the regret
 * vary together. Taken as jointly normal, a run lowers the variance of what is asked by cov²/(variance of its loss + noise): a
 * rank-one update, which needs no result, so that a batch can be chosen one by one.
 */
import { CANDIDATES } from "./candidates.ts";
import { bentExcess, type Posterior } from "./posterior.ts";

/** A run that might be done. */
export type RunChoice = {
  /** Index of its cell. */
  cell: number;
  log2_tuned: number;
  /** Seeds that have run there, or were chosen before. */
  seeds: number;
  /** What it costs, in any unit. */
  cost: number;
};

/**
 * What is asked: where a cell's optimum lies, alone or beside the base's, what the base's optimum loses there, or how high the floor of its
 * valley is.
 */
export type Ask = { cell: number } & (
  | { about: "place" | "floor" }
  | { about: "drift" | "regret"; base: number }
);

type ChosenRun = RunChoice & {
  /** Share of the open variances that it takes away, summed over what is asked, per unit of cost. */
  gain: number;
};

export type Choice = {
  /** In the order of their choice. */
  runs: ChosenRun[];
  /** Of everything that is asked, in its order: expected value, and variance now and after these runs. Octaves, or log loss. */
  answers: { mean: number; before: number; after: number }[];
};

/**
 * @param cells posteriors
 * @param count at most so many runs; a choice may be taken again, with another seed
 * @param limits cost: of all runs together; seeds: at one rate
 */
export function chooseRuns(
  cells: readonly Posterior[],
  choices: readonly RunChoice[],
  asks: readonly Ask[],
  count: number,
  limits: { cost?: number; seeds?: number } = {},
): Choice {
  const asked = asks.map((ask) => headsOf(ask, cells));
  const left = choices.map((choice) => ({ ...choice }));
  const beliefs = cells.map((p, i) => {
    const own = asked.flat().filter((head) => head.cell === i);
    const heads = [...new Set(own.map(({ quantity }) => quantity))];
    if (heads.length === 0) return null;
    return beliefOf(
      p,
      heads,
      left.filter((c) => c.cell === i),
    );
  });
  /** Every part of what is asked, with its place in the belief of its cell. */
  const parts = asked.map((heads) =>
    heads.map(({ cell, quantity, sign }) => ({
      sign,
      belief: beliefs[cell]!,
      at: beliefs[cell]!.heads.indexOf(quantity),
    })),
  );
  const openOf = (ask: (typeof parts)[number]) =>
    ask.reduce((sum, { belief, at }) => sum + belief.covariance[at]![at]!, 0);
  const before = parts.map(openOf);
  const runs: ChosenRun[] = [];
  let money = limits.cost ?? Number.POSITIVE_INFINITY;
  const isPossible = ({ cost, seeds }: RunChoice) =>
    cost <= money && seeds < (limits.seeds ?? Number.POSITIVE_INFINITY);
  while (runs.length < count) {
    const open = parts.map(openOf);
    let best: { choice: RunChoice; gain: number; belief: Belief; at: number } | null = null;
    for (const belief of beliefs)
      for (const [j, choice] of belief?.choices.entries() ?? []) {
        if (!isPossible(choice)) continue;
        const at = belief!.heads.length + j;
        const variance = belief!.covariance[at]![at]! + noiseOf(belief!, at);
        let gain = 0;
        for (const [k, ask] of parts.entries())
          for (const part of ask)
            if (part.belief === belief && open[k]! > 0)
              gain += belief!.covariance[part.at]![at]! ** 2 / variance / open[k]!;
        const perCost = gain / choice.cost;
        if (best === null || perCost > best.gain) best = { choice, gain: perCost, belief: belief!, at };
      }
    if (best === null || !(best.gain > 0)) break;
    runs.push({ ...best.choice, gain: best.gain });
    observe(best.belief, best.at);
    best.choice.seeds++;
    money -= best.choice.cost;
  }
  const answers = parts.map((ask, k) => ({
    mean: ask.reduce((sum, { belief, at, sign }) => sum + sign * belief.mean[at]!, 0),
    before: before[k]!,
    after: openOf(ask),
  }));
  return { runs, answers };
}

/** One of the quantities that a cell's posterior leaves open: its optimum's place, its floor's height, or what a rate (log2) loses. */
type Quantity = "place" | "floor" | number;
type Head = { cell: number; quantity: Quantity; sign: 1 | -1 };

function headsOf(ask: Ask, cells: readonly Posterior[]): Head[] {
  const { cell } = ask;
  if (ask.about === "regret") return [{ cell, quantity: cells[ask.base]!.quantile(0.5), sign: 1 }];
  if (ask.about !== "drift") return [{ cell, quantity: ask.about, sign: 1 }];
  return [
    { cell, quantity: "place", sign: 1 },
    { cell: ask.base, quantity: "place", sign: -1 },
  ];
}

/** Of one cell: first what is asked of it, then the log losses at the choices' rates. */
type Belief = {
  heads: Quantity[];
  choices: RunChoice[];
  mean: Float64Array;
  covariance: Float64Array[];
  /** Of one run, and what stays however many seeds there are: what a rate's seeds share, and how far the curve may miss its valley there. */
  run: number;
  stays: Float64Array;
};

function beliefOf(p: Posterior, heads: Quantity[], choices: RunChoice[]): Belief {
  const { xs, shapes, weights, curvature, curvature_square, mean_y, mean_excess } = p;
  const first = heads.length;
  const size = first + choices.length;
  const mean = new Float64Array(size);
  const covariance = Array.from({ length: size }, () => new Float64Array(size));
  const stays = new Float64Array(size);
  const [value, slope] = [new Float64Array(size), new Float64Array(size)];
  let total = 0;
  const visit = (use: (weight: number, curvatureVariance: number) => void) => {
    for (const [i, x] of xs.entries())
      for (const [j, v] of shapes.entries()) {
        const at = i * shapes.length + j;
        const weight = weights[at]!;
        if (weight === 0) continue;
        const c = curvature[at]!;
        // Slopes are against the curvature, which each optimum and shape leaves open.
        for (const [k, head] of heads.entries()) {
          if (head === "place") [slope[k], value[k]] = [0, x];
          else {
            slope[k] = head === "floor" ? -mean_excess[at]! : bentExcess(p, at, v, head - x);
            value[k] = (head === "floor" ? mean_y[at]! : 0) + c * slope[k]!;
          }
        }
        for (const [k, choice] of choices.entries()) {
          const excess = bentExcess(p, at, v, choice.log2_tuned - x);
          slope[first + k] = excess - mean_excess[at]!;
          value[first + k] = mean_y[at]! + c * slope[first + k]!;
          const { linear, quadratic } = CANDIDATES[v]!;
          const height = Math.min(1, c * excess);
          stays[first + k] = (linear * height + quadratic * height * height) ** 2;
        }
        use(weight, Math.max(0, curvature_square[at]! - c * c));
      }
  };
  const missed = new Float64Array(size);
  visit((weight) => {
    total += weight;
    for (let a = 0; a < size; a++) {
      mean[a]! += weight * value[a]!;
      missed[a]! += weight * stays[a]!;
    }
  });
  for (let a = 0; a < size; a++) {
    mean[a]! /= total;
    missed[a] = missed[a]! / total + p.noise.shared;
  }
  visit((weight, open) => {
    for (let a = 0; a < size; a++)
      for (let b = 0; b < size; b++)
        covariance[a]![b]! +=
          (weight / total) * ((value[a]! - mean[a]!) * (value[b]! - mean[b]!) + open * slope[a]! * slope[b]!);
  });
  // What all of a curve's runs may be off by together moves its floor as well as every loss.
  const isLevel = (a: number) => a >= first || heads[a] === "floor";
  const level =
    p.noise.run /
    Math.max(
      1,
      choices.reduce((sum, choice) => sum + choice.seeds, 0),
    );
  for (let a = 0; a < size; a++)
    for (let b = 0; b < size; b++) if (isLevel(a) && isLevel(b)) covariance[a]![b]! += level;
  return { heads, choices, mean, covariance, run: p.noise.run, stays: missed };
}

/**
 * What the next run at a choice adds to its loss's own variance: less is new where seeds have run already. The first runs at all rates,
 * so its level is known; a further one that runs at this rate alone has a level of its own, about as uncertain as its run.
 */
function noiseOf({ heads, choices, run, stays }: Belief, at: number): number {
  const { seeds } = choices[at - heads.length]!;
  const of = (count: number) => run / (1 + (count - 1) / 2) + stays[at]!;
  if (seeds === 0) return of(1);
  const [before, after] = [of(seeds), of(seeds + 1)];
  return (after * before) / (before - after);
}

/** As if the run had been done, whatever its result. */
function observe(belief: Belief, at: number): void {
  const { covariance } = belief;
  const column = covariance.map((row) => row[at]!);
  const variance = column[at]! + noiseOf(belief, at);
  for (const [a, row] of covariance.entries())
    for (let b = 0; b < row.length; b++) row[b]! -= (column[a]! * column[b]!) / variance;
}

/** Expected excess log loss at a rate above the optimum's. */
export function likelyExcess(p: Posterior, log2_tuned: number): number {
  const { xs, shapes, weights, curvature } = p;
  let [total, sum] = [0, 0];
  for (const [i, x] of xs.entries())
    for (const [j, v] of shapes.entries()) {
      const at = i * shapes.length + j;
      const weight = weights[at]!;
      if (weight === 0) continue;
      total += weight;
      sum += weight * curvature[at]! * bentExcess(p, at, v, log2_tuned - x);
    }
  return sum / total;
}
