/**
 * The numbers a person gets by hand from table 1 of arXiv 2405.15743 with σ = 0.08665602, η = 1.62e-2, base width 256.
 */
import { describe, expect, it } from "vitest";
import { resolvePlan } from "../../../orchestrator/parameterization/resolve-plan.ts";
import type { Settings } from "../../../orchestrator/parameterization/settings.ts";
import { PARAMETERIZATIONS } from "../../../schema/sweep/rules.ts";
import { planSchema } from "../../../schema/wire/plan.ts";
import { data, groupOf, HIDDEN, NORMS, settingsOf } from "./settings-of-a-run.ts";

/** Feed-forward width four times the model's, in the proxy too, so that every matrix has one width multiplier. */
const planAt = (width: number, density: number, changes: Partial<Settings> = {}) =>
  resolvePlan(settingsOf({ width, ffn_width: 4 * width, sparsity: 1 - density, ...changes }), data);

describe("SμPar's hidden matrices", () => {
  // width, density, standard deviation, learning rate
  it.each([
    [4096, 2 ** -6, 0.1733, 6.48e-2],
    [2048, 1, 0.03064, 2.025e-3],
    [2048, 2 ** -7, 0.3466, 0.2592],
    [768, 1, 0.05, 5.4e-3],
    [1088, 0.5, 0.0594, 7.62e-3],
    [1536, 0.25, 0.0708, 1.08e-2],
    [2176, 0.125, 0.0841, 1.525e-2],
  ])("at width %d and density %d have std %d and learning rate %d", (width, density, std, rate) => {
    const plan = planAt(width, density);
    for (const name of HIDDEN) {
      const group = groupOf(plan, name);
      expect(Math.abs((group.init_std ?? 0) / std - 1)).toBeLessThan(1e-3);
      expect(Math.abs(group.learning_rate / rate - 1)).toBeLessThan(1e-3);
      expect(group.density).toBe(density);
    }
  });

  it("are exact where the multiplier is a power of two", () => {
    const query = groupOf(planAt(4096, 2 ** -6), "attention_query");
    expect(query.init_std).toBe(2 * 0.08665602);
    expect(query.learning_rate).toBe(4 * 1.62e-2);
  });
});

describe("at width 1024 and density 1/16 of a base of width 256", () => {
  // m_d = 4, m_ρ = 1/16. Standard deviation: σ over the root of the divisor; learning rate: η over the divisor.
  it.each([
    ["sp", 1, 1],
    ["mup", 2, 4],
    ["supar", 1 / 2, 1 / 4],
    ["supar-init-only", 1 / 2, 4],
    ["supar-lr-only", 2, 1 / 4],
    ["sp-embedding", 1, 1],
    ["completep", 2, 4],
    ["supar-completep", 1 / 2, 1 / 4],
  ] as const)("%s divides σ by %d and η by %d", (parameterization, stdDivisor, rateDivisor) => {
    const plan = planAt(1024, 1 / 16, { parameterization });
    for (const name of HIDDEN) {
      expect(groupOf(plan, name).init_std).toBe(0.08665602 / stdDivisor);
      expect(groupOf(plan, name).learning_rate).toBe(1.62e-2 / rateDivisor);
    }
  });

  it("μP and its relatives scale the forward pass alike, without the density", () => {
    for (const parameterization of ["mup", "supar", "supar-init-only", "supar-lr-only"] as const)
      expect(planAt(1024, 1 / 16, { parameterization }).forward).toEqual({
        embedding_multiplier: 9.1705,
        residual_multiplier: 1,
        attention_scale: 1 / 64,
        logits_multiplier: 1.0951835 / 4,
      });
  });

  it("SP's forward pass has no multipliers but 1/√d_head", () => {
    expect(planAt(1024, 1 / 16, { parameterization: "sp" }).forward).toEqual({
      embedding_multiplier: 1,
      residual_multiplier: 1,
      attention_scale: 0.125,
      logits_multiplier: 1,
    });
  });

  it.each(PARAMETERIZATIONS.filter((p) => p !== "sp-embedding"))(
    "%s leaves embedding, unembedding and norms at σ and η, dense",
    (parameterization) => {
      const plan = planAt(1024, 1 / 16, { parameterization, tied_embeddings: false });
      for (const name of ["embedding", "unembedding"] as const)
        expect(groupOf(plan, name)).toMatchObject({
          init_std: 0.08665602,
          learning_rate: 1.62e-2,
          density: 1,
        });
      for (const name of NORMS)
        expect(groupOf(plan, name)).toMatchObject({ init_std: null, learning_rate: 1.62e-2, density: 1 });
    },
  );
});

