/** Plans and small data sets for the trainer's tests. */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { DATA_FILES, type DataMeta } from "../../../schema/wire/data.ts";
import { modelGroups } from "../../../schema/wire/model.ts";
import { BUILT_IN_TRAINER, type Plan } from "../../../schema/wire/plan.ts";

export interface PlanOptions {
  readonly shape?: Partial<Plan["shape"]>;
  readonly vocabulary?: number;
  readonly hash?: string;
  readonly learningRate?: number;
  readonly decayPerStep?: number;
  readonly initStd?: number;
  readonly eps?: number;
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
  return {
    version: 2,
    trainer: { name: BUILT_IN_TRAINER, revision: "1" },
    precision: "float32",
    seed: 7,
    data: { hash: options.hash ?? "0123456789abcdef", vocab_size: vocabulary },
    shape,
    forward: {
      embedding_multiplier: 2,
      residual_multiplier: 1,
      attention_scale: 1 / shape.d_head,
      logits_multiplier: 0.8,
    },
    groups: modelGroups(shape, vocabulary).map(({ kind, ...sizes }) => ({
      ...sizes,
      init_std: kind === "norm" ? null : (options.initStd ?? 0.2),
      learning_rate: options.learningRate ?? 0.01,
      decay_per_step: options.decayPerStep ?? 0,
      eps: options.eps ?? 1e-8,
      density: kind === "hidden" ? (options.density ?? 1) : 1,
    })),
    mask: "exact",
    optimizer: { name: "adamw", beta1: 0.9, beta2: 0.95 },
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

/** What a data set is called (schema/wire/data.ts). */
function dataHash(tokenizer: string, vocabulary: number, ...files: readonly Buffer[]): string {
  const hash = createHash("sha256").update(`${tokenizer}\n${vocabulary}`);
  for (const file of files) hash.update(`\n${file.length}\n`).update(file);
  return hash.digest("hex").slice(0, 32);
}

/** Calls a data set what its bytes say, whatever was done to them. @returns its new hash */
export function renameData(directory: string, old: string): string {
  const at = (name: keyof typeof DATA_FILES): string => join(directory, old, DATA_FILES[name]);
  const meta = JSON.parse(readFileSync(at("meta"), "utf8")) as DataMeta;
  const hash = dataHash(
    meta.tokenizer,
    meta.vocab_size,
    readFileSync(at("train")),
    readFileSync(at("validation")),
  );
  writeFileSync(at("meta"), JSON.stringify({ ...meta, hash }));
  renameSync(join(directory, old), join(directory, hash));
  return hash;
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
  const hash = dataHash("none", vocabulary, pack(train), pack(validation));
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
