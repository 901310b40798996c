/**
 * Whether a text is long enough for the sequences that a sweep trains on: a sequence has one token more than its length, and both
 * splits must hold one. Of a shorter text every run would fail.
 */
import { statSync } from "node:fs";
import type { SweepData } from "../../schema/sweep/sweep.ts";
import { isJsonLines, placeOf, resolvePaths } from "../data/spec.ts";
import { bytesPerToken } from "../data/write-tokens.ts";
import type { ParsedSweep } from "../sweep/parse-sweep.ts";
import { excerpt, SweepFileError } from "../sweep/problems.ts";

/** Tokens. */
interface Amounts {
  all: number;
  training: number;
  validation: number;
  /** They may be fewer. */
  isMost?: true;
}

type Read = ParsedSweep & { file: string };

/** @throws SweepFileError at the longest sequence, where a split is too short for it */
export function refuseShortText({ sweep: { data }, longest_sequence, file }: Read, amounts: Amounts): void {
  if (longest_sequence === null || data === undefined) return;
  const { length, place } = longest_sequence;
  const split = (["training", "validation"] as const).find((name) => amounts[name] <= length);
  if (split === undefined) return;
  const tokens = amounts[split];
  const has = `${amounts.isMost ? "at most " : ""}${tokens} token${tokens === 1 ? "" : "s"}`;
  const remedies = [
    ...(data.limit_tokens === amounts.all ? ["a larger limit_tokens"] : ["a longer text"]),
    ...(tokens > 1 ? [`a sequence_length of at most ${tokens - 1}`] : []),
    ...(amounts.all >= 2 * (length + 1) && !("validation_tokens" in data)
      ? [`a ${split === "validation" ? "larger" : "smaller"} validation_fraction`]
      : []),
  ];
  const message = `the ${split} split of ${excerpt(placeOf(data))} has ${has}, and a sequence needs ${length + 1}, one more than its length; expected ${remedies.join(", or ")}`;
  throw new SweepFileError(file, [{ ...place, message }]);
}

/** The same before anything is tokenized, where the size of a file says enough. One that is not there says nothing. */
export function refuseShortFile(read: Read & { directory: string }): void {
  const { data } = read.sweep;
  const amounts = data === undefined ? null : mostTokens(resolvePaths(data, read.directory));
  if (amounts !== null) refuseShortText(read, amounts);
}

/** No token is less than a byte of a text. A compressed file does not say how long its text is. */
function mostTokens(data: SweepData): Amounts | null {
  const { limit_tokens: limit = Number.POSITIVE_INFINITY, validation_fraction } = data;
  if ("tokens" in data) {
    const tokensIn = (path: string): number | null => {
      const bytes = bytesOf(path);
      if (bytes === null) return null;
      return Math.max(0, Math.floor((bytes - (data.header_bytes ?? 0)) / bytesPerToken(data.dtype)));
    };
    const first = tokensIn(data.tokens);
    const second = data.validation_tokens === undefined ? undefined : tokensIn(data.validation_tokens);
    if (first === null || second === null) return null;
    const all = Math.min(first, limit);
    if (second !== undefined) return { all: all + second, training: all, validation: second };
    const training = Math.floor(all * (1 - validation_fraction));
    return { all, training, validation: all - training };
  }
  const bytes = "file" in data && !/\.(gz|zst)$/.test(data.file) ? bytesOf(data.file) : null;
  if (bytes === null) return null;
  const all = Math.min(bytes, limit);
  // The cut goes to the end of a line, which makes the tail shorter. Of many documents whole ones are held out, of any length.
  const isOneText = "file" in data && !isJsonLines(data.file);
  const validation = isOneText ? all - Math.floor(all * (1 - validation_fraction)) : all;
  return { all, training: all, validation, isMost: true };
}

/** Null where it cannot be looked at, or is no file. */
function bytesOf(path: string): number | null {
  try {
    const info = statSync(path);
    return info.isFile() ? info.size : null;
  } catch {
    return null;
  }
}
