/** The data section of a sweep file as data preparation sees it, and the questions it asks of one. */
import path from "node:path";
import { escapePath } from "tinyglobby";
import type { SweepData } from "../../schema/sweep/sweep.ts";

export type DataSpec = SweepData;
export type TextSource = Extract<DataSpec, { tokenizer: unknown }>;
export type FileSource = Extract<DataSpec, { file: unknown }>;
export type FilesSource = Extract<DataSpec, { files: unknown }>;
export type TokenSource = Extract<DataSpec, { tokens: unknown }>;
export type Corpus = Extract<DataSpec, { corpus: unknown }>["corpus"];
export type Tokenizer = TextSource["tokenizer"];

/** The same source with absolute paths. */
export function resolvePaths(spec: DataSpec, base: string): DataSpec {
  if ("file" in spec) return { ...spec, file: path.resolve(base, spec.file) };
  if ("files" in spec) {
    const files = [spec.files].flat();
    return {
      ...spec,
      files: files.map((file) =>
        path.isAbsolute(file) ? file : path.join(escapePath(path.resolve(base)), file),
      ),
    };
  }
  if (!("tokens" in spec)) return spec;
  const { validation_tokens } = spec;
  return {
    ...spec,
    tokens: path.resolve(base, spec.tokens),
    ...(validation_tokens === undefined ? {} : { validation_tokens: path.resolve(base, validation_tokens) }),
  };
}

/** The user's files by name: none for a shipped corpus, and none where patterns stand for them (match-files.ts). */
export function pathsOf(spec: DataSpec): string[] {
  if ("corpus" in spec || "files" in spec) return [];
  if ("file" in spec) return [spec.file];
  return spec.validation_tokens === undefined ? [spec.tokens] : [spec.tokens, spec.validation_tokens];
}

/** How messages name the source. */
export function placeOf(spec: DataSpec): string {
  if ("corpus" in spec) return spec.corpus;
  return "files" in spec ? [spec.files].flat().join(", ") : pathsOf(spec)[0]!;
}

/** An object a line, whatever the file is called: much that is published so ends in .json.gz. */
export const isJsonLines = (file: string): boolean => /\.(jsonl|ndjson|json)(\.(gz|zst))?$/.test(file);
