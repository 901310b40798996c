/** Looks inside the engine, for comparing it with another one: gradients and losses of a plan, without protocol or files. */
import type { ModuleSize } from "../../../schema/coordinates.ts";
import type { Plan } from "../../../schema/plan.ts";
import { DataSource } from "../data.ts";
import { Engine } from "./engine.ts";
import { SessionCache } from "./session_cache.ts";

async function withEngine<Result>(
  plan: Plan,
  dataDirectory: string,
  threads: number,
  use: (engine: Engine) => Promise<Result>,
  shared?: SessionCache,
): Promise<Result> {
  const sessions = shared ?? new SessionCache(threads);
  const data = new DataSource(plan, dataDirectory);
  try {
    const engine = new Engine(plan, data, sessions);
    try {
      engine.initialize();
      return await use(engine);
    } finally {
      engine.release();
    }
  } finally {
    data.close();
    if (shared === undefined) sessions.clear();
  }
}

export interface FirstGradients {
  /** Nats per token over step 1's batch. */
  readonly loss: number;
  /** Of that loss, by canonical tensor name, masks applied, not clipped; shapes as tensorSpecs gives them. */
  readonly gradients: Map<string, Float32Array>;
}

/** Loss and every gradient of step 1, at the initial weights. */
export function firstGradients(plan: Plan, dataDirectory: string): Promise<FirstGradients> {
  return withEngine(plan, dataDirectory, 1, async (engine) => {
    const loss = (await engine.accumulateGradients(1))!;
    const tokens = plan.batch_size * plan.shape.sequence_length;
    const gradients = new Map(
      engine.specs.map(({ name }) => {
        const mask = engine.mask(name);
        return [name, engine.gradientSum(name).map((x, i) => (mask?.[i] === 0 ? 0 : x / tokens))];
      }),
    );
    return { loss, gradients };
  });
}

export interface TrainingTrace {
  /** Training loss of steps 1 … `steps`, each before its update. */
  readonly losses: number[];
  /** Global gradient norm of each step, before clipping. */
  readonly gradientNorms: number[];
  /** Validation loss after the last of them. */
  readonly validationLoss: number;
  /** Weights after the last of them, by canonical name. */
  readonly weights: Map<string, Float32Array>;
}

/**
 * The first steps of a run.
 * @param steps at most plan.steps, which the schedule runs over
 */
export function traceTraining(
  plan: Plan,
  dataDirectory: string,
  steps = plan.steps,
  threads = 1,
): Promise<TrainingTrace> {
  return withEngine(plan, dataDirectory, threads, async (engine) => {
    const losses: number[] = [];
    const gradientNorms: number[] = [];
    for (let t = 1; t <= steps; t++) {
      const { loss, gradientNorm } = (await engine.step(t))!;
      losses.push(loss);
      gradientNorms.push(gradientNorm);
    }
    const weights = new Map(engine.specs.map(({ name }) => [name, engine.weight(name)]));
    return { losses, gradientNorms, validationLoss: await engine.evaluate(), weights };
  });
}

/**
 * Sizes of activations before and after each update of a plan that asks for coordinates.
 * @param sessions compiled graphs to use again; the caller clears them
 */
export function traceCoordinates(
  plan: Plan,
  dataDirectory: string,
  sessions?: SessionCache,
): Promise<ModuleSize[][]> {
  const trace = async (engine: Engine): Promise<ModuleSize[][]> => {
    const sizes = [engine.coordinates()];
    for (let t = 1; t <= plan.coordinates!.steps; t++) {
      await engine.step(t);
      sizes.push(engine.coordinates());
    }
    return sizes;
  };
  return withEngine(plan, dataDirectory, 1, trace, sessions);
}
