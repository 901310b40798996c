/**
 * Tokens for training and validation: reads sequences by position from the flat token files, so a corpus of any size costs
 * no memory, and a batch is a pure function of (seed, step).
 */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { DATA_FILES, type DataMeta, dataMetaSchema } from "../../../schema/wire/data.ts";
import { MusweepError } from "../../../schema/wire/errors.ts";
import type { Plan } from "../../../schema/wire/plan.ts";
import { openRegularSync } from "../../../schema/wire/regular-file.ts";
import { RandomStream } from "./philox.ts";

const BYTES_PER_TOKEN = { uint16: 2, uint32: 4 } as const;

/** One token file, open for reading. */
class TokenFile {
  readonly tokens: number;
  readonly #path: string;
  readonly #handle: number;
  readonly #dtype: DataMeta["dtype"];
  readonly #vocabulary: number;
  /** Of a sequence. One for all of them: Node's collector lets many megabytes of them wait. */
  readonly #bytes: Buffer;

  /** @param length tokens of a sequence */
  constructor(path: string, meta: DataMeta, expectedTokens: number, length: number) {
    this.#path = path;
    this.#dtype = meta.dtype;
    this.#vocabulary = meta.vocab_size;
    this.#bytes = Buffer.alloc(length * BYTES_PER_TOKEN[meta.dtype]);
    this.#handle = openOrExplain(path);
    this.tokens = fstatSync(this.#handle).size / BYTES_PER_TOKEN[meta.dtype];
    if (this.tokens !== expectedTokens) {
      this.close();
      throw mismatch(`${path} holds ${this.tokens} tokens; ${DATA_FILES.meta} says ${expectedTokens}.`);
    }
  }

  /** A sequence of tokens from `offset`. */
  read(out: Int32Array, offset: number): void {
    const bytes = this.#bytes;
    const position = offset * BYTES_PER_TOKEN[this.#dtype];
    let done = 0;
    while (done < bytes.length) {
      const n = readSync(this.#handle, bytes, done, bytes.length - done, position + done);
      if (n === 0) throw mismatch(`${this.#path} ends before token ${offset + out.length}.`);
      done += n;
    }
    for (let i = 0; i < out.length; i++) {
      const token = this.#dtype === "uint16" ? bytes.readUInt16LE(2 * i) : bytes.readUInt32LE(4 * i);
      if (token >= this.#vocabulary)
        throw mismatch(`${this.#path} holds token ${token}; the vocabulary ends at ${this.#vocabulary - 1}.`);
      out[i] = token;
    }
  }

  /** All of its bytes, preceded by their number. */
  hashInto(hash: ReturnType<typeof createHash>): void {
    const { size } = fstatSync(this.#handle);
    hash.update(`\n${size}\n`);
    const buffer = Buffer.allocUnsafe(1 << 16);
    for (let at = 0, n = 1; n > 0; at += n) {
      n = readSync(this.#handle, buffer, 0, buffer.length, at);
      hash.update(buffer.subarray(0, n));
    }
  }

  /** What tells this state of the file from any other, as far as the file system knows. */
  stamp(): string {
    const { dev, ino, size, mtimeNs, ctimeNs } = fstatSync(this.#handle, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
  }

  close(): void {
    closeSync(this.#handle);
  }
}

/** Data sets that this process has read in full, and found to be what they are called, by the state of their files. */
const verified = new Set<string>();

/** The name of a data set is a hash of its bytes: one that has changed on its disk would train other models than the plan says. */
function verify(directory: string, meta: DataMeta, files: readonly TokenFile[]): void {
  const state = [meta.hash, ...files.map((file) => file.stamp())].join(" ");
  if (verified.has(state)) return;
  const hash = createHash("sha256").update(`${meta.tokenizer}\n${meta.vocab_size}`);
  for (const file of files) file.hashInto(hash);
  const found = hash.digest("hex").slice(0, meta.hash.length);
  if (found !== meta.hash) throw mismatch(`${directory} is damaged: its bytes are those of ${found}.`);
  verified.add(state);
}

const mismatch = (
  message: string,
  remedy = "Prepare the data set again (musweep data prepare).",
): MusweepError => new MusweepError("data-mismatch", message, { kind: "unavailable", remedy });

function openOrExplain(path: string): number {
  try {
    return openRegularSync(path);
  } catch (cause) {
    throw new MusweepError("data-missing", `${path} cannot be read: ${(cause as Error).message}`, {
      kind: "unavailable",
      remedy: "Prepare the data set on this host, or point data_directory at it.",
      cause,
    });
  }
}

function readMeta(directory: string, plan: Plan): DataMeta {
  const path = join(directory, DATA_FILES.meta);
  const handle = openOrExplain(path);
  let parsed: ReturnType<typeof dataMetaSchema.safeParse>;
  try {
    parsed = dataMetaSchema.safeParse(JSON.parse(readFileSync(handle, "utf8")));
  } catch (cause) {
    throw mismatch(`${path} is not JSON: ${(cause as Error).message}`);
  } finally {
    closeSync(handle);
  }
  if (!parsed.success) throw mismatch(`${path} does not describe a data set: ${parsed.error.message}`);
  const meta = parsed.data;
  if (meta.hash !== plan.data.hash)
    throw mismatch(`${path} describes data ${meta.hash}; the plan wants ${plan.data.hash}.`);
  if (meta.vocab_size !== plan.data.vocab_size)
    throw mismatch(`${path} has a vocabulary of ${meta.vocab_size}; the plan wants ${plan.data.vocab_size}.`);
  return meta;
}

/** A run's view of its data set. Sequences have T + 1 tokens: T inputs, and the same shifted by one as targets. */
export class DataSource {
  readonly #plan: Plan;
  readonly #train: TokenFile;
  readonly #validation: TokenFile;
  readonly #stream: RandomStream;
  readonly #sequence: Int32Array;

  /** @throws MusweepError "data-missing" or "data-mismatch" */
  constructor(plan: Plan, dataDirectory: string) {
    const directory = join(dataDirectory, plan.data.hash);
    const meta = readMeta(directory, plan);
    this.#plan = plan;
    this.#stream = new RandomStream(plan.seed, "data");
    this.#sequence = new Int32Array(plan.shape.sequence_length + 1);
    const length = this.#sequence.length;
    const open = (name: "train" | "validation", tokens: number): TokenFile =>
      new TokenFile(join(directory, DATA_FILES[name]), meta, tokens, length);
    this.#train = open("train", meta.train_tokens);
    try {
      this.#validation = open("validation", meta.validation_tokens);
    } catch (error) {
      this.#train.close();
      throw error;
    }
    for (const [name, file] of [["train", this.#train] as const, ["validation", this.#validation] as const]) {
      if (file.tokens >= length) continue;
      this.close();
      throw mismatch(
        `The ${name} split has ${file.tokens} tokens; a sequence needs ${length}.`,
        "Train on a longer text, with a shorter sequence_length, or with another validation_fraction.",
      );
    }
    try {
      verify(directory, meta, [this.#train, this.#validation]);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * First token of sequence `index` of step t's batch: uniform over the training split, drawn by stream `data` at
   * position (t − 1)·batch_size + index.
   */
  trainingOffset(t: number, index: number): number {
    const starts = this.#train.tokens - this.#sequence.length + 1;
    return this.#stream.integerBelow(starts, (t - 1) * this.#plan.batch_size + index);
  }

  /** First token of validation sequence `index`: evenly spaced over the held-out split, the same for every seed. */
  validationOffset(index: number): number {
    const last = this.#validation.tokens - this.#sequence.length;
    const { sequences } = this.#plan.evaluation;
    return sequences === 1 ? 0 : Math.floor((index * last) / (sequences - 1));
  }

  /**
   * Sequences first … first + count − 1 of step t's batch.
   * @param inputs, targets at least count·T elements each, row-major [count, T]
   */
  trainingSequences(t: number, first: number, count: number, inputs: Int32Array, targets: Int32Array): void {
    for (let i = 0; i < count; i++)
      this.#place(this.#train, this.trainingOffset(t, first + i), i, inputs, targets);
  }

  /** As trainingSequences, from the validation split; indices past the last sequence repeat the last. */
  validationSequences(first: number, count: number, inputs: Int32Array, targets: Int32Array): void {
    const last = this.#plan.evaluation.sequences - 1;
    for (let i = 0; i < count; i++)
      this.#place(this.#validation, this.validationOffset(Math.min(first + i, last)), i, inputs, targets);
  }

  #place(file: TokenFile, offset: number, row: number, inputs: Int32Array, targets: Int32Array): void {
    const t = this.#plan.shape.sequence_length;
    file.read(this.#sequence, offset);
    inputs.set(this.#sequence.subarray(0, t), row * t);
    targets.set(this.#sequence.subarray(1), row * t);
  }

  close(): void {
    this.#train.close();
    this.#validation.close();
  }
}

/** The tokens of step t's whole batch, each [batch_size, sequence_length] row-major. */
export function batchTokens(
  plan: Plan,
  dataDirectory: string,
  t: number,
): { inputs: Int32Array; targets: Int32Array } {
  const size = plan.batch_size * plan.shape.sequence_length;
  const batch = { inputs: new Int32Array(size), targets: new Int32Array(size) };
  const source = new DataSource(plan, dataDirectory);
  try {
    source.trainingSequences(t, 0, plan.batch_size, batch.inputs, batch.targets);
    return batch;
  } finally {
    source.close();
  }
}
