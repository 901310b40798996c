/**
 * Sweeps whose results follow a formula, stored as workers' events would store them: lopsided valleys like those of real
 * learning-rate curves, with seed noise, divergence walls, optima beyond the grid, and runs without result.
 */
import type { Database } from "../../../../orchestrator/database/open.ts";
import { Attempt, applyAll, cellsOf, submitText } from "../../../support/database.ts";

export interface Where {
  parameterization: string;
  width: number;
  sparsity: number;
  log2_lr: number;
  seed: number;
  init_std: number;
}

/** A loss; "diverged", "failed", or "pending". */
export type Outcome = number | "diverged" | "failed" | "pending";

export function storeSynthetic(db: Database, yaml: string, outcomeOf: (where: Where) => Outcome): void {
  submitText(db, yaml);
  const events = new Map<string, ReturnType<Attempt["claimed"]>[]>();
  for (const { run, coordinates } of cellsOf(yaml)) {
    if (events.has(run)) continue;
    const outcome = outcomeOf({
      parameterization: coordinates.parameterization,
      width: coordinates.width,
      sparsity: coordinates.sparsity,
      log2_lr: Math.log2(coordinates.learning_rate),
      seed: coordinates.seed,
      init_std: Number(coordinates.init_std ?? 0),
    });
    if (outcome === "pending") continue;
    const attempt = new Attempt(run, 1);
    const end =
      outcome === "diverged"
        ? attempt.diverged()
        : outcome === "failed"
          ? attempt.failed(true)
          : attempt.finished(outcome);
    // Numbered by their worker in the order of making: claimed first.
    const again = new Attempt(run, 1);
    events.set(run, [again.claimed(), again.started(), { ...end, sequence: 3 }]);
  }
  applyAll(db, [...events.values()].flat());
}

/** Uniform in [−1, 1), the same for the same text (FNV-1a, mixed). */
function noise(key: string): number {
  let hash = 0x811c9dc5;
  for (const char of key) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39);
  return ((hash ^ (hash >>> 15)) >>> 0) / 2 ** 31 - 1;
}

/** Octaves that the optimum moves per octave of density lost, and its place when dense. */
const SHAPES: Record<string, { dense: number; drift: number; level: number }> = {
  sp: { dense: -9.3, drift: 0.85, level: 2.16 },
  mup: { dense: -7.9, drift: 0.95, level: 1.97 },
  supar: { dense: -7.9, drift: 0.05, level: 1.97 },
  "supar-init-only": { dense: -7.9, drift: 0.4, level: 1.97 },
  "supar-lr-only": { dense: -7.9, drift: 0.6, level: 1.97 },
};

/** Twice as steep on the right; four octaves above the optimum training diverges. */
export function valley({ parameterization, width, sparsity, log2_lr, seed, init_std }: Where): Outcome {
  // At sparsity 0 the three relatives of μP are one run.
  const shape = SHAPES[parameterization]!;
  const octaves = -Math.log2(1 - sparsity);
  const drop = parameterization === "sp" ? 0.7 * Math.log2(width / 128) : 0;
  const optimum = shape.dense + shape.drift * octaves - drop;
  const x = log2_lr - optimum;
  if (x > 3.6 + 0.3 * noise(`wall ${seed} ${log2_lr}`)) return "diverged";
  const level = shape.level * (1 + 0.012 * octaves) * (width / 128) ** -0.05 * (1 + 0.05 * init_std);
  const excess = x < 0 ? 0.013 * x * x : 0.03 * x * x + 0.004 * x ** 3;
  return (
    level * (1 + excess) * (1 + 0.003 * noise(`${seed}`) + 0.002 * noise(`${seed} ${log2_lr} ${sparsity}`))
  );
}

export const sweepYaml = (name: string, axes: string): string => `name: ${name}
data: { corpus: moby-dick }
model: { width: 128, layers: 2, d_head: 32, sequence_length: 32 }
training: { steps: 20, batch_size: 4 }
base: { width: 256, ffn_width: 512 }
axes:
${axes}
`;
