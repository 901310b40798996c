/** The data section of a sweep file as data preparation sees it, and the questions it asks of one. */
import path from "node:path";
import type { SweepData } from "../../schema/sweep.ts";

export type DataSpec = SweepData;
export type TextSource = Extract<DataSpec, { tokenizer: unknown }>;
export type TokenSource = Extract<DataSpec, { tokens: unknown }>;
export type Corpus = Extract<DataSpec, { corpus: unknown }>["corpus"];
export type Tokenizer = TextSource["tokenizer"];

/** The same source with absolute paths. */
export function resolvePaths(spec: DataSpec, base: string): DataSpec {
  if ("file" in spec) return { ...spec, file: path.resolve(base, spec.file) };
  if (!("tokens" in spec)) return spec;
  const { validation_tokens } = spec;
  return {
    ...spec,
    tokens: path.resolve(base, spec.tokens),
    ...(validation_tokens === undefined ? {} : { validation_tokens: path.resolve(base, validation_tokens) }),
  };
}

/** The user's files, none for a shipped corpus. */
export function pathsOf(spec: DataSpec): string[] {
  if ("corpus" in spec) return [];
  if ("file" in spec) return [spec.file];
  return spec.validation_tokens === undefined ? [spec.tokens] : [spec.tokens, spec.validation_tokens];
}

/** How messages name the source. */
export const placeOf = (spec: DataSpec): string => ("corpus" in spec ? spec.corpus : pathsOf(spec)[0]!);

export const isJsonLines = (file: string): boolean => /\.jsonl(\.(gz|zst))?$/.test(file);
