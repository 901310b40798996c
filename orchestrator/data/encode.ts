/**
 * From a source to train.bin and validation.bin in a given directory. Documents are held out whole, spread over the
 * source; a text without documents and a token file give up their tail. Either way training reads no held-out token.
 */
import path from "node:path";
import { DATA_FILES } from "../../schema/data.ts";
import { badData } from "./errors.ts";
import { type Bytes, type ReadOptions, readBytes, readCorpus, readJsonLines } from "./read_source.ts";
import type { DataSpec } from "./spec.ts";
import { loadTokenizer, type TextEncoding } from "./tokenizers.ts";
import { bytesPerToken, dtypeOf, splitTail, type Tokens, TokenWriter } from "./write_tokens.ts";

export interface Encoded {
  tokenizer: string;
  vocab_size: number;
  train_tokens: number;
  validation_tokens: number;
  /** Bytes of text in both splits, separators not counted; null for token files. */
  text_bytes: number | null;
}

type TextSpec = Extract<DataSpec, { tokenizer: unknown }>;
type TokenSpec = Extract<DataSpec, { kind: "tokens" }>;

const placeOf = (spec: DataSpec): string => (spec.kind === "corpus" ? spec.corpus : spec.path);

async function closeAll(writers: readonly TokenWriter[]): Promise<void> {
  for (const writer of writers) await writer.close();
}

/**
 * A document is held out when, before it, the held-out share of the bytes is below the fraction: so the split is
 * deterministic, evenly spread, of the wished size whatever the lengths, and the first document is always for training.
 */
async function encodeDocuments(
  spec: TextSpec,
  documents: AsyncIterable<Bytes>,
  encoding: TextEncoding,
  directory: string,
): Promise<Encoded> {
  const dtype = dtypeOf(encoding.vocabSize);
  const train = await TokenWriter.create(path.join(directory, DATA_FILES.train), dtype);
  const validation = await TokenWriter.create(path.join(directory, DATA_FILES.validation), dtype);
  const separator = Uint16Array.of(encoding.separator);
  let count = 0;
  let total = 0;
  let held = 0;
  try {
    for await (const document of documents) {
      count += 1;
      if (document.length === 0) continue;
      const hold = held < total * spec.validation_fraction;
      const writer = hold ? validation : train;
      await writer.write(encoding.encode(document, `${placeOf(spec)}, document ${count}`));
      await writer.write(separator);
      total += document.length;
      if (hold) held += document.length;
    }
  } finally {
    await closeAll([train, validation]);
  }
  if (total > 0 && (held === 0 || held > total / 2)) {
    throw badData(
      `${placeOf(spec)}: ${count} document${count === 1 ? "" : "s"} cannot be split into training and validation`,
      "Whole documents are held out, so there must be several, none of them most of the text; " +
        "a single long text goes into a .txt file.",
    );
  }
  return {
    tokenizer: spec.tokenizer,
    vocab_size: encoding.vocabSize,
    train_tokens: train.count,
    validation_tokens: validation.count,
    text_bytes: total,
  };
}

/** Writes everything to the training file, then moves its tail to the validation file. */
async function encodeTail(
  chunks: AsyncIterable<Tokens>,
  vocabSize: number,
  fraction: number,
  directory: string,
  endsLine: (token: number) => boolean,
): Promise<[number, number]> {
  const dtype = dtypeOf(vocabSize);
  const train = path.join(directory, DATA_FILES.train);
  const writer = await TokenWriter.create(train, dtype);
  try {
    for await (const tokens of chunks) await writer.write(tokens);
  } finally {
    await writer.close();
  }
  const at = Math.floor(writer.count * (1 - fraction));
  return splitTail(train, path.join(directory, DATA_FILES.validation), dtype, at, endsLine);
}

async function encodeText(
  spec: Extract<DataSpec, { kind: "text" }>,
  encoding: TextEncoding,
  directory: string,
  options: ReadOptions,
): Promise<Encoded> {
  let total = 0;
  async function* counted(): AsyncGenerator<Bytes> {
    for await (const chunk of readBytes(spec.path, options)) {
      total += chunk.length;
      yield chunk;
    }
  }
  const [train_tokens, validation_tokens] = await encodeTail(
    encoding.encodeStream(counted(), spec.path),
    encoding.vocabSize,
    spec.validation_fraction,
    directory,
    encoding.endsLine,
  );
  return {
    tokenizer: spec.tokenizer,
    vocab_size: encoding.vocabSize,
    train_tokens,
    validation_tokens,
    text_bytes: total,
  };
}

