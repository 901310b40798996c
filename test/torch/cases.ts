/**
 * The plans on which the embedded trainer is held against PyTorch: every level of every factor alone, every pair of levels
 * of two factors in some case together, and a few corners. In each plan every tensor group has numbers of its own, so that
 * one used for another shows.
 */
import { modelGroups } from "../../schema/wire/model.ts";
import {
  BUILT_IN_TRAINER,
  type Plan,
  type PlanGroup,
  planSchema,
  type TensorGroup,
} from "../../schema/wire/plan.ts";

/** Levels of each factor; the first is the baseline's. */
export const FACTORS = {
  norm: ["rmsnorm", "layernorm"],
  embeddings: ["tied", "untied"],
  scale: ["1/d_head", "1/√d_head"],
  mask: ["dense", "exact", "bernoulli"],
  // A clip above every gradient norm must change nothing.
  clip: ["active clip", "no clip", "idle clip"],
  decay: ["no decay", "constant decay", "independent decay"],
  schedule: ["linear", "cosine", "constant"],
  warmup: ["warm-up 5", "warm-up 0", "warm-up 1"],
  positions: ["alibi", "no positions"],
  // 3, 5 and 6 are not powers of two: ALiBi's slopes then come from two sequences.
  heads: ["4 heads", "3 heads", "5 heads", "6 heads", "1 head"],
  passes: ["1 pass", "3 passes"],
  residual: ["residual × 1", "residual × 0.4"],
  epsilon: ["small ε", "large ε"],
} as const;

type Factor = keyof typeof FACTORS;
export type Levels = { readonly [F in Factor]: (typeof FACTORS)[F][number] };

export interface Case {
  readonly name: string;
  readonly plan: Plan;
}

/** What the data set is, for the plans. */
export interface CaseData {
  readonly hash: string;
  readonly vocab_size: number;
}

const factorNames = Object.keys(FACTORS) as Factor[];
const baseline = Object.fromEntries(factorNames.map((f) => [f, FACTORS[f][0]])) as Levels;

const WIDTHS: Record<Levels["heads"], { d_model: number; d_head: number }> = {
  "4 heads": { d_model: 64, d_head: 16 },
  "3 heads": { d_model: 48, d_head: 16 },
  "5 heads": { d_model: 60, d_head: 12 },
  "6 heads": { d_model: 48, d_head: 8 },
  "1 head": { d_model: 48, d_head: 48 },
};

const CLIPS: Record<Levels["clip"], number | null> = {
  "active clip": 0.25,
  "no clip": null,
  "idle clip": 1e4,
};

/** Learning rate over the base rate, initial standard deviation over the base one: different for every group. */
const GROUP_FACTORS: Record<TensorGroup, [rate: number, std: number]> = {
  embedding: [1, 0.6],
  attention_norm: [1.5, 0],
  attention_query: [0.5, 1.4],
  attention_key: [0.7, 1.2],
  attention_value: [0.9, 1],
  attention_output: [0.4, 0.5],
  ffn_norm: [1.3, 0],
  ffn_gate: [0.6, 0.9],
  ffn_up: [0.8, 1.1],
  ffn_down: [0.3, 0.7],
  final_norm: [1.2, 0],
  unembedding: [0.45, 0.8],
};
const BASE_RATE = 0.01;
const BASE_STD = 0.12;
const WEIGHT_DECAY = 0.5;
const DENSITY = 0.25;

const isNorm = (name: TensorGroup): boolean => name.endsWith("_norm");

function decayOf(mode: Levels["decay"], group: TensorGroup): number {
  const [rate] = GROUP_FACTORS[group];
  switch (mode) {
    case "no decay":
      return 0;
    case "constant decay":
      return rate * BASE_RATE * WEIGHT_DECAY;
    case "independent decay":
      return isNorm(group) ? 0 : BASE_RATE * WEIGHT_DECAY;
  }
}

