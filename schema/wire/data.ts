/**
 * A tokenized data set on disk: <data directory>/<hash>/ holds meta.json, train.bin and validation.bin. The two files are
 * flat little-endian token ids, uint16 (vocabularies up to 65,536) or uint32, nothing else.
 */
import { z } from "zod";

export const DATA_FILES = { meta: "meta.json", train: "train.bin", validation: "validation.bin" };

/** The shape of a data set's name. */
export const DATA_HASH = /^[0-9a-f]{16,64}$/;

export const dataMetaSchema = z.strictObject({
  version: z.literal(1),
  /**
   * Content hash: the first 32 hexadecimal digits of SHA-256 over "<tokenizer>\n<vocabulary size>", and then, for the training and
   * the validation file, "\n<bytes>\n" and its bytes.
   */
  hash: z.string(),
  /** For people: where the text came from. */
  source: z.string(),
  tokenizer: z.string(),
  vocab_size: z.int().positive(),
  dtype: z.enum(["uint16", "uint32"]),
  train_tokens: z.int().positive(),
  validation_tokens: z.int().positive(),
  /** UTF-8 bytes of text behind the tokens, for bits per byte; null when unknown (token files). */
  text_bytes: z.int().nullable(),
});
export type DataMeta = z.infer<typeof dataMetaSchema>;