/** The ids of a token file, each checked against the vocabulary. */
async function* readTokens(file: string, vocabSize: number, options: ReadOptions): AsyncGenerator<Tokens> {
  const dtype = dtypeOf(vocabSize);
  const size = bytesPerToken(dtype);
  let rest: Bytes = new Uint8Array(0);
  let position = 0;
  for await (const chunk of readBytes(file, options)) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const count = Math.floor(bytes.length / size);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const tokens = dtype === "uint16" ? new Uint16Array(count) : new Uint32Array(count);
    for (let i = 0; i < count; i += 1) {
      const token = dtype === "uint16" ? view.getUint16(i * size, true) : view.getUint32(i * size, true);
      if (token >= vocabSize) {
        throw badData(
          `${file}: token ${position + i} is ${token}, outside the vocabulary of ${vocabSize}`,
          `The file must hold ${dtype} ids below vocab_size, little-endian, without a header.`,
        );
      }
      tokens[i] = token;
    }
    position += count;
    rest = bytes.subarray(count * size);
    yield tokens;
  }
  if (rest.length > 0) {
    throw badData(
      `${file}: ends in the middle of a token (its length is no multiple of ${size} bytes)`,
      `With vocab_size ${vocabSize} the file must hold ${dtype} ids.`,
    );
  }
}

async function copyTokens(source: string, target: string, vocabSize: number, options: ReadOptions) {
  const writer = await TokenWriter.create(target, dtypeOf(vocabSize));
  try {
    for await (const tokens of readTokens(source, vocabSize, options)) await writer.write(tokens);
  } finally {
    await writer.close();
  }
  return writer.count;
}

async function encodeTokens(spec: TokenSpec, directory: string, options: ReadOptions): Promise<Encoded> {
  const { vocab_size } = spec;
  const base = { tokenizer: spec.tokenizer_name, vocab_size, text_bytes: null };
  if (spec.validation_path !== undefined) {
    const train = path.join(directory, DATA_FILES.train);
    const validation = path.join(directory, DATA_FILES.validation);
    const train_tokens = await copyTokens(spec.path, train, vocab_size, options);
    const validation_tokens = await copyTokens(spec.validation_path, validation, vocab_size, options);
    return { ...base, train_tokens, validation_tokens };
  }
  const [train_tokens, validation_tokens] = await encodeTail(
    readTokens(spec.path, vocab_size, options),
    vocab_size,
    spec.validation_fraction,
    directory,
    () => false,
  );
  return { ...base, train_tokens, validation_tokens };
}

/** @throws MusweepError when the source cannot be read, is empty, or is too short for both splits */
export async function encodeSource(
  spec: DataSpec,
  directory: string,
  options: ReadOptions,
): Promise<Encoded> {
  const encoded = await encode(spec, directory, options);
  const { train_tokens, validation_tokens } = encoded;
  if (train_tokens + validation_tokens === 0) throw badData(`${placeOf(spec)}: there is no text in the file`);
  // One prediction needs two tokens.
  for (const [split, tokens] of [
    ["training", train_tokens],
    ["validation", validation_tokens],
  ] as const) {
    if (tokens < 2) {
      throw badData(
        `${placeOf(spec)}: too short: the ${split} split would hold ${tokens} token${tokens === 1 ? "" : "s"}`,
        "Use more text, or another validation fraction.",
      );
    }
  }
  return encoded;
}

async function encode(spec: DataSpec, directory: string, options: ReadOptions): Promise<Encoded> {
  switch (spec.kind) {
    case "corpus":
      return encodeDocuments(
        spec,
        readCorpus(spec.corpus, options),
        await loadTokenizer(spec.tokenizer),
        directory,
      );
    case "jsonl":
      return encodeDocuments(
        spec,
        readJsonLines(spec.path, spec.field, options),
        await loadTokenizer(spec.tokenizer),
        directory,
      );
    case "text":
      return encodeText(spec, await loadTokenizer(spec.tokenizer), directory, options);
    case "tokens":
      return encodeTokens(spec, directory, options);
  }
}
