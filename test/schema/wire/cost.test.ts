/** What a plan costs, against numbers worked by hand. */
import { expect, test } from "vitest";
import {
  flopsPerToken,
  isTrainedSparse,
  plannedFlops,
  sparseFlopsPerToken,
  sparseTrainingFlops,
  trainingFlops,
} from "../../../schema/wire/cost.ts";
import type { Plan, TensorGroup } from "../../../schema/wire/plan.ts";
import { makePlan } from "../../workers/trainers/support.ts";

const withDensities = (plan: Plan, densities: Partial<Record<TensorGroup, number>>): Plan => ({
  ...plan,
  groups: plan.groups.map((g) => ({ ...g, density: densities[g.name] ?? g.density })),
});
const sparseGroups = (plan: Plan): string[] => plan.groups.filter(isTrainedSparse).map(({ name }) => name);

// Two layers of 4 · 12² + 3 · 12 · 16 = 1,152 weights, a tied table of 11 · 12 = 132, 8 tokens to a sequence.
const DENSE = 6 * (2 * 1152 + 132) + 12 * 2 * 8 * 12;

test("FLOPs are counted as for a dense model, and without the weights that do not exist", () => {
  expect(flopsPerToken(makePlan())).toBe(DENSE);
  expect(sparseFlopsPerToken(makePlan())).toBe(DENSE);
  const quarter = makePlan({ density: 0.25 });
  expect(flopsPerToken(quarter)).toBe(DENSE);
  expect(sparseFlopsPerToken(quarter)).toBe(DENSE - 6 * 2 * 0.75 * 1152);
  // 12 steps of 4 sequences.
  expect(trainingFlops(quarter)).toBe(DENSE * 12 * 4 * 8);
  expect(sparseTrainingFlops(quarter)).toBe((DENSE - 6 * 2 * 0.75 * 1152) * 12 * 4 * 8);
});

test("a sparse run weighs less than a dense one, by 1.4 FLOPs for each that is left of its matrices", () => {
  const tokens = 12 * 4 * 8;
  expect(plannedFlops(makePlan(), {})).toBe(DENSE * tokens);
  const left = 6 * 2 * 0.25 * 1152;
  const rest = DENSE - 6 * 2 * 1152;
  expect(plannedFlops(makePlan({ density: 0.25 }), {})).toBeCloseTo((rest + 1.4 * left) * tokens, 3);
  // PyTorch multiplies by masks: there it weighs as much.
  for (const placement of [{ device: "cuda" }, { engine: "musweep-torch" }] as const)
    expect(plannedFlops(makePlan({ density: 0.25 }), placement)).toBe(DENSE * tokens);
  const elsewhere = { ...makePlan({ density: 0.25 }), trainer: { name: "mine", revision: "1" } };
  expect(plannedFlops(elsewhere, {})).toBe(DENSE * tokens);
});

test("only matrices of the blocks count as sparse, and up to density ½", () => {
  expect(sparseGroups(makePlan({ density: 0.5 }))).toHaveLength(7);
  expect(sparseGroups(makePlan({ density: 0.5000001 }))).toEqual([]);
  const plan = withDensities(makePlan({ shape: { tied_embeddings: false } }), {
    embedding: 0.1,
    unembedding: 0.1,
    attention_query: 0.75,
    ffn_gate: 0.125,
  });
  expect(sparseGroups(plan)).toEqual(["ffn_gate"]);
  // Of 12 × 16 weights an eighth is left; the unembedding is whole, and untied.
  expect(sparseFlopsPerToken(plan)).toBe(DENSE - 6 * 2 * (192 - 24));
});

test("an axis may have as many places as 16 bits count, and no more", () => {
  const [group] = makePlan({ density: 0.5 }).groups.filter(isTrainedSparse);
  for (const axis of ["fan_in", "fan_out"]) {
    expect(isTrainedSparse({ ...group!, [axis]: 65_536 })).toBe(true);
    expect(isTrainedSparse({ ...group!, [axis]: 65_537 })).toBe(false);
  }
});
