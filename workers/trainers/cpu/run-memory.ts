/** What a run of a plan computes with: its tapes, and how much memory each of its parts takes. Known before it starts. */
import type { Plan } from "../../../schema/wire/plan.ts";
import { activationsTape, evaluationTape, gradientTape, names } from "./model.ts";
import { optimizerPieces } from "./optimizer.ts";
import { type KeptTensor, keptTensors, patternPieces } from "./sparse-matrix.ts";
import { type Crew, crewOf, type Program, sizeOf } from "./tape.ts";

/**
 * Tokens per pass. More do not fit the caches beside the weights; with fewer, what every operation costs besides its
 * arithmetic weighs too much.
 */
const TOKENS_PER_PASS = { least: 512, most: 1024 };

/**
 * How a batch is taken apart: into passes, forward and backward each, which are dealt to two lanes in turn. Each lane has its
 * own sums of gradients, and they run side by side where there are threads for it: threads that share every operation instead
 * spend much of their time waiting for each other. The plan alone decides, so the sums are the same for any number of threads.
 */
export interface Passes {
  /** Sequences per pass. */
  readonly sequences: number;
  readonly count: number;
  readonly lanes: number;
}

export function passesOf(plan: Plan): Passes {
  const { batch_size: batch, micro_batch_size } = plan;
  const { sequence_length } = plan.shape;
  const halved = batch % 2 === 0 && (batch / 2) * sequence_length >= TOKENS_PER_PASS.least;
  const fitting = Math.floor(TOKENS_PER_PASS.most / sequence_length);
  const sequences = micro_batch_size ?? largestDivisor(halved ? batch / 2 : batch, fitting);
  const count = batch / sequences;
  return { sequences, count, lanes: Math.min(count, 2) };
}

/** Of n, at most `most`; 1 if nothing else. */
function largestDivisor(n: number, most: number): number {
  for (let d = Math.min(n, most); d > 1; d--) if (n % d === 0) return d;
  return 1;
}

export interface RunLayout {
  readonly tensors: readonly KeptTensor[];
  readonly passes: Passes;
  readonly crew: Crew;
  /** Sequences per pass of an evaluation. */
  readonly evaluated: number;
  readonly gradient: Program;
  readonly evaluation: Program;
  /** Only where the plan asks for coordinates. */
  readonly activations: ReturnType<typeof activationsTape> | null;
  /** Bytes by name. */
  readonly pieces: ReadonlyMap<string, number>;
}

/** Names of a run's memory beside those that tapes ask for. */
export const places = {
  lane: (lane: number, name: string): string => `${lane}/${name}`,
  arena: (team: number): string => `arena/${team}`,
  first: (tensor: string): string => `first/${tensor}`,
  second: (tensor: string): string => `second/${tensor}`,
  mask: (tensor: string): string => `mask/${tensor}`,
  /** Activations of the initial network on one pass of the evaluation sequences. */
  initial: (pass: number): string => `initial/${pass}`,
};

export function layOutRun(plan: Plan, threads: number, tensors = keptTensors(plan)): RunLayout {
  const passes = passesOf(plan);
  const { sequences, count, lanes } = passes;
  const evaluated = Math.min(sequences, plan.evaluation.sequences);
  const crew = crewOf(threads, lanes);
  const gradient = gradientTape(plan, tensors, sequences, count > lanes, crew.members);
  const evaluation = evaluationTape(plan, tensors, evaluated, crew.members);
  const activations =
    plan.coordinates === undefined ? null : activationsTape(plan, tensors, evaluated, crew.members);

  const pieces = new Map<string, number>();
  // Weights, two moments, and the gradients' sums: nearly all that is read between passes, side by side.
  for (const s of tensors) pieces.set(names.weight(s.name), 4 * s.kept);
  for (const s of tensors) pieces.set(places.first(s.name), 4 * s.kept);
  for (const s of tensors) pieces.set(places.second(s.name), 4 * s.kept);
  const tokens = 4 * sequences * plan.shape.sequence_length;
  for (let lane = 0; lane < lanes; lane++) {
    for (const s of tensors) pieces.set(places.lane(lane, names.sum(s.name)), 4 * s.kept);
    for (const name of [names.inputs, names.targets, names.nats]) pieces.set(places.lane(lane, name), tokens);
  }
  for (const s of tensors) {
    if (s.sparse !== null) for (const [name, bytes] of patternPieces(s.sparse)) pieces.set(name, bytes);
    else if (s.masked) pieces.set(places.mask(s.name), 4 * s.size);
  }
  pieces.set(names.slopes, 4 * (plan.shape.d_model / plan.shape.d_head));
  for (const [name, bytes] of optimizerPieces(plan, tensors)) pieces.set(name, bytes);
  if (activations !== null) {
    const perPass = activations.activations.reduce((sum, { value }) => sum + 4 * sizeOf(value.shape), 0);
    for (let pass = 0; pass < Math.ceil(plan.evaluation.sequences / evaluated); pass++)
      pieces.set(places.initial(pass), perPass);
  }
  // Passes are run one after the other: they use the same memory. So does, between them, a sparse matrix with all its zeros.
  const programs = [gradient, evaluation, ...(activations === null ? [] : [activations.program])];
  const whole = tensors.map((s) => (s.sparse === null ? 0 : 4 * s.size));
  const arena = Math.max(...programs.map((program) => program.arenaBytes), ...whole);
  for (let team = 0; team < crew.teams; team++) pieces.set(places.arena(team), arena);
  return { tensors, passes, crew, evaluated, gradient, evaluation, activations, pieces };
}
