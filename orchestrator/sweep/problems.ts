/** What is wrong with a sweep file, where, and the error that carries all of it at once. */
import { distance } from "fastest-levenshtein";
import { MusweepError } from "../../schema/errors.ts";

/** Where in the file: keys and list positions from the root. */
export type Path = readonly (string | number)[];

/** A problem before it has a place in the text. */
export interface Finding {
  path: Path;
  /** Point at the key rather than at its value. */
  atKey?: boolean;
  message: string;
}

export interface Problem {
  /** From 1. */
  line: number;
  /** From 1, in UTF-16 units, as editors count. */
  column: number;
  /** Such as axes.width[2]; empty for the whole file. */
  path: string;
  message: string;
}

/** Every mistake in a sweep file, in the order of the file. */
export class SweepFileError extends MusweepError {
  readonly file: string;
  readonly problems: readonly Problem[];

  constructor(file: string, problems: readonly Problem[]) {
    super(
      "sweep-file",
      problems
        .map((p) => `${file}:${p.line}:${p.column}: ${p.path === "" ? "" : `${p.path}: `}${p.message}`)
        .join("\n"),
      {
        kind: "usage",
        remedy: "Correct the file; docs/sweep-file.md lists every field. Nothing was queued.",
      },
    );
    this.file = file;
    this.problems = problems;
  }
}

export const showPath = (path: Path): string =>
  path.reduce<string>(
    (text, part) => (typeof part === "number" ? `${text}[${part}]` : text === "" ? part : `${text}.${part}`),
    "",
  );

/** The valid name that was probably meant, or null when none is near. */
export function nearestName(given: string, valid: readonly string[]): string | null {
  const plain = (name: string) => name.toLowerCase().replaceAll(/[-_ ]/g, "");
  const ranked = valid
    .map((name) => ({ name, edits: distance(plain(given), plain(name)) }))
    .sort((a, b) => a.edits - b.edits);
  const best = ranked[0];
  return best !== undefined && best.edits <= Math.max(1, Math.floor(given.length * 0.4)) ? best.name : null;
}

export function didYouMean(given: string, valid: readonly string[]): string {
  const nearest = nearestName(given, valid);
  return nearest === null ? "" : `; did you mean ${JSON.stringify(nearest)}?`;
}
