/**
 * How fast this machine would train a shape that it has never trained, within seconds: two small cuts of the sweep's own models are
 * trained for a moment, its densest and its sparsest one, and every other shape is taken to train at their FLOPs per second. Two,
 * because a multiplication with weights that are kept one by one takes longer than one of a dense product.
 */
import { keptFlopsPerToken, parameterCount, sparseFlopsPerToken } from "../../schema/wire/cost.ts";
import type { Plan } from "../../schema/wire/plan.ts";
import type { Database } from "../database/open.ts";
import { knownSpeeds, type Measuring, measureSpeeds, type Speed, speedKey } from "./speed.ts";

/** Of one slot. */
interface Rates {
  dense: number;
  kept: number;
  busy: number;
  at: number;
}

const SECONDS = 0.7;
/** Whoever plans again within so many seconds gets the same answer at once, on a busy machine too. */
const KEPT_SECONDS = 600;
/** Few enough for some tenths of a second a step on any machine. */
const STEP_FLOPS = 1e10;

/**
 * Tokens per second of one slot for each of the plans: as measured, where a shape was measured before, else estimated; what was not
 * measured is left out where not even the cuts fit into this machine's memory.
 * @param plans one per shape, by speedKey
 */
export async function estimateSpeeds(
  db: Database,
  plans: ReadonlyMap<string, Plan>,
  options: Measuring,
): Promise<Map<string, Speed>> {
  const speeds = knownSpeeds(db, plans.keys(), options);
  const unknown = [...plans].filter(([key]) => !speeds.has(key));
  if (unknown.length === 0) return speeds;
  const rates = await measureRates(db, [...plans.values()], options);
  if (rates === null) return speeds;
  for (const [key, plan] of unknown) {
    const kept = keptFlopsPerToken(plan);
    const seconds = (sparseFlopsPerToken(plan) - kept) / rates.dense + kept / rates.kept;
    speeds.set(key, { tokens_per_second: 1 / seconds, busy: rates.busy, at: rates.at });
  }
  return speeds;
}

async function measureRates(db: Database, plans: Plan[], options: Measuring): Promise<Rates | null> {
  const least = Math.min(...plans.map(parameterCount));
  const smallest = plans
    .filter((plan) => parameterCount(plan) === least)
    .map(cut)
    .sort((a, b) => keptFlopsPerToken(a) - keptFlopsPerToken(b));
  const dense = smallest[0]!;
  const sparse = smallest.at(-1)!;
  const cuts = new Map([dense, sparse].map((plan) => [`cut:${speedKey(plan)}`, plan]));
  const speeds = await measureSpeeds(db, cuts, options, SECONDS, KEPT_SECONDS);
  if (speeds.size < cuts.size) return null;
  const secondsOf = (plan: Plan): number => 1 / speeds.get(`cut:${speedKey(plan)}`)!.tokens_per_second;
  const measured = [...speeds.values()];
  return {
    ...solve(dense, sparse, secondsOf),
    busy: Math.max(...measured.map((speed) => speed.busy)),
    at: Math.min(...measured.map((speed) => speed.at)),
  };
}

/** Seconds per token = dense FLOPs / their rate + kept FLOPs / theirs, for both models. */
export function solve(
  dense: Plan,
  sparse: Plan,
  secondsOf: (plan: Plan) => number,
): { dense: number; kept: number } {
  const [a, b] = [dense, sparse].map((plan) => {
    const kept = keptFlopsPerToken(plan);
    return { kept, dense: sparseFlopsPerToken(plan) - kept, seconds: secondsOf(plan) };
  }) as [{ kept: number; dense: number; seconds: number }, { kept: number; dense: number; seconds: number }];
  const together = (a.dense + a.kept) / a.seconds;
  const determinant = a.dense * b.kept - b.dense * a.kept;
  if (determinant === 0) return { dense: together, kept: together };
  const perDense = (a.seconds * b.kept - b.seconds * a.kept) / determinant;
  const perKept = (a.dense * b.seconds - b.dense * a.seconds) / determinant;
  // Measured for a moment, and not free of noise: a time below nothing is none.
  return perDense > 0 && perKept > 0
    ? { dense: 1 / perDense, kept: 1 / perKept }
    : { dense: together, kept: (b.dense + b.kept) / b.seconds };
}

/** The same matrices in fewer layers, over fewer tokens. */
function cut(plan: Plan): Plan {
  const shape = {
    ...plan.shape,
    layers: Math.min(2, plan.shape.layers),
    sequence_length: Math.min(128, plan.shape.sequence_length),
  };
  const small = { ...plan, shape };
  const sequence = sparseFlopsPerToken(small) * shape.sequence_length;
  const batch_size = Math.min(plan.batch_size, Math.max(1, Math.floor(STEP_FLOPS / sequence)));
  return { ...small, batch_size, micro_batch_size: batch_size };
}
