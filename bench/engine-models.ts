/** The models that the engine is measured on, as plans; and random tokens for them to train on. */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DATA_FILES, type DataMeta } from "../schema/wire/data.ts";
import { modelGroups } from "../schema/wire/model.ts";
import { BUILT_IN_TRAINER, type Plan } from "../schema/wire/plan.ts";

export interface Model {
  readonly name: string;
  readonly plan: Plan;
  /** Share of what the multipliers can do in registers, and ratio to PyTorch, that the engine is meant to reach. */
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

interface RandomData {
  train: Buffer;
  validation: Buffer;
  /** As the trainer verifies it (schema/wire/data.ts). */
  hash: string;
}
const randomData = new Map<number, RandomData>();

/** Uniformly random tokens, the same ones in this process for every model with the vocabulary. */
function dataOf(vocabulary: number): RandomData {
  const known = randomData.get(vocabulary);
  if (known !== undefined) return known;
  const tokens = (count: number): Buffer =>
    Buffer.from(Uint16Array.from({ length: count }, () => Math.floor(Math.random() * vocabulary)).buffer);
  const [train, validation] = [tokens(2_000_000), tokens(200_000)];
  const hash = createHash("sha256").update(`none\n${vocabulary}`);
  for (const file of [train, validation]) hash.update(`\n${file.length}\n`).update(file);
  const made = { train, validation, hash: hash.digest("hex").slice(0, 32) };
  randomData.set(vocabulary, made);
  return made;
}

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
  const tied_embeddings = true;
  return {
    version: 2,
    trainer: { name: BUILT_IN_TRAINER, revision: "1" },
    precision: "float32",
    seed: 1,
    data: { hash: dataOf(vocabulary).hash, vocab_size: vocabulary },
    shape: {
      layers,
      d_model: c,
      d_head: dHead,
      d_ffn: dFfn,
      sequence_length: length,
      norm: "rmsnorm",
      norm_eps: 1e-5,
      positions: "alibi",
      tied_embeddings,
    },
    forward: {
      embedding_multiplier: 1,
      residual_multiplier: 1,
      attention_scale: 1 / Math.sqrt(dHead),
      logits_multiplier: 1,
    },
    groups: modelGroups({ d_model: c, d_ffn: dFfn, tied_embeddings }, vocabulary).map(
      ({ kind, ...sizes }) => ({
        ...sizes,
        init_std: kind === "norm" ? null : 0.02,
        learning_rate: 1e-3,
        decay_per_step: 1e-4,
        eps: 1e-8,
        density: kind === "hidden" ? density : 1,
      }),
    ),
    mask: "exact",
    optimizer: { name: "adamw", beta1: 0.9, beta2: 0.95 },
    clip_norm: 1,
    schedule: { warmup_steps: 10, decay: "linear", final_fraction: 0.1 },
    steps: size.steps ?? 1000,
    batch_size: batch,
    micro_batch_size: size.microBatch ?? null,
    evaluation: { every_steps: null, sequences: size.evaluated ?? 256 },
    divergence: { patience_steps: 1_000_000 },
  };
}

/** The plan with another density of the blocks' matrices. */
export const withDensity = (plan: Plan, density: number): Plan => ({
  ...plan,
  groups: plan.groups.map((g) => (/^(attention|ffn)_(?!norm)/.test(g.name) ? { ...g, density } : g)),
});

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
  model("d64 L2", { width: 64, layers: 2, dHead: 32, target: { peak: 0.63, torch: 1.2 } }),
  model("d128 L4", { width: 128, layers: 4, target: { peak: 0.75, torch: 1.2 } }),
  model("d256 L4", { width: 256, layers: 4, target: { peak: 0.8, torch: 1.2 } }),
  model("d512 L6", { width: 512, layers: 6, target: { peak: 0.85, torch: 1.2 } }),
  model("d512 L4 50k", {
    width: 512,
    layers: 4,
    length: 512,
    batch: 4,
    vocabulary: GPT2_VOCABULARY,
    target: { peak: 0.85, torch: 1.2 },
  }),
  // sweeps/proxy-40m.yaml, one pass of its batch.
  model("d256 L24 50k", {
    width: 256,
    layers: 24,
    dFfn: 1024,
    length: 512,
    batch: 4,
    vocabulary: GPT2_VOCABULARY,
    target: { peak: 0.85, torch: 1.2 },
  }),
];

/** Writes uniformly random tokens where the model's plan looks for its data. @returns the data directory */
export function writeRandomData(root: string, { name, plan }: Model): string {
  const directory = join(root, name.replaceAll(" ", "-"));
  const folder = join(directory, plan.data.hash);
  mkdirSync(folder, { recursive: true });
  const { train, validation } = dataOf(plan.data.vocab_size);
  const meta: DataMeta = {
    version: 1,
    hash: plan.data.hash,
    source: "uniformly random tokens",
    tokenizer: "none",
    vocab_size: plan.data.vocab_size,
    dtype: "uint16",
    train_tokens: train.length / 2,
    validation_tokens: validation.length / 2,
    text_bytes: null,
  };
  writeFileSync(join(folder, DATA_FILES.meta), JSON.stringify(meta));
  writeFileSync(join(folder, DATA_FILES.train), train);
  writeFileSync(join(folder, DATA_FILES.validation), validation);
  return directory;
}
