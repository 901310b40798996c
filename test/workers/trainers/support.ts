/** Plans and small data sets for the trainer's tests. */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { DATA_FILES, type DataMeta } from "../../../schema/data.ts";
import type { Plan, PlanGroup, TensorGroup } from "../../../schema/plan.ts";

export interface PlanOptions {
  readonly shape?: Partial<Plan["shape"]>;
  readonly vocabulary?: number;
  readonly hash?: string;
  readonly learningRate?: number;
  readonly decayPerStep?: number;
  readonly initStd?: number;
  /** Of the projections. */
  readonly density?: number;
  /** Everything else of the plan, as it is. */
  readonly plan?: Partial<Omit<Plan, "shape" | "data" | "groups" | "version">>;
}

/** A small model that trains in milliseconds; every option changes one thing. */
export function makePlan(options: PlanOptions = {}): Plan {
  const shape: Plan["shape"] = {
    layers: 2,
    d_model: 12,
    d_head: 4,
    d_ffn: 16,
    sequence_length: 8,
    norm: "rmsnorm",
    norm_eps: 1e-5,
    positions: "alibi",
    tied_embeddings: true,
    ...options.shape,
  };
  const vocabulary = options.vocabulary ?? 11;
  const { d_model: c, d_ffn: f } = shape;
  const group = (name: TensorGroup, fan_in: number, fan_out: number): PlanGroup => ({
    name,
    fan_in,
    fan_out,
    init_std: name.endsWith("norm") ? null : (options.initStd ?? 0.2),
    learning_rate: options.learningRate ?? 0.01,
    decay_per_step: options.decayPerStep ?? 0,
    density: /^(attention|ffn)_(?!norm)/.test(name) ? (options.density ?? 1) : 1,
  });
  return {
    version: 1,
    seed: 7,
    data: { hash: options.hash ?? "0123456789abcdef", vocab_size: vocabulary },
    shape,
    forward: { embedding_multiplier: 2, attention_scale: 1 / shape.d_head, logits_multiplier: 0.8 },
    groups: [
      group("embedding", vocabulary, c),
      group("attention_norm", c, c),
      group("attention_query", c, c),
      group("attention_key", c, c),
      group("attention_value", c, c),
      group("attention_output", c, c),
      group("ffn_norm", c, c),
      group("ffn_gate", c, f),
      group("ffn_up", c, f),
      group("ffn_down", f, c),
      group("final_norm", c, c),
      ...(shape.tied_embeddings ? [] : [group("unembedding", c, vocabulary)]),
    ],
    mask: "exact",
    optimizer: { name: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 },
    clip_norm: 1,
    schedule: { warmup_steps: 3, decay: "linear", final_fraction: 0.1 },
    steps: 12,
    batch_size: 4,
    micro_batch_size: null,
    evaluation: { every_steps: null, sequences: 6 },
    divergence: { patience_steps: 50 },
    ...options.plan,
  };
}

/** A directory that the test's end removes. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "musweep-test-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/**
 * A data set with structure to learn: token i+1 is mostly a fixed function of token i.
 * @returns its hash, the name of its folder in `directory`
 */
export function writeData(
  directory: string,
  vocabulary = 11,
  tokens = 4000,
  dtype: DataMeta["dtype"] = "uint16",
): string {
  let state = 12345;
  const next = (bound: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % bound;
  };
  const ids = new Array<number>(tokens).fill(0);
  for (let i = 1; i < tokens; i++)
    ids[i] = next(10) === 0 ? next(vocabulary) : (ids[i - 1]! * 3 + 1) % vocabulary;
  const pack = (part: readonly number[]): Buffer =>
    Buffer.from((dtype === "uint16" ? Uint16Array : Uint32Array).from(part).buffer);
  const cut = Math.floor(tokens * 0.9);
  const [train, validation] = [ids.slice(0, cut), ids.slice(cut)];
  const hash = createHash("sha256").update(pack(ids)).digest("hex").slice(0, 32);
  const meta: DataMeta = {
    version: 1,
    hash,
    source: "a linear congruential rule with noise",
    tokenizer: "none",
    vocab_size: vocabulary,
    dtype,
    train_tokens: train.length,
    validation_tokens: validation.length,
    text_bytes: null,
  };
  const folder = join(directory, hash);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, DATA_FILES.meta), JSON.stringify(meta));
  writeFileSync(join(folder, DATA_FILES.train), pack(train));
  writeFileSync(join(folder, DATA_FILES.validation), pack(validation));
  return hash;
}
