/**
 * What a sweep would train, before anything is queued: runs, how many of them are done already, parameters, FLOPs, and the time
 * it takes at this machine's speed.
 */

import { RESULT_STATES } from "../../schema/database/states.ts";
import {
  nonzeroParameterCount,
  parameterCount,
  sparseTrainingFlops,
  tokenCount,
  trainingFlops,
} from "../../schema/wire/cost.ts";
import { isScriptPlan, type Plan, type RunPlan } from "../../schema/wire/plan.ts";
import type { Database } from "../database/open.ts";
import { inStates } from "../database/runs.ts";
import { inTurns } from "../machine/turns.ts";
import { planSearches, type SearchPlan } from "../phases/plan-search.ts";
import type { Cell } from "../sweep/expand-sweep.ts";
import { multiplesOf, takenAxes } from "../sweep/taken-axes.ts";
import { type GpuTime, gpuSpeeds, gpuTimeOf, isForGpu } from "./gpu-time.ts";
import type { LoadedSweep, PhaseExpansion } from "./load-sweep.ts";
import { type Speed, speedKey } from "./speed.ts";

export interface WidthRow {
  width: number;
  layers: number;
  parameters: number;
  /** Smallest and largest number of weights that exist under the masks. */
  nonzero: [number, number];
  runs: number;
  flops: number;
  /** Of them, what the embedded trainer does. */
  sparse_flops: number;
  /** Of a run; fewest and most. */
  tokens: [number, number];
  /** Wall-clock seconds with all slots busy, of what does not wait for a GPU; null when the speed is not known. */
  seconds: number | null;
}

export interface PlanSummary {
  sweep: string;
  points: number;
  duplicates: number;
  runs: number;
  done: number;
  /** Without a result, and trained again only when they are requeued. */
  failed: number;
  to_train: number;
  /** As for dense models. */
  flops: number;
  /** Without weights that the embedded trainer does not multiply. */
  sparse_flops: number;
  /** Of what does not wait for a GPU. */
  seconds: number | null;
  slots: number;
  /** What waits for a GPU; null: nothing does. */
  gpu: GpuTime | null;
  /** The most that other programs used of this machine while a speed was measured, 0 to 1; null when no time is known. */
  busy: number | null;
  widths: WidthRow[];
  /** Phases whose values are not known yet; not in the numbers above. */
  waiting: WaitingPhase[];
  /** Phases that are searches; not in the numbers above. */
  searches: SearchPlan[];
  /** How often the longest run goes over the text, where it does so more than once; of any phase. */
  repeats: Repeats | null;
}

interface Repeats {
  times: number;
  run_tokens: number;
  train_tokens: number;
}

interface WaitingPhase {
  phase: string;
  points: number;
  /** Runs that mean the same training counted once, as far as that can be told. */
  runs: number;
  flops: number;
  gpu: GpuTime | null;
  /** Its models, with the tokens of a run. */
  models: { width: number; layers: number; parameters: number; tokens: number }[];
  /** "learning_rate from proxy × 0.5, 1, 2" */
  takes: string[];
}

/**
 * @param tflops what a GPU keeps up where nothing was measured (gpu-time.ts)
 * @param speedsOf speeds of one slot by speedKey, for plans one per shape, as far as known; null: no time is wanted
 */