describe("each layer has its own width multiplier", () => {
  it("the feed-forward down matrix scales with the feed-forward width, the others with the model's", () => {
    // Down: fan-in 2048 of a base of 512, m_d 4; the others: 512 of 256, m_d 2.
    const plan = resolvePlan(settingsOf({ width: 512, ffn_width: 2048, base_ffn_width: 512 }), data);
    expect(groupOf(plan, "ffn_down").learning_rate).toBe(1.62e-2 / 4);
    expect(groupOf(plan, "ffn_down").init_std).toBe(0.08665602 / 2);
    expect(groupOf(plan, "ffn_up").learning_rate).toBe(1.62e-2 / 2);
    expect(plan.forward.logits_multiplier).toBe(1.0951835 / 2);
  });

  it("a proxy that is sparse itself counts density from its own", () => {
    const plan = planAt(256, 1 / 8, { base_density: 1 / 2 });
    expect(groupOf(plan, "ffn_up").learning_rate).toBe(4 * 1.62e-2);
    const dense = planAt(256, 1, { base_density: 1 / 4 });
    expect(groupOf(dense, "ffn_up").learning_rate).toBe(1.62e-2 / 4);
  });
});

describe("sp-embedding at width 1024, four times its base", () => {
  const at = (parameterization: Settings["parameterization"]) =>
    planAt(1024, 1 / 16, {
      parameterization,
      weight_decay: 0.1,
      decay_mode: "constant",
      tied_embeddings: false,
    });

  it("is SP but for the embedding's learning rate, and the decay that follows it", () => {
    const plan = at("sp-embedding");
    expect(groupOf(plan, "embedding")).toMatchObject({
      init_std: 0.08665602,
      learning_rate: 4 * 1.62e-2,
      decay_per_step: 0.1 * 4 * 1.62e-2,
    });
    const rest = (p: typeof plan) => ({ ...p, groups: p.groups.filter((g) => g.name !== "embedding") });
    expect(rest(plan)).toEqual(rest(at("sp")));
  });
});

describe("CompleteP at width 1024 and 8 layers of a base of 256 and 2", () => {
  // m_d = 4, m_L = 4, α = 1 (arXiv 2505.01618): blocks × 1/4, ε in blocks / 16, of the embedding / 4, hidden λ × 4.
  const completep = (changes: Partial<Settings> = {}) =>
    planAt(1024, 1, {
      parameterization: "completep",
      layers: 8,
      weight_decay: 0.1,
      decay_mode: "constant",
      tied_embeddings: false,
      scale_residual_outputs: true,
      ...changes,
    });

  it("has the numbers of its table", () => {
    const plan = completep();
    expect(plan.forward).toEqual({
      embedding_multiplier: 9.1705,
      residual_multiplier: 1 / 4,
      attention_scale: 1 / 64,
      logits_multiplier: 1.0951835 / 4,
    });
    for (const name of HIDDEN)
      expect(groupOf(plan, name)).toMatchObject({
        init_std: 0.08665602 / 2,
        learning_rate: 1.62e-2 / 4,
        decay_per_step: 0.1 * 1.62e-2,
        eps: 1e-8 / 16,
      });
    for (const name of ["embedding", "unembedding"] as const)
      expect(groupOf(plan, name)).toMatchObject({
        init_std: 0.08665602,
        learning_rate: 1.62e-2,
        decay_per_step: 0.1 * 1.62e-2,
        eps: 1e-8 / 4,
      });
    for (const name of ["attention_norm", "ffn_norm"] as const)
      expect(groupOf(plan, name)).toMatchObject({
        learning_rate: 1.62e-2,
        decay_per_step: 0,
        eps: 1e-8 / 16,
      });
    expect(groupOf(plan, "final_norm")).toMatchObject({ learning_rate: 1.62e-2, eps: 1e-8 });
  });

  it("with SμPar divides hidden variance and rates by the density multiplier too, and nothing else", () => {
    const dense = completep({ sparsity: 15 / 16 });
    const both = completep({ sparsity: 15 / 16, parameterization: "supar-completep" });
    expect({ ...both, groups: null }).toEqual({ ...dense, groups: null });
    for (const group of dense.groups) {
      const hidden = HIDDEN.some((name) => name === group.name);
      expect(groupOf(both, group.name)).toEqual(
        hidden
          ? {
              ...group,
              init_std: 4 * group.init_std!,
              learning_rate: 16 * group.learning_rate,
              decay_per_step: 16 * group.decay_per_step,
            }
          : group,
      );
    }
  });
});

