/** What must hold between the parameterizations at every shape, whatever the numbers are. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { resolvePlan } from "../../../orchestrator/parameterization/resolve-plan.ts";
import type { Settings } from "../../../orchestrator/parameterization/settings.ts";
import { PARAMETERIZATIONS } from "../../../schema/sweep/rules.ts";
import { runIdOf } from "../../../schema/wire/plan.ts";
import { data, groupOf, HIDDEN, settingsOf } from "./settings-of-a-run.ts";

const plan = (changes: Partial<Settings>) => resolvePlan(settingsOf(changes), data);

/** Shapes of which each neuron has at least one weight, with values over several orders of magnitude. */
const shapes = fc
  .record({
    heads: fc.integer({ min: 1, max: 32 }),
    d_head: fc.constantFrom(8, 32, 64, 96),
    ffn_width: fc.integer({ min: 64, max: 8192 }),
    base_width: fc.integer({ min: 32, max: 1024 }),
    base_ffn_width: fc.integer({ min: 32, max: 4096 }),
    layers: fc.integer({ min: 1, max: 48 }),
    learning_rate: fc.double({ min: 1e-5, max: 1, noNaN: true }),
    init_std: fc.double({ min: 1e-3, max: 1, noNaN: true }),
    weight_decay: fc.double({ min: 1e-4, max: 1, noNaN: true }),
    decay_mode: fc.constantFrom("constant" as const, "independent" as const),
    scale_residual_outputs: fc.boolean(),
    tied_embeddings: fc.boolean(),
    base_density: fc.constantFrom(1, 0.5, 0.3),
    density: fc.constantFrom(1, 0.9, 0.5, 0.25, 0.2, 0.125),
  })
  .map(({ heads, density, ...rest }) => ({ ...rest, width: heads * rest.d_head, sparsity: 1 - density }));

const close = (a: number, b: number) => expect(Math.abs(a / b - 1)).toBeLessThan(1e-12);

