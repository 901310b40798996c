/**
 * What to prepare: the resolved form of a sweep file's data section. Paths are absolute or relative to the working
 * directory; the sweep loader resolves them against the sweep file first.
 */
export const CORPORA = ["state-of-the-union", "moby-dick"] as const;
export type Corpus = (typeof CORPORA)[number];

export const TOKENIZERS = ["bytes", "gpt2"] as const;
export type Tokenizer = (typeof TOKENIZERS)[number];

export type DataSpec =
  /** Text that ships with musweep's dependencies: needs no download. */
  | { kind: "corpus"; corpus: Corpus; tokenizer: Tokenizer; validation_fraction: number }
  /** One plain text, without documents: .txt, or .txt.gz, .txt.zst. */
  | { kind: "text"; path: string; tokenizer: Tokenizer; validation_fraction: number }
  /** One JSON object a line, the document's text in `field`: .jsonl, or .jsonl.gz, .jsonl.zst. */
  | { kind: "jsonl"; path: string; field: string; tokenizer: Tokenizer; validation_fraction: number }
  /**
   * Flat little-endian token ids as nanoGPT writes them: uint16, or uint32 where the vocabulary is larger than 65,536.
   * Without a validation file the tail of the training file is held out.
   */
  | {
      kind: "tokens";
      path: string;
      validation_path?: string;
      tokenizer_name: string;
      vocab_size: number;
      validation_fraction: number;
    };