describe("the residual-output option", () => {
  it.each(PARAMETERIZATIONS.filter((p) => !p.endsWith("completep")))(
    "%s divides two matrices by √(2·layers), and nothing else",
    (parameterization) => {
      const without = planAt(512, 0.25, { parameterization, layers: 8 });
      const scaled = planAt(512, 0.25, { parameterization, layers: 8, scale_residual_outputs: true });
      for (const group of without.groups) {
        const divisor = group.name === "attention_output" || group.name === "ffn_down" ? 4 : 1;
        const expected = { ...group, init_std: group.init_std === null ? null : group.init_std / divisor };
        expect(groupOf(scaled, group.name)).toEqual(expected);
      }
    },
  );

  it.each(["completep", "supar-completep"] as const)("%s never divides", (parameterization) => {
    const [without, asked] = [false, true].map((scale_residual_outputs) =>
      planAt(512, 0.25, { parameterization, layers: 8, scale_residual_outputs }),
    );
    expect(asked).toEqual(without);
  });
});

describe("weight decay per step", () => {
  // Hidden multiplier at width 1024, density 1/16: 4 under SμPar; λ = 0.1, η = 1/64.
  const decays = (decay_mode: Settings["decay_mode"]) =>
    planAt(1024, 1 / 16, { learning_rate: 1 / 64, weight_decay: 0.1, decay_mode });

  it("constant: λ times the tensor's own learning rate", () => {
    expect(groupOf(decays("constant"), "ffn_up").decay_per_step).toBe(0.1 / 16);
    expect(groupOf(decays("constant"), "embedding").decay_per_step).toBe(0.1 / 64);
  });
  it("independent: λ times the base learning rate everywhere", () => {
    for (const name of [...HIDDEN, "embedding"] as const)
      expect(groupOf(decays("independent"), name).decay_per_step).toBe(0.1 / 64);
  });
  it("none: nothing; and gains never decay", () => {
    for (const group of planAt(1024, 1 / 16).groups) expect(group.decay_per_step).toBe(0);
    for (const mode of ["constant", "independent"] as const)
      for (const name of NORMS) expect(groupOf(decays(mode), name).decay_per_step).toBe(0);
  });
});

describe("the plan", () => {
  it.each([true, false])("is a valid plan whose tensors are the model's (tied %s)", (tied_embeddings) => {
    const plan = planAt(512, 0.25, { tied_embeddings });
    expect(planSchema.parse(plan)).toEqual(plan);
    const shapes = Object.fromEntries(plan.groups.map((g) => [g.name, [g.fan_in, g.fan_out]]));
    expect(shapes).toEqual({
      embedding: [256, 512],
      attention_norm: [1, 512],
      attention_query: [512, 512],
      attention_key: [512, 512],
      attention_value: [512, 512],
      attention_output: [512, 512],
      ffn_norm: [1, 512],
      ffn_gate: [512, 2048],
      ffn_up: [512, 2048],
      ffn_down: [2048, 512],
      final_norm: [1, 512],
      ...(tied_embeddings ? {} : { unembedding: [512, 256] }),
    });
  });
});
