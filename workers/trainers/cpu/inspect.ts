/** Looks inside the engine, for comparing it with another one: gradients and losses of a plan, without protocol or files. */
import type { ModuleSize } from "../../../schema/wire/coordinates.ts";
import type { Plan } from "../../../schema/wire/plan.ts";
import { DataSource } from "../common/data.ts";
import type { NamedTensor } from "../common/safetensors.ts";
import { initialTensors } from "../common/tensors.ts";
import { Engine } from "./engine.ts";
import type { RunLayout } from "./run-memory.ts";

async function withEngine<Result>(
  plan: Plan,
  dataDirectory: string,
  threads: number,
  layout: RunLayout | undefined,
  use: (engine: Engine) => Promise<Result>,
): Promise<Result> {
  const data = new DataSource(plan, dataDirectory);
  try {
    const engine = new Engine(plan, data, threads, layout);
    try {
      engine.initialize();
      return await use(engine);
    } finally {
      engine.release();
    }
  } finally {
    data.close();
  }
}

function copiesOf(tensors: readonly NamedTensor[]): Map<string, Float32Array> {
  return new Map(
    tensors.map(({ name, data, beforeWriting }) => {
      beforeWriting?.();
      return [name, data.slice()];
    }),
  );
}

export interface FirstGradients {
  /** Nats per token over step 1's batch. */
  readonly loss: number;
  /** Of that loss, by canonical tensor name, masks applied, not clipped; shapes as tensorSpecs gives them. */
  readonly gradients: Map<string, Float32Array>;
}

/** Loss and every gradient of step 1, at the initial weights. @param layout another than the plan's own, of one thread */
export function firstGradients(
  plan: Plan,
  dataDirectory: string,
  layout?: RunLayout,
): Promise<FirstGradients> {
  return withEngine(plan, dataDirectory, 1, layout, async (engine) => {
    const loss = (await engine.accumulateGradients(1))!;
    const tokens = plan.batch_size * plan.shape.sequence_length;
    const gradients = copiesOf(engine.gradientSums());
    const { masks } = initialTensors(plan);
    for (const [name, sums] of gradients) {
      const mask = masks.get(name);
      sums.forEach((x, i) => {
        sums[i] = mask?.[i] === 0 ? 0 : x / tokens;
      });
    }
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
 * @param layout another than the plan's own, of as many threads
 */
export function traceTraining(
  plan: Plan,
  dataDirectory: string,
  steps = plan.steps,
  threads = 1,
  layout?: RunLayout,
): Promise<TrainingTrace> {
  return withEngine(plan, dataDirectory, threads, layout, async (engine) => {
    const losses: number[] = [];
    const gradientNorms: number[] = [];
    for (let t = 1; t <= steps; t++) {
      const { loss, gradientNorm } = (await engine.step(t))!;
      losses.push(loss);
      gradientNorms.push(gradientNorm);
    }
    const weights = copiesOf(engine.weightTensors());
    return { losses, gradientNorms, validationLoss: await engine.evaluate(), weights };
  });
}

/** Sizes of activations before and after each update of a plan that asks for coordinates. @param layout as of firstGradients */
export function traceCoordinates(
  plan: Plan,
  dataDirectory: string,
  layout?: RunLayout,
): Promise<ModuleSize[][]> {
  return withEngine(plan, dataDirectory, 1, layout, async (engine) => {
    const sizes = [engine.coordinates()];
    for (let t = 1; t <= plan.coordinates!.steps; t++) {
      await engine.step(t);
      sizes.push(engine.coordinates());
    }
    return sizes;
  });
}