function planOf(levels: Levels, data: CaseData, masked = DENSITY): Plan {
  const { d_model, d_head } = WIDTHS[levels.heads];
  const d_ffn = 80;
  const vocabulary = data.vocab_size;
  const tied_embeddings = levels.embeddings === "tied";
  return planSchema.parse({
    version: 2,
    trainer: { name: BUILT_IN_TRAINER, revision: "1" },
    precision: "float32",
    seed: 20240523,
    data: { hash: data.hash, vocab_size: vocabulary },
    shape: {
      layers: 2,
      d_model,
      d_head,
      d_ffn,
      sequence_length: 32,
      norm: levels.norm,
      norm_eps: 1e-5,
      positions: levels.positions === "alibi" ? "alibi" : "none",
      tied_embeddings,
    },
    forward: {
      embedding_multiplier: 3,
      residual_multiplier: levels.residual === "residual × 1" ? 1 : 0.4,
      attention_scale: levels.scale === "1/d_head" ? 1 / d_head : 1 / Math.sqrt(d_head),
      logits_multiplier: 0.7,
    },
    groups: modelGroups({ d_model, d_ffn, tied_embeddings }, vocabulary).map(({ kind, ...sizes }) => {
      const [rate, std] = GROUP_FACTORS[sizes.name];
      const density = levels.mask !== "dense" && kind === "hidden" ? masked : 1;
      return {
        ...sizes,
        init_std: kind === "norm" ? null : (std * BASE_STD) / Math.sqrt(density),
        learning_rate: rate * BASE_RATE,
        decay_per_step: decayOf(levels.decay, sizes.name),
        // Different for every group as well: rates differ.
        eps: (levels.epsilon === "small ε" ? 1e-8 : 3e-4) * rate,
        density,
      };
    }),
    mask: levels.mask === "bernoulli" ? "bernoulli" : "exact",
    optimizer: { name: "adamw", beta1: 0.9, beta2: 0.95 },
    clip_norm: CLIPS[levels.clip],
    schedule: {
      warmup_steps: Number(levels.warmup.slice("warm-up ".length)),
      decay: levels.schedule,
      final_fraction: 0.1,
    },
    steps: 50,
    batch_size: 6,
    micro_batch_size: levels.passes === "1 pass" ? null : 2,
    // 7 fill no whole number of passes.
    evaluation: { every_steps: 20, sequences: 7 },
    divergence: { patience_steps: 50 },
  } satisfies Plan);
}

/** Rows of levels in which every pair of levels of two factors occurs; greedy, always the same. */
export function coveringRows(): Levels[] {
  const key = (f: Factor, a: string, g: Factor, b: string): string => `${f}=${a} ${g}=${b}`;
  const open = new Map<string, readonly [Factor, string, Factor, string]>();
  factorNames.forEach((f, i) => {
    for (const g of factorNames.slice(i + 1))
      for (const a of FACTORS[f]) for (const b of FACTORS[g]) open.set(key(f, a, g, b), [f, a, g, b]);
  });
  const rows: Levels[] = [];
  for (let first = [...open.values()][0]; first !== undefined; first = [...open.values()][0]) {
    const [f, a, g, b] = first;
    const row: Partial<Record<Factor, string>> = { [f]: a, [g]: b };
    const gain = (factor: Factor, level: string): number =>
      (Object.entries(row) as [Factor, string][]).filter(
        ([other, l]) => open.has(key(other, l, factor, level)) || open.has(key(factor, level, other, l)),
      ).length;
    for (const factor of factorNames) {
      if (row[factor] !== undefined) continue;
      row[factor] = [...FACTORS[factor]].sort((x, y) => gain(factor, y) - gain(factor, x))[0]!;
    }
    for (const [pair, [pf, pa, pg, pb]] of open) if (row[pf] === pa && row[pg] === pb) open.delete(pair);
    rows.push(row as Levels);
  }
  return rows;
}

const describe = (levels: Levels): string => {
  const changed = factorNames.filter((f) => levels[f] !== baseline[f]).map((f) => levels[f]);
  return changed.length === 0 ? "baseline" : changed.join(", ");
};

function editGroups(plan: Plan, edits: Partial<Record<TensorGroup, Partial<PlanGroup>>>): Plan {
  return { ...plan, groups: plan.groups.map((g) => ({ ...g, ...edits[g.name] })) };
}

/** The plan at another width. */
function resized(plan: Plan, d_model: number, d_ffn: number, d_head: number): Plan {
  const size = (n: number): number =>
    n === plan.shape.d_model ? d_model : n === plan.shape.d_ffn ? d_ffn : n;
  return {
    ...plan,
    shape: { ...plan.shape, d_model, d_head, d_ffn },
    groups: plan.groups.map((g) => ({ ...g, fan_in: size(g.fan_in), fan_out: size(g.fan_out) })),
  };
}

/**
 * The embedded trainer keeps of a matrix the existing weights alone, up to density ½; the one above is masked. Widths that fill no
 * whole blocks, rows of tokens that fill no whole panel.
 */