describe("identities", () => {
  it("at density 1 SμPar is μP: the very same run", () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const dense = { ...shape, sparsity: 0, base_density: 1 };
        const [supar, mup] = (["supar", "mup"] as const).map((p) => plan({ ...dense, parameterization: p }));
        expect(supar).toEqual(mup);
        expect(runIdOf(supar!)).toBe(runIdOf(mup!));
      }),
    );
  });

  it("at density 1 both ablations are μP as well", () => {
    const ids = (["mup", "supar", "supar-init-only", "supar-lr-only"] as const).map((parameterization) =>
      runIdOf(plan({ parameterization, width: 512, ffn_width: 2048 })),
    );
    expect(new Set(ids).size).toBe(1);
  });

  it("at the proxy's depth CompleteP is μP up to ε and hidden decay, at its width too it is μP", () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const same = {
          ...shape,
          base_layers: shape.layers,
          scale_residual_outputs: false,
          tied_embeddings: true,
        };
        const [completep, mup] = (["completep", "mup"] as const).map((parameterization) =>
          plan({ ...same, parameterization }),
        );
        const without = ({ groups, ...rest }: NonNullable<typeof mup>) => ({
          ...rest,
          groups: groups.map(({ eps: _, decay_per_step: __, ...group }) => group),
        });
        expect(without(completep!)).toEqual(without(mup!));
        const proxy = { ...same, base_width: shape.width, base_ffn_width: shape.ffn_width };
        expect(plan({ ...proxy, parameterization: "completep" })).toEqual(
          plan({ ...proxy, parameterization: "mup" }),
        );
      }),
    );
  });

  it("at density 1 SμPar × CompleteP is CompleteP: the very same run", () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const dense = { ...shape, sparsity: 0, base_density: 1 };
        expect(runIdOf(plan({ ...dense, parameterization: "supar-completep" }))).toBe(
          runIdOf(plan({ ...dense, parameterization: "completep" })),
        );
      }),
    );
  });

  it("at the proxy's own shape SμPar is SP, up to the attention scale and the alphas", () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const same = {
          ...shape,
          sparsity: 0,
          base_density: 1,
          base_width: shape.width,
          base_ffn_width: shape.ffn_width,
        };
        const supar = plan({ ...same, parameterization: "supar" });
        const sp = plan({ ...same, parameterization: "sp" });
        expect({ ...supar, forward: null }).toEqual({ ...sp, forward: null });
        expect(supar.forward.attention_scale * Math.sqrt(shape.d_head)).toBeCloseTo(
          sp.forward.attention_scale,
          14,
        );
        expect(supar.forward.embedding_multiplier).toBe(9.1705);
        expect(supar.forward.logits_multiplier).toBe(1.0951835);
      }),
    );
  });

  it("SμPar at (width, density) has the hidden values of dense μP whose width is the weights per neuron", () => {
    // μP corrects for the number of inputs, SμPar for the number of inputs that exist: width · density.
    for (const [width, density] of [
      [512, 1 / 2],
      [1024, 1 / 8],
      [4096, 1 / 64],
    ] as const) {
      const sparse = plan({ parameterization: "supar", width, ffn_width: 4 * width, sparsity: 1 - density });
      const weights = width * density;
      const dense = plan({ parameterization: "mup", width: weights, ffn_width: 4 * weights });
      for (const name of HIDDEN) {
        expect(groupOf(sparse, name).init_std).toBe(groupOf(dense, name).init_std);
        expect(groupOf(sparse, name).learning_rate).toBe(groupOf(dense, name).learning_rate);
      }
    }
  });

  it("at constant weights per neuron SμPar's hidden values stay the proxy's, as SP's do; μP's do not", () => {
    for (const [width, density] of [
      [256, 1],
      [512, 1 / 2],
      [1024, 1 / 4],
      [2048, 1 / 8],
    ] as const) {
      const at = (parameterization: Settings["parameterization"]) =>
        groupOf(plan({ parameterization, width, ffn_width: 4 * width, sparsity: 1 - density }), "ffn_up");
      expect(at("supar").init_std).toBe(0.08665602);
      expect(at("supar").learning_rate).toBe(1.62e-2);
      expect(at("supar")).toEqual(at("sp"));
      expect(at("mup").learning_rate).toBe(1.62e-2 * density);
    }
  });
});

describe("at random shapes", () => {
  it("SμPar keeps the proxy's preactivation variance and the proxy's update size", () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const p = plan({ ...shape, parameterization: "supar" });
        const proxy = plan({
          ...shape,
          parameterization: "supar",
          d_head: 1,
          width: shape.base_width,
          ffn_width: shape.base_ffn_width,
          sparsity: 1 - shape.base_density,
        });
        for (const name of HIDDEN) {
          const [here, there] = [groupOf(p, name), groupOf(proxy, name)];
          const inputs = here.fan_in * here.density;
          const proxyInputs = there.fan_in * there.density;
          // Sums over independent inputs: the variance of x·W; and Adam's aligned update, one learning rate per input.
          close(inputs * here.init_std! ** 2, proxyInputs * there.init_std! ** 2);
          close(inputs * here.learning_rate, proxyInputs * there.learning_rate);
        }
      }),
    );
  });

  it("decay is λ times the tensor's rate, or times the base rate, and no other tensor's", () => {
    fc.assert(
      fc.property(shapes, fc.constantFrom(...PARAMETERIZATIONS), (shape, parameterization) => {
        for (const group of plan({ ...shape, parameterization }).groups) {
          if (group.init_std === null) expect(group.decay_per_step).toBe(0);
          else if (shape.decay_mode === "constant") {
            // CompleteP's λ of hidden matrices grows with their width multiplier.
            const scaled =
              parameterization.endsWith("completep") && HIDDEN.some((name) => name === group.name);
            const base = group.name === "ffn_down" ? shape.base_ffn_width : shape.base_width;
            const lambda = shape.weight_decay * (scaled ? group.fan_in / base : 1);
            close(group.decay_per_step / group.learning_rate, lambda);
          } else close(group.decay_per_step / shape.learning_rate, shape.weight_decay);
        }
      }),
    );
  });
});
