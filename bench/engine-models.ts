/** The models that the engine is measured on, as plans; and random tokens for them to train on. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DATA_FILES, type DataMeta } from "../schema/data.ts";
import type { Plan, PlanGroup, TensorGroup } from "../schema/plan.ts";

export interface Model {
  readonly name: string;
  readonly plan: Plan;
  /** Share of the MatMul peak, and ratio to PyTorch, that the engine is meant to reach. */
  readonly target: { readonly peak: number; readonly torch: number } | null;
}

interface Size {
  readonly width: number;
  readonly layers: number;
  readonly dHead?: number;
  readonly dFfn?: number;
  readonly length?: number;
  readonly batch?: number;
  readonly microBatch?: number;
  readonly vocabulary?: number;
  readonly density?: number;
  readonly steps?: number;
  readonly evaluated?: number;
  readonly target?: Model["target"];
}

const GPT2_VOCABULARY = 50_257;
const DATA_HASH = "0123456789abcdef";

function planOf(size: Size): Plan {
  const {
    width: c,
    layers,
    dHead = 64,
    dFfn = 16 * Math.ceil(c / 6),
    length = 256,
    batch = 8,
    density = 1,
  } = size;
  const vocabulary = size.vocabulary ?? 256;
  const group = (name: TensorGroup, fan_in: number, fan_out: number): PlanGroup => ({
    name,
    fan_in,
    fan_out,
    init_std: name.endsWith("norm") ? null : 0.02,
    learning_rate: 1e-3,
    decay_per_step: 1e-4,
    density: /^(attention|ffn)_(?!norm)/.test(name) ? density : 1,
  });
  return {
    version: 1,
    seed: 1,
    data: { hash: DATA_HASH, vocab_size: vocabulary },
    shape: {
      layers,
      d_model: c,
      d_head: dHead,
      d_ffn: dFfn,
      sequence_length: length,
      norm: "rmsnorm",
      norm_eps: 1e-5,
      positions: "alibi",
      tied_embeddings: true,
    },
    forward: { embedding_multiplier: 1, attention_scale: 1 / Math.sqrt(dHead), logits_multiplier: 1 },
    groups: [
      group("embedding", vocabulary, c),
      group("attention_norm", c, c),
      group("attention_query", c, c),
      group("attention_key", c, c),
      group("attention_value", c, c),
      group("attention_output", c, c),
      group("ffn_norm", c, c),
      group("ffn_gate", c, dFfn),
      group("ffn_up", c, dFfn),
      group("ffn_down", dFfn, c),
      group("final_norm", c, c),
    ],
    mask: "exact",
    optimizer: { name: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 },
    clip_norm: 1,
    schedule: { warmup_steps: 10, decay: "linear", final_fraction: 0.1 },
    steps: size.steps ?? 1000,
    batch_size: batch,
    micro_batch_size: size.microBatch ?? null,
    evaluation: { every_steps: null, sequences: size.evaluated ?? 256 },
    divergence: { patience_steps: 1_000_000 },
  };
}

const model = (name: string, size: Size): Model => ({
  name,
  plan: planOf(size),
  target: size.target ?? null,
});

export const MODELS: readonly Model[] = [
  // sweeps/quickstart.yaml: 180 steps, SwiGLU of 8/3 the width in multiples of 16, density 1/4.
  model("quickstart", {
    width: 128,
    layers: 2,
    dHead: 32,
    length: 128,
    batch: 8,
    density: 0.25,
    steps: 180,
    evaluated: 128,
  }),
  model("d64 L2", { width: 64, layers: 2, dHead: 32, target: { peak: 0.5, torch: 1.6 } }),
  model("d128 L4", { width: 128, layers: 4, target: { peak: 0.65, torch: 1.6 } }),
  model("d256 L4", { width: 256, layers: 4, target: { peak: 0.75, torch: 1.6 } }),
  model("d512 L6", { width: 512, layers: 6, target: { peak: 0.85, torch: 1.6 } }),
  model("d512 L4 50k", {
    width: 512,
    layers: 4,
    length: 512,
    batch: 4,
    vocabulary: GPT2_VOCABULARY,
    target: { peak: 0.88, torch: 2.2 },
  }),
  // sweeps/proxy-40m.yaml, one pass of its batch.
  model("d256 L24 50k", {
    width: 256,
    layers: 24,
    dFfn: 1024,
    length: 512,
    batch: 4,
    vocabulary: GPT2_VOCABULARY,
    target: { peak: 0.88, torch: 2.2 },
  }),
];

/** Writes uniformly random tokens where the model's plan looks for its data. @returns the data directory */
export function writeRandomData(root: string, { name, plan }: Model): string {
  const directory = join(root, name.replaceAll(" ", "-"));
  const folder = join(directory, plan.data.hash);
  mkdirSync(folder, { recursive: true });
  const tokens = (count: number): Buffer =>
    Buffer.from(
      Uint16Array.from({ length: count }, () => Math.floor(Math.random() * plan.data.vocab_size)).buffer,
    );
  const sizes = { train: 2_000_000, validation: 200_000 };
  const meta: DataMeta = {
    version: 1,
    hash: plan.data.hash,
    source: "uniformly random tokens",
    tokenizer: "none",
    vocab_size: plan.data.vocab_size,
    dtype: "uint16",
    train_tokens: sizes.train,
    validation_tokens: sizes.validation,
    text_bytes: null,
  };
  writeFileSync(join(folder, DATA_FILES.meta), JSON.stringify(meta));
  writeFileSync(join(folder, DATA_FILES.train), tokens(sizes.train));
  writeFileSync(join(folder, DATA_FILES.validation), tokens(sizes.validation));
  return directory;
}