export async function summarizePlan(
  db: Database,
  loaded: LoadedSweep,
  slots: number,
  tflops: number,
  speedsOf: ((plans: Map<string, Plan>) => Promise<Map<string, Speed>>) | null,
): Promise<PlanSummary> {
  const unique = await inTurns(uniquePlans(knownCells(loaded)));
  const ours = ourPlans(unique);
  const done = inStates(db, unique.keys(), RESULT_STATES);
  const failed = inStates(db, unique.keys(), ["failed"]);
  const toTrain = [...ours].filter(([run]) => !done.has(run) && !failed.has(run));
  const forGpu = await inTurns(runsForGpu(loaded));
  const here = new Map([...ours].filter(([run]) => !forGpu.has(run)));
  const counts = loaded.phases
    .filter((p) => p.known && p.phase.search === undefined)
    .map((p) => p.expansion.counts());
  const speeds =
    speedsOf === null || here.size === 0
      ? new Map<string, Speed>()
      : await speedsOf(new Map([...new Set(here.values())].map((plan) => [speedKey(plan), plan])));
  const onGpus = gpuSpeeds(db);
  const gpuTime = (plans: readonly Plan[]): GpuTime | null =>
    plans.length === 0 ? null : gpuTimeOf(plans, onGpus, tflops);
  const rows = widthRows(toTrain, ours, forGpu, speeds, slots);
  const waiting = await inTurns(waitingPhases(loaded, gpuTime));
  return {
    sweep: loaded.sweep.name,
    points: sum(counts.map((c) => c.cells)),
    duplicates: sum(counts.map((c) => c.duplicates)),
    runs: unique.size,
    done: done.size,
    failed: failed.size,
    to_train: unique.size - done.size - failed.size,
    flops: sum(rows.map((r) => r.flops)),
    sparse_flops: sum(rows.map((r) => r.sparse_flops)),
    seconds:
      rows.length === 0 || rows.some((r) => r.seconds === null) ? null : sum(rows.map((r) => r.seconds!)),
    slots,
    gpu: gpuTime(toTrain.flatMap(([run, plan]) => (forGpu.has(run) ? [plan] : []))),
    busy: speeds.size === 0 ? null : Math.max(...[...speeds.values()].map((speed) => speed.busy)),
    widths: rows,
    waiting,
    searches: planSearches(loaded.phases),
    repeats: repeatsOf(loaded, [
      ...rows.map(({ tokens: [, most] }) => most),
      ...waiting.flatMap(({ models }) => models.map(({ tokens }) => tokens)),
    ]),
  };
}

export const repeatsSentence = ({ times, run_tokens, train_tokens }: Repeats): string =>
  `A run goes over its text ${times} times: it reads ${run_tokens.toLocaleString("en-US")} tokens, and there are ${train_tokens.toLocaleString("en-US")} to train on.`;

/** @param lengths of runs that are no search's, tokens */
function repeatsOf({ phases, train_tokens }: LoadedSweep, lengths: readonly number[]): Repeats | null {
  // The runs of a search are as long as the first point of its grid, unless their length is an axis.
  const searched = phases.flatMap(({ phase, expansion }) => {
    if (phase.search === undefined) return [];
    const [first] = expansion.cells();
    return first === undefined || isScriptPlan(first.plan) ? [] : [tokenCount(first.plan)];
  });
  const run_tokens = Math.max(0, ...lengths, ...searched);
  const times = Number((run_tokens / (train_tokens ?? Number.POSITIVE_INFINITY)).toPrecision(2));
  return times > 1 ? { times, run_tokens, train_tokens: train_tokens! } : null;
}

/** Of the model that ships. */
const ourPlans = (plans: ReadonlyMap<string, RunPlan>): Map<string, Plan> =>
  new Map([...plans].flatMap(([run, plan]) => (isScriptPlan(plan) ? [] : [[run, plan]])));

export function* knownCells(loaded: LoadedSweep): Generator<Cell> {
  for (const { phase, known, expansion } of loaded.phases)
    if (known && phase.search === undefined) yield* expansion.cells();
}

/** A plan by run; of those that cost the same, one for all: a sweep may have a million runs, and a plan takes kilobytes. */
function* uniquePlans(cells: Iterable<Cell>): Generator<void, Map<string, RunPlan>> {
  const plans = new Map<string, RunPlan>();
  const byCost = new Map<string, RunPlan>();
  for (const { run, plan } of cells) {
    // What a script's runs cost, nobody but the script knows.
    const key = isScriptPlan(plan) ? "" : costKey(plan);
    const known = byCost.get(key) ?? plan;
    byCost.set(key, known);
    plans.set(run, known);
    yield;
  }
  return plans;
}

/** Everything of a plan that its parameters, FLOPs, tokens and speed follow from. */
function costKey({
  shape,
  groups,
  data,
  steps,
  batch_size,
  micro_batch_size,
  clip_norm,
  optimizer,
}: Plan): string {
  const densities = groups.map((group) => group.density);
  const clipped = clip_norm !== null;
  return JSON.stringify([
    shape,
    densities,
    data.vocab_size,
    steps,
    batch_size,
    micro_batch_size,
    clipped,
    optimizer.name,
  ]);
}