const densities = (data: CaseData): Case[] =>
  Object.entries({ "0.51": 0.51, "½": 1 / 2, "⅛": 1 / 8, "1/16": 1 / 16, "1/64": 1 / 64 }).map(
    ([name, density], i) => {
      const levels: Levels = {
        ...baseline,
        mask: i % 2 === 0 ? "exact" : "bernoulli",
        decay: "constant decay",
      };
      const plan = resized(planOf(levels, data, density), 136, 200, 34);
      // As the fan-in grows by two, deviations and rates shrink.
      const groups = plan.groups.map((g) => ({
        ...g,
        init_std: g.init_std === null ? null : g.init_std / 2,
        learning_rate: 0.5 * g.learning_rate,
      }));
      return { name: `density ${name}`, plan: { ...plan, groups, batch_size: 5 } };
    },
  );

/** What no factor reaches. */
function corners(data: CaseData): Case[] {
  const plan = planOf(baseline, data);
  const layernorm = planOf({ ...baseline, norm: "layernorm", embeddings: "untied" }, data);
  return [
    {
      // 520 tokens: attention in blocks of queries, the last one short.
      name: "520 tokens",
      plan: {
        ...planOf({ ...baseline, heads: "3 heads" }, data),
        shape: { ...planOf({ ...baseline, heads: "3 heads" }, data).shape, sequence_length: 520 },
        batch_size: 2,
        evaluation: { every_steps: 20, sequences: 1 },
      },
    },
    {
      // With ε this large it matters where ε stands.
      name: "large ε in norm and optimizer",
      plan: {
        ...layernorm,
        shape: { ...layernorm.shape, norm_eps: 0.1 },
        optimizer: { name: "adamw", beta1: 0.8, beta2: 0.9 },
        groups: layernorm.groups.map((g) => ({ ...g, eps: 1e-3 })),
      },
    },
    {
      name: "large ε, rmsnorm",
      plan: {
        ...plan,
        shape: { ...plan.shape, norm_eps: 0.1 },
        optimizer: { name: "adamw", beta1: 0, beta2: 0.99 },
        groups: plan.groups.map((g) => ({ ...g, eps: 1e-2 })),
      },
    },
    {
      name: "rate falls to 0",
      plan: { ...plan, schedule: { warmup_steps: 10, decay: "linear", final_fraction: 0 } },
    },
    {
      name: "steps end inside the warm-up",
      plan: { ...plan, schedule: { warmup_steps: 60, decay: "cosine", final_fraction: 0.1 } },
    },
    {
      // Gradients that are exactly 0: of the keys, whose queries are 0, and of all around a matrix without weights.
      name: "zero queries, an empty matrix",
      plan: editGroups(plan, { attention_query: { init_std: 0 }, ffn_up: { density: 1e-5 } }),
    },
    {
      // Not 1: a softmax over one score has gradient 0, and what rounding leaves of that, AdamW scales up.
      name: "2 tokens, 1 sequence",
      plan: {
        ...plan,
        shape: { ...plan.shape, sequence_length: 2 },
        batch_size: 1,
        clip_norm: null,
        evaluation: { every_steps: null, sequences: 1 },
      },
    },
  ];
}

/** A model of the size of real sweeps. */
const large = (data: CaseData): Case => {
  const plan = resized(planOf({ ...baseline, mask: "exact", decay: "constant decay" }, data), 256, 688, 64);
  return {
    name: "d 256, 4 layers, 256 tokens",
    plan: {
      ...plan,
      shape: { ...plan.shape, layers: 4, sequence_length: 256 },
      forward: { ...plan.forward, attention_scale: 1 / 64 },
      groups: plan.groups.map((g) => ({
        ...g,
        init_std: g.init_std === null ? null : g.init_std / 2,
        learning_rate: 0.3 * g.learning_rate,
      })),
      batch_size: 8,
    },
  };
};

/** @param full with one larger model, which takes minutes */
export function cases(data: CaseData, full: boolean): Case[] {
  const single = factorNames.flatMap((f) =>
    FACTORS[f].slice(1).map((level) => ({ ...baseline, [f]: level }) as Levels),
  );
  const rows = new Map([baseline, ...single, ...coveringRows()].map((levels) => [describe(levels), levels]));
  return [
    ...[...rows].map(([name, levels]) => ({ name, plan: planOf(levels, data) })),
    ...densities(data),
    ...corners(data),
    ...(full ? [large(data)] : []),
  ];
}
