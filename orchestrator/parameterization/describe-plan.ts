/**
 * What a plan makes of every tensor group, for people: the table behind `musweep plan FILE --resolved`.
 */
import { keptCount } from "../../schema/cost.ts";
import type { Plan } from "../../schema/plan.ts";

interface ResolvedRow {
  group: string;
  /** fan-in × fan-out; a norm's gain is a vector. */
  shape: string;
  density: number;
  /** Non-zero weights per neuron, fan_in · density; null where nothing is masked. */
  weights_per_neuron: number | null;
  /** Density of the drawn mask, where the count is exact. */
  realised_density: number | null;
  init_std: number | null;
  learning_rate: number;
  log2_learning_rate: number;
  /** Peak learning rate over the base learning rate. */
  multiplier: number;
  decay_per_step: number;
}

export interface ResolvedPlan {
  rows: ResolvedRow[];
  forward: Plan["forward"];
  text: string;
}

/** @param baseLearningRate η, before any multiplier: the run's coordinate `learning_rate` */
export function describePlan(plan: Plan, baseLearningRate: number): ResolvedPlan {
  const rows = plan.groups.map((g): ResolvedRow => {
    const masked = g.density < 1;
    const size = g.fan_in * g.fan_out;
    return {
      group: g.name,
      shape: g.init_std === null ? `${g.fan_out}` : `${g.fan_in} × ${g.fan_out}`,
      density: g.density,
      weights_per_neuron: masked ? g.fan_in * g.density : null,
      realised_density: masked && plan.mask === "exact" ? keptCount(g.density, size) / size : null,
      init_std: g.init_std,
      learning_rate: g.learning_rate,
      log2_learning_rate: Math.log2(g.learning_rate),
      multiplier: g.learning_rate / baseLearningRate,
      decay_per_step: g.decay_per_step,
    };
  });
  const forward = plan.forward;
  const text = [
    ...table(
      [
        "tensor group",
        "fan-in × fan-out",
        "density",
        "WPN",
        "init std",
        "peak LR",
        "log2",
        "LR ×",
        "decay/step",
      ],
      rows.map((r) => [
        r.group,
        r.shape,
        short(r.density),
        r.weights_per_neuron === null ? "–" : short(r.weights_per_neuron),
        r.init_std === null ? "gain 1" : short(r.init_std),
        short(r.learning_rate),
        r.log2_learning_rate.toFixed(2),
        short(r.multiplier),
        short(r.decay_per_step),
      ]),
    ),
    "",
    `embedding output × ${short(forward.embedding_multiplier)}   attention logits × ${short(forward.attention_scale)}   logits × ${short(forward.logits_multiplier)}`,
  ].join("\n");
  return { rows, forward, text };
}

/** Four significant digits, no padding zeros. */
const short = (x: number): string => String(Number(x.toPrecision(4)));

/** Columns padded to equal width: the first two to the left, numbers to the right. */
function table(head: string[], body: string[][]): string[] {
  const widths = head.map((h, i) => Math.max(h.length, ...body.map((row) => (row[i] ?? "").length)));
  return [head, ...body].map((row) =>
    row
      .map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}