/** Those of phases whose runs all wait for one. */
function* runsForGpu({ phases }: LoadedSweep): Generator<void, Set<string>> {
  const runs = new Set<string>();
  for (const { phase, known, expansion } of phases) {
    if (!known || phase.search !== undefined || !isForGpu(phase)) continue;
    for (const { run } of expansion.cells()) {
      runs.add(run);
      yield;
    }
  }
  return runs;
}

type GpuTimeOf = (plans: readonly Plan[]) => GpuTime | null;

function* waitingPhases({ phases }: LoadedSweep, gpuTime: GpuTimeOf): Generator<void, WaitingPhase[]> {
  const waiting: WaitingPhase[] = [];
  for (const phase of phases)
    if (!phase.known && phase.phase.search === undefined) waiting.push(yield* waitingPhase(phase, gpuTime));
  return waiting;
}

/** What a run costs does not depend on the values that stand in. */
function* waitingPhase(
  { phase, expansion }: PhaseExpansion,
  gpuTime: GpuTimeOf,
): Generator<void, WaitingPhase> {
  const plans = yield* uniquePlans(expansion.cells());
  const ours = [...ourPlans(plans).values()];
  const takes = takenAxes(phase.axes).map(({ name, taken }) => {
    const multiples = multiplesOf(name, taken).join(", ");
    return `${name} from ${taken.from}${multiples === "1" ? "" : ` × ${multiples}`}`;
  });
  return {
    phase: phase.name,
    points: expansion.counts().cells,
    runs: plans.size,
    flops: sum(ours.map(trainingFlops)),
    gpu: isForGpu(phase) ? gpuTime(ours) : null,
    models: modelsOf(ours),
    takes: [...new Set(takes)],
  };
}

const modelsOf = (plans: readonly Plan[]): WaitingPhase["models"] => [
  ...new Map(
    [...new Set(plans)].map((plan) => {
      const { d_model: width, layers } = plan.shape;
      const model = { width, layers, parameters: parameterCount(plan), tokens: tokenCount(plan) };
      return [JSON.stringify(model), model];
    }),
  ).values(),
];

export const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

function widthRows(
  toTrain: [string, Plan][],
  all: Map<string, Plan>,
  forGpu: ReadonlySet<string>,
  speeds: Map<string, Speed>,
  slots: number,
): WidthRow[] {
  const rows = new Map<string, WidthRow>();
  const speedOf = new Map(
    [...new Set(all.values())].map((plan) => [plan, speeds.get(speedKey(plan))?.tokens_per_second]),
  );
  for (const plan of speedOf.keys()) {
    const { d_model: width, layers } = plan.shape;
    const key = `${width} ${layers}`;
    const nonzero = nonzeroParameterCount(plan);
    const tokens = tokenCount(plan);
    const row = rows.get(key);
    if (row) {
      row.nonzero = [Math.min(row.nonzero[0], nonzero), Math.max(row.nonzero[1], nonzero)];
      row.tokens = [Math.min(row.tokens[0], tokens), Math.max(row.tokens[1], tokens)];
    } else {
      rows.set(key, {
        width,
        layers,
        parameters: parameterCount(plan),
        nonzero: [nonzero, nonzero],
        runs: 0,
        flops: 0,
        sparse_flops: 0,
        tokens: [tokens, tokens],
        seconds: speeds.size > 0 ? 0 : null,
      });
    }
  }
  for (const [run, plan] of toTrain) {
    const row = rows.get(`${plan.shape.d_model} ${plan.shape.layers}`)!;
    row.runs++;
    row.flops += trainingFlops(plan);
    row.sparse_flops += sparseTrainingFlops(plan);
    const speed = speedOf.get(plan);
    if (forGpu.has(run)) continue;
    if (row.seconds !== null)
      row.seconds = speed === undefined ? null : row.seconds + tokenCount(plan) / speed / slots;
  }
  return [...rows.values()].sort((a, b) => a.width - b.width || a.layers - b.layers);
}
