/**
 * From a source to train.bin and validation.bin in a given directory. Documents are held out whole, spread over the
 * source; a text without documents and a token file give up their tail. Either way training reads no held-out token.
 */
import { stat } from "node:fs/promises";
import path from "node:path";
import { DATA_FILES } from "../../schema/wire/data.ts";
import { type Encoder, encodeInOrder, openEncoder } from "./encode-pieces.ts";
import { badData } from "./errors.ts";
import { readJsonLines } from "./json-lines.ts";
import {
  type Bytes,
  type Document,
  nothingExpanded,
  type ReadOptions,
  readBytes,
  readCorpus,
} from "./read-source.ts";
import { readTokens } from "./read-tokens.ts";
import {
  type DataSpec,
  type FileSource,
  type FilesSource,
  isJsonLines,
  placeOf,
  type TextSource,
  type TokenSource,
} from "./spec.ts";
import type { Piece } from "./tokenizers.ts";
import { dtypeOf, splitTail, type Tokens, TokenWriter } from "./write-tokens.ts";

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
  documents: AsyncIterable<Document>,
  encoder: Encoder,
  directory: string,
): Promise<Encoded> {
  const { encoding } = encoder;
  const { limit_tokens = Number.POSITIVE_INFINITY } = spec;
  const dtype = dtypeOf(encoding.vocabSize);
  const train = await TokenWriter.create(path.join(directory, DATA_FILES.train), dtype);
  const validation = await TokenWriter.create(path.join(directory, DATA_FILES.validation), dtype);
  const separator = Uint16Array.of(encoding.separator);
  let count = 0;
  let total = 0;
  let held = 0;
  let isCut = false;
  /** Of all documents, with an empty one after the last of each. */
  async function* pieces(): AsyncGenerator<{ piece: Piece; hold: boolean; ends: boolean }> {
    for await (const { chunks, place } of documents) {
      count += 1;
      const before = total;
      const hold = held < total * spec.validation_fraction;
      const counted = async function* () {
        for await (const chunk of chunks) {
          total += chunk.length;
          if (hold) held += chunk.length;
          yield chunk;
        }
      };
      for await (const piece of encoding.pieces(counted(), place)) yield { piece, hold, ends: false };
      if (total > before) yield { piece: "", hold, ends: true };
    }
  }
  try {
    for await (const { item, tokens } of encodeInOrder(pieces(), encoder)) {
      const writer = item.hold ? validation : train;
      const wanted = item.ends ? separator : tokens;
      const left = limit_tokens - train.count - validation.count;
      isCut = wanted.length > left;
      await writer.write(isCut ? wanted.subarray(0, left) : wanted);
      if (isCut) break;
    }
  } finally {
    await closeAll([train, validation]);
  }
  if (!isCut && total > 0 && (held === 0 || held > total / 2)) {
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
    text_bytes: isCut ? null : total,
  };
}

/** The first of them. */
async function* firstTokens(
  chunks: AsyncIterable<Tokens>,
  limit: number | undefined,
): AsyncGenerator<Tokens> {
  let left = limit ?? Number.POSITIVE_INFINITY;
  for await (const tokens of chunks) {
    yield tokens.length > left ? tokens.subarray(0, left) : tokens;
    left -= tokens.length;
    if (left <= 0) return;
  }
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
  spec: FileSource,
  encoder: Encoder,
  directory: string,
  options: ReadOptions,
): Promise<Encoded> {
  const { encoding } = encoder;
  let total = 0;
  async function* counted(): AsyncGenerator<Bytes> {
    for await (const chunk of readBytes(spec.file, options, spec.max_expansion)) {
      total += chunk.length;
      yield chunk;
    }
  }
  async function* pieces(): AsyncGenerator<{ piece: Piece }> {
    for await (const piece of encoding.pieces(counted(), spec.file)) yield { piece };
  }
  let made = 0;
  async function* encoded(): AsyncGenerator<Tokens> {
    for await (const { tokens } of encodeInOrder(pieces(), encoder)) {
      made += tokens.length;
      yield tokens;
    }
  }
  const [train_tokens, validation_tokens] = await encodeTail(
    firstTokens(encoded(), spec.limit_tokens),
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
    text_bytes: made > train_tokens + validation_tokens ? null : total,
  };
}

async function copyTokens(
  file: string,
  target: string,
  spec: TokenSource,
  options: ReadOptions,
): Promise<number> {
  const writer = await TokenWriter.create(target, dtypeOf(spec.vocab_size));
  try {
    const tokens = firstTokens(
      readTokens(file, spec, options),
      file === spec.tokens ? spec.limit_tokens : undefined,
    );
    for await (const some of tokens) await writer.write(some);
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
    firstTokens(readTokens(spec.tokens, spec, options), spec.limit_tokens),
    vocab_size,
    spec.validation_fraction,
    directory,
    () => false,
  );
  return { ...base, train_tokens, validation_tokens };
}

/**
 * @param files what patterns of the source stand for, in order; bytes: of the source as it lies on disk
 * @throws MusweepError when the source cannot be read, is empty, or is too short for both splits
 */
export async function encodeSource(
  spec: DataSpec,
  { files, bytes }: { files: readonly string[]; bytes: number },
  directory: string,
  options: ReadOptions,
): Promise<Encoded> {
  const encoded =
    "tokens" in spec
      ? await encodeTokens(spec, directory, options)
      : await encodeTexts(spec, { files, bytes }, directory, options);
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

async function encodeTexts(
  spec: TextSource,
  { files, bytes }: { files: readonly string[]; bytes: number },
  directory: string,
  options: ReadOptions,
): Promise<Encoded> {
  const encoder = await openEncoder(spec.tokenizer, bytes);
  try {
    if ("file" in spec && !isJsonLines(spec.file)) return await encodeText(spec, encoder, directory, options);
    const documents = "corpus" in spec ? readCorpus(spec.corpus, options) : readFiles(spec, files, options);
    return await encodeDocuments(spec, documents, encoder, directory);
  } finally {
    await encoder.close();
  }
}

/** Each a document; of .jsonl files each line. */
async function* readFiles(
  { tokenizer, field, max_expansion: expansion }: FileSource | FilesSource,
  files: readonly string[],
  options: ReadOptions,
): AsyncGenerator<Document> {
  const expanded = nothingExpanded();
  let before = 0;
  for (const file of files) {
    let read = 0;
    const onRead = (bytes: number): void => {
      read = bytes;
      options.onRead?.(before + bytes);
    };
    const own = { ...options, onRead, expanded };
    if (isJsonLines(file))
      yield* readJsonLines(file, { field, keepsBytes: tokenizer === "bytes", expansion }, own);
    else yield { chunks: readBytes(file, own, expansion), place: file };
    before += read;
  }
}
