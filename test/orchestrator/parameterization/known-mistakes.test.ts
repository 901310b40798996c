/**
 * Mistakes seen in public implementations of these parameterizations, as far as they can happen where a plan is made. The
 * masks' and checkpoints' share of them is the trainers'.
 */
import { describe, expect, it } from "vitest";
import { resolvePlan } from "../../../orchestrator/parameterization/resolve-plan.ts";
import { SETTINGS_CHECKS, type Settings } from "../../../orchestrator/parameterization/settings.ts";
import { hiddenRateDivisor, PARAMETERIZATIONS } from "../../../schema/sweep/rules.ts";
import { MusweepError } from "../../../schema/wire/errors.ts";
import { planSchema, runIdOf } from "../../../schema/wire/plan.ts";
import { data, groupOf, HIDDEN, settingsOf } from "./settings-of-a-run.ts";

const plan = (changes: Partial<Settings>) => resolvePlan(settingsOf(changes), data);

function thrownBy(act: () => unknown): MusweepError {
  try {
    act();
  } catch (error) {
    if (error instanceof MusweepError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("mistakes that a plan rules out", () => {
  it("SP's sparse matrices keep SP's standard deviation, every one of them", () => {
    for (const sparsity of [0, 0.5, 0.9375, 0.984375])
      for (const name of HIDDEN)
        expect(
          groupOf(
            plan({ parameterization: "sp", init_std: 0.02, width: 2048, ffn_width: 8192, sparsity }),
            name,
          ).init_std,
        ).toBe(0.02);
  });

  it("masks follow from the plan alone, so that a resumed run and every process draw the same", () => {
    const one = plan({ sparsity: 0.75, seed: 7 });
    expect(one).toMatchObject({ seed: 7, mask: "exact" });
    expect(runIdOf(plan({ sparsity: 0.75, seed: 8 }))).not.toBe(runIdOf(one));
    expect(runIdOf(plan({ sparsity: 0.75, seed: 7, mask: "bernoulli" }))).not.toBe(runIdOf(one));
  });

  it("α_out/m_d is part of the model's forward pass, not of the training loss", () => {
    expect(plan({ width: 1024 }).forward.logits_multiplier).toBe(1.0951835 / 4);
    const { logits_multiplier: _, ...rest } = plan({}).forward;
    expect(planSchema.safeParse({ ...plan({}), forward: rest }).success).toBe(false);
  });

  it("the schedule is a factor of each tensor's own peak; it holds no learning rate that could wipe a multiplier", () => {
    const { schedule, groups } = plan({ width: 1024, learning_rate: 0.01 });
    expect(schedule).toEqual({ warmup_steps: 30, decay: "linear", final_fraction: 0.1 });
    expect(new Set(groups.map((g) => g.learning_rate)).size).toBeGreaterThan(1);
  });

  it("a multiplier is applied once: doubling the width halves the rate, and the attention scale is exactly 1/d_head", () => {
    const rate = (width: number) => groupOf(plan({ width }), "attention_query").learning_rate;
    expect(rate(512) / rate(1024)).toBe(2);
    for (const d_head of [32, 64, 128]) expect(plan({ d_head }).forward.attention_scale).toBe(1 / d_head);
  });

  it("independent decay does not shrink or grow with density, as constant decay does", () => {
    const decay = (decay_mode: Settings["decay_mode"], sparsity: number) =>
      groupOf(plan({ weight_decay: 0.1, decay_mode, sparsity }), "ffn_up").decay_per_step;
    expect(decay("independent", 1 - 2 ** -7) / decay("independent", 0)).toBe(1);
    expect(decay("constant", 1 - 2 ** -7) / decay("constant", 0)).toBe(128);
  });

  it.each(PARAMETERIZATIONS)("%s refuses an optimizer for which no rule was derived", (parameterization) => {
    const error = thrownBy(() => hiddenRateDivisor(parameterization, "sgd"));
    expect(error).toMatchObject({ code: "optimizer-rule", kind: "usage", exitCode: 2 });
    expect(error.message).toMatch(/no learning-rate rule is derived for .* under sgd/);
    expect(() => hiddenRateDivisor(parameterization, "toString")).toThrow(MusweepError);
  });
});

describe("settings that do not fit together are found", () => {
  it.each([
    [{ width: 250 }, /width 250 is not divisible by d_head 64; the nearest that is: 256/],
    [
      { sparsity: 0.999 },
      /attention and feed-forward input.*256 × density 0.001 is 0.256 weights per neuron/,
    ],
    [{ width: 2048, ffn_width: 512, sparsity: 0.999 }, /feed-forward down matrix.*ffn_width 512/],
    [{ base_width: null }, /base\.width is missing; supar/],
    [{ base_ffn_width: null }, /base\.ffn_width is missing; supar/],
    [{ parameterization: "completep", base_layers: null }, /base\.layers is missing; completep/],
    [{ micro_batch_size: 5 }, /batch_size 16 is not divisible by micro_batch_size 5/],
    [{ warmup_steps: 300 }, /warm-up takes 300 steps, but the run has 300/],
    [{ weight_decay: 0.1 }, /weight_decay 0\.1 needs a decay_mode/],
  ] as [Partial<Settings>, RegExp][])("%o", (changes, message) => {
    const mistakes = SETTINGS_CHECKS.flatMap(({ find }) => find(settingsOf(changes)) ?? []);
    expect(mistakes.map((mistake) => mistake.message)).toEqual([expect.stringMatching(message)]);
  });

  it("SP needs no base", () => {
    const sp = { parameterization: "sp", base_width: null, base_ffn_width: null } as const;
    expect(runIdOf(plan(sp))).toBe(runIdOf(plan({ parameterization: "sp" })));
  });

  it("one weight per neuron is enough", () => {
    expect(groupOf(plan({ sparsity: 1 - 1 / 256 }), "ffn_up").density).toBe(1 / 256);
  });
});
