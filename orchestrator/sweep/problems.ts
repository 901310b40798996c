/** What is wrong with a sweep file, where, and the error that carries all of it at once. */
import { distance } from "fastest-levenshtein";
import { MusweepError } from "../../schema/wire/errors.ts";
import { inOneLine } from "../../schema/wire/printable.ts";

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

/** Mistakes that are told of one file: who has more corrects these first. */
export const MAX_TOLD = 100;

/** The mistakes in a sweep file, in the order of the file; of very many the first. */
export class SweepFileError extends MusweepError {
  readonly file: string;
  readonly problems: readonly Problem[];
  /** Mistakes that are not told. */
  readonly more: number;

  /** @param all in their order; untold: mistakes that are not among them */
  constructor(file: string, all: readonly Problem[], untold = 0) {
    super("sweep-file", problemLines(file, all, untold).join("\n"), {
      kind: "usage",
      remedy: "Correct the file; docs/sweep-file.md lists every field. Nothing was queued.",
    });
    this.file = file;
    this.problems = all.slice(0, MAX_TOLD);
    this.more = all.length - this.problems.length + untold;
  }
}

/** A line for each; of very many the first, and how many more. @param untold mistakes that are not among them */
export function problemLines(file: string, all: readonly Problem[], untold: number): string[] {
  const more = Math.max(0, all.length - MAX_TOLD) + untold;
  return [
    ...all.slice(0, MAX_TOLD).map((problem) => problemLine(file, problem)),
    ...(more > 0 ? [moreMistakes(more)] : []),
  ];
}

/** As editors know to follow it: file:line:column, then what is wrong. */
const problemLine = (file: string, { line, column, path, message }: Problem): string =>
  `${inOneLine(file)}:${line}:${column}: ${path === "" ? "" : `${path}: `}${message}`;

/** What is odd and no mistake. */
export const warningLine = (file: string, { message, ...place }: Problem): string =>
  problemLine(file, { ...place, path: "", message: `warning: ${place.path}: ${message}` });

/** Sorted by place, each told once: an alias repeats what its anchor says. */
export function inOrder(problems: readonly Problem[]): Problem[] {
  const once = new Map(problems.map((p) => [`${p.line}:${p.column}:${p.message}`, p] as const).toReversed());
  return [...once.values()].reverse().sort((a, b) => a.line - b.line || a.column - b.column);
}

/** "and 19,900 more mistakes" */
export const moreMistakes = (more: number): string =>
  `and ${more.toLocaleString("en-US")} more mistake${more === 1 ? "" : "s"}`;

const SHOWN_CHARACTERS = 80;

const cut = (text: string): string =>
  text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;

/** What a file says, as a message repeats it: enough to find it again, in one line. */
export const excerpt = (text: string): string => inOneLine(cut(text));
/** The same in quotation marks. */
export const quoted = (text: string): string => inOneLine(JSON.stringify(cut(text)));

export const showPath = (path: Path): string =>
  path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text === "" ? excerpt(part) : `${text}.${excerpt(part)}`;
  }, "");

const withoutSeparators = (name: string): string => name.toLowerCase().replaceAll(/[-_ ]/g, "");

/** The valid name that was probably meant, or null when none is near. */
export function nearestName(given: string, valid: readonly string[]): string | null {
  const most = Math.max(1, Math.floor(given.length * 0.4));
  const plain = withoutSeparators(given);
  let nearest: string | null = null;
  let least = most + 1;
  for (const name of valid) {
    const other = withoutSeparators(name);
    // Each letter more or less is an edit; so a long text is compared with nothing.
    if (Math.abs(other.length - plain.length) >= least) continue;
    const edits = distance(plain, other);
    if (edits < least) [nearest, least] = [name, edits];
  }
  return nearest;
}

export function didYouMean(given: string, valid: readonly string[]): string {
  const nearest = nearestName(given, valid);
  return nearest === null ? "" : `; did you mean ${JSON.stringify(nearest)}?`;
}
