/** How much memory a run will need, from its plan alone. */
import { parameterCount } from "../../../schema/cost.ts";
import type { Plan } from "../../../schema/plan.ts";
import { tensorSpecs } from "../tensors.ts";
import { sequencesPerPass } from "./engine.ts";
import {
  attentionBiasElements,
  evaluationGraph,
  gradientGraph,
  trainingGraph,
  updateGraph,
} from "./model.ts";

/** Node, ONNX Runtime and their code, before any run. */
const PROCESS_BYTES = 130 * 2 ** 20;

/** Peak resident bytes of a trainer process that trains this plan. */
export function estimateMemory(plan: Plan): number {
  const sequences = sequencesPerPass(plan);
  const accumulates = sequences < plan.batch_size;
  const evaluated = Math.min(sequences, plan.evaluation.sequences);
  const graphs = [
    ...(accumulates ? [gradientGraph(plan, sequences), updateGraph(plan)] : [trainingGraph(plan, sequences)]),
    evaluationGraph(plan, evaluated),
  ];
  const working = graphs.reduce((sum, g) => sum + g.peakBytes(), 0);
  const masked = tensorSpecs(plan).reduce((sum, s) => sum + (s.masked ? s.size : 0), 0);
  // Weights, two moments, and the copy of every output that the binding makes.
  const perParameter = 3 * 2 + (accumulates ? 2 : 0);
  const state = perParameter * parameterCount(plan) + masked + attentionBiasElements(plan);
  return PROCESS_BYTES + working + 4 * state;
}
