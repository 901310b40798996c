import { describe, expect, it } from "vitest";
import { describePlan } from "../../../orchestrator/parameterization/describe-plan.ts";
import { resolvePlan } from "../../../orchestrator/parameterization/resolve-plan.ts";
import { resolvedPlanText } from "../../../orchestrator/report/resolved-plan-text.ts";
import { data, settingsOf } from "./settings-of-a-run.ts";

const settings = settingsOf({
  width: 512,
  ffn_width: 2048,
  sparsity: 0.9375,
  learning_rate: 2 ** -8,
  weight_decay: 0.1,
  decay_mode: "constant",
});

describe("the resolved table", () => {
  const resolved = describePlan(resolvePlan(settings, data), settings.learning_rate);

  it("has a row per tensor group with its effective values", () => {
    // m_d = 2, m_ρ = 1/16: the learning rate is 8 times the base's.
    expect(resolved.rows.find((r) => r.group === "attention_query")).toEqual({
      group: "attention_query",
      shape: "512 × 512",
      density: 0.0625,
      weights_per_neuron: 32,
      realised_density: 0.0625,
      init_std: 0.08665602 / Math.sqrt(1 / 8),
      learning_rate: 2 ** -5,
      log2_learning_rate: -5,
      multiplier: 8,
      decay_per_step: 0.1 * 2 ** -5,
      eps: 1e-8,
    });
    expect(resolved.rows.find((r) => r.group === "final_norm")).toMatchObject({
      shape: "512",
      weights_per_neuron: null,
      realised_density: null,
      init_std: null,
      multiplier: 1,
    });
  });

  it("says the density that an exact mask can have, where the nearest whole number differs", () => {
    const odd = settingsOf({ width: 30, d_head: 10, ffn_width: 90, sparsity: 0.9 });
    const sparse = describePlan(resolvePlan({ ...odd, sparsity: 0.87 }, data), odd.learning_rate);
    // 30 × 30 × 0.13 = 117 exactly; 30 × 90 × 0.13 = 351 exactly; at 0.871: 116.1 → 116.
    expect(sparse.rows.find((r) => r.group === "attention_key")?.realised_density).toBe(117 / 900);
    const rounded = describePlan(resolvePlan({ ...odd, sparsity: 0.871 }, data), odd.learning_rate);
    expect(rounded.rows.find((r) => r.group === "attention_key")?.realised_density).toBe(116 / 900);
    const bernoulli = describePlan(resolvePlan({ ...odd, mask: "bernoulli" }, data), odd.learning_rate);
    expect(bernoulli.rows.find((r) => r.group === "attention_key")?.realised_density).toBeNull();
  });

  it("prints as an aligned table with the forward multipliers", () => {
    const lines = resolvedPlanText(resolved).split("\n");
    expect(lines[0]).toMatch(
      /^tensor group +fan-in × fan-out +density +WPN +init std +peak LR +log2 +LR × +decay\/step +ε$/,
    );
    expect(lines.find((l) => l.startsWith("ffn_down"))).toMatch(
      /^ffn_down +2048 × 512 +0\.0625 +128 +0\.2451 +0\.03125 +-5\.00 +8 +0\.003125 +1e-8$/,
    );
    expect(lines.at(-1)).toBe("embedding output × 9.171   attention logits × 0.01563   logits × 0.5476");
    const columns = lines.slice(0, -2).map((l) => l.length);
    expect(new Set(columns).size).toBe(1);
  });
});
