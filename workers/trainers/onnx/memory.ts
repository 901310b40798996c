/** How much memory a run will need, from its plan alone. */
import { parameterCount } from "../../../schema/cost.ts";
import type { Plan } from "../../../schema/plan.ts";
import { tensorSpecs } from "../tensors.ts";
import { meterBytes } from "./coordinates.ts";
import { passesOf } from "./engine.ts";
import { evaluationGraph, gradientGraph } from "./model.ts";

/** Node, ONNX Runtime and their code, before any run, with room for how much of it Node happens to have in memory. */
const PROCESS_BYTES = 165 * 2 ** 20;
/**
 * Memory that a session holds over what its tensors need: pieces of the arena that fit nothing, more when two passes take from
 * it at once. At most 1.4 was measured.
 */
const ARENA_FACTOR = 1.5;

/** Peak resident bytes of a trainer process that trains this plan. docs/engine.md has it beside measured ones. */
export function estimateMemory(plan: Plan, threads: number): number {
  const { sequences, count, lanes } = passesOf(plan);
  const evaluated = Math.min(sequences, plan.evaluation.sequences);
  const sideBySide = threads > 1 ? lanes : 1;
  const perLane = [gradientGraph(plan, sequences, count === lanes), evaluationGraph(plan, evaluated)];
  // Each session keeps its own.
  const meter = plan.coordinates === undefined ? { working: 0, held: 0 } : meterBytes(plan, evaluated);
  const working = perLane.reduce((sum, g) => sum + sideBySide * g.peakBytes(), meter.working);
  const masked = tensorSpecs(plan).reduce((sum, s) => sum + (s.masked ? s.size : 0), 0);
  // Weights, two moments, and the gradients' sums.
  const state = (3 + lanes) * parameterCount(plan) + masked;
  return PROCESS_BYTES + ARENA_FACTOR * working + 4 * state + meter.held;
}
