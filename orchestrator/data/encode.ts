/**
 * From a source to train.bin and validation.bin in a given directory. Documents are held out whole, spread over the
 * source; a text without documents and a token file give up their tail. Either way training reads no held-out token.
 */
import { stat } from "node:fs/promises";
import path from "node:path";
import { DATA_FILES } from "../../schema/data.ts";
import { badData } from "./errors.ts";
import { type Bytes, type ReadOptions, readBytes, readCorpus, readJsonLines } from "./read-source.ts";
import { type DataSpec, isJsonLines, placeOf, type TextSource, type TokenSource } from "./spec.ts";
import { loadTokenizer, type TextEncoding } from "./tokenizers.ts";
import { bytesPerToken, dtypeOf, splitTail, type Tokens, TokenWriter } from "./write-tokens.ts";

export interface Encoded {
  tokenizer: string;
  vocab_size: number;
  train_tokens: number;
  validation_tokens: number;
  /** Bytes of text in both splits, separators not counted; null for token files. */
  text_bytes: number | null;
}

async function closeAll(writers: readonly TokenWriter[]): Promise<void> {
  for (const writer of writers) await writer.close();
}

/**
 * A document is held out when, before it, the held-out share of the bytes is below the fraction: so the split is
 * deterministic, evenly spread, of the wished size whatever the lengths, and the first document is always for training.
 */
async function encodeDocuments(
  spec: TextSource,
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
  spec: Extract<TextSource, { file: string }>,
  encoding: TextEncoding,
  directory: string,
  options: ReadOptions,
): Promise<Encoded> {
  let total = 0;
  async function* counted(): AsyncGenerator<Bytes> {
    for await (const chunk of readBytes(spec.file, options)) {
      total += chunk.length;
      yield chunk;
    }
  }
  const [train_tokens, validation_tokens] = await encodeTail(
    encoding.encodeStream(counted(), spec.file),
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
async function* readTokens(file: string, spec: TokenSource, options: ReadOptions): AsyncGenerator<Tokens> {
  const { dtype, vocab_size } = spec;
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
      if (token >= vocab_size) {
        throw badData(
          `${file}: token ${position + i} is ${token}, outside the vocabulary of ${vocab_size}`,
          `The file must hold little-endian ${dtype} ids below vocab_size and no header; check vocab_size and dtype.`,
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
      `The file must hold ${dtype} ids and nothing else; check dtype.`,
    );
  }
}

async function copyTokens(
  file: string,
  target: string,
  spec: TokenSource,
  options: ReadOptions,
): Promise<number> {
  const writer = await TokenWriter.create(target, dtypeOf(spec.vocab_size));
  try {
    for await (const tokens of readTokens(file, spec, options)) await writer.write(tokens);
  } finally {
    await writer.close();
  }
  return writer.count;
}

async function encodeTokens(spec: TokenSource, directory: string, options: ReadOptions): Promise<Encoded> {
  const { vocab_size } = spec;
  if (spec.dtype === "uint16" && vocab_size > 1 << 16) {
    throw badData(
      `${spec.tokens}: uint16 ids cannot reach a vocab_size of ${vocab_size}`,
      "Set dtype: uint32, or correct vocab_size.",
    );
  }
  const base = { tokenizer: "tokens", vocab_size, text_bytes: null };
  if (spec.validation_tokens !== undefined) {
    const [train, validation] = [DATA_FILES.train, DATA_FILES.validation].map((name) =>
      path.join(directory, name),
    );
    const train_tokens = await copyTokens(spec.tokens, train!, spec, options);
    const { size } = await stat(spec.tokens);
    const onRead = options.onRead && ((bytes: number) => options.onRead?.(size + bytes));
    const validation_tokens = await copyTokens(spec.validation_tokens, validation!, spec, {
      ...options,
      onRead,
    });
    return { ...base, train_tokens, validation_tokens };
  }
  const [train_tokens, validation_tokens] = await encodeTail(
    readTokens(spec.tokens, spec, options),
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
  if ("tokens" in spec) return encodeTokens(spec, directory, options);
  const encoding = await loadTokenizer(spec.tokenizer);
  if ("corpus" in spec) return encodeDocuments(spec, readCorpus(spec.corpus, options), encoding, directory);
  return isJsonLines(spec.file)
    ? encodeDocuments(spec, readJsonLines(spec.file, spec.field, options), encoding, directory)
    : encodeText(spec, encoding, directory, options);
}
