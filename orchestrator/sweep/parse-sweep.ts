/**
 * A sweep file's text in, the sweep out, or every mistake in it at once, each at its line and column. Pure: paths in the
 * file are not followed.
 */
import { type Document, LineCounter, parseDocument } from "yaml";
import { HYPERPARAMETER_NAMES } from "../../schema/hyperparameters.ts";
import { type Sweep, sweepSchema } from "../../schema/sweep.ts";
import { explainIssues } from "./explain-issues.ts";
import { locate } from "./locate.ts";
import { type Finding, nearestName, type Path, type Problem, SweepFileError } from "./problems.ts";
import { readPhases } from "./read-phases.ts";

/** Far more than a person writes; keeps a small file from growing to a huge value. */
const MAX_ALIASES = 50;

/**
 * @param file the name that messages give the file
 * @param check settings over the file's section coordinate_check
 * @throws SweepFileError (code sweep-file) with every problem in the order of the file
 */
export function parseSweep(text: string, file: string, check?: Record<string, unknown>): Sweep {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    version: "1.2",
    schema: "core",
    uniqueKeys: true,
    prettyErrors: false,
  });
  const syntax = [...document.errors, ...document.warnings].map((e): Problem => {
    const { line, col } = lines.linePos(e.pos[0]);
    return { line, column: col, path: "", message: syntaxMessage(e.code, e.message) };
  });
  // Duplicate keys leave a value that can be checked further; broken syntax does not.
  if (document.errors.some((e) => e.code !== "DUPLICATE_KEY"))
    throw new SweepFileError(file, inOrder(syntax));

  const value = withCheck(plainValue(document, file), check);
  const { sweep, findings } = readSweep(value);
  const problems = [...syntax, ...findings.map((f) => locate(document, lines, f))];
  if (problems.length > 0 || sweep === null) throw new SweepFileError(file, inOrder(problems));
  return sweep;
}

function withCheck(value: unknown, check: Record<string, unknown> | undefined): unknown {
  if (check === undefined || typeof value !== "object" || value === null) return value;
  const { coordinate_check: own } = value as { coordinate_check?: unknown };
  const section = typeof own === "object" && own !== null ? { ...own } : (own ?? {});
  // One of the two: what is asked for now goes.
  const { sparsity, density } = check;
  if (sparsity !== undefined || density !== undefined) {
    delete (section as Record<string, unknown>).sparsity;
    delete (section as Record<string, unknown>).density;
  }
  return { ...value, coordinate_check: typeof section === "object" ? { ...section, ...check } : section };
}

function syntaxMessage(code: string, message: string): string {
  if (code === "DUPLICATE_KEY") return "this key is given twice; expected once";
  return `not valid YAML: ${message}`;
}

function plainValue(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES }) as unknown;
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new SweepFileError(file, [{ line: 1, column: 1, path: "", message: `not valid YAML: ${message}` }]);
  }
}

/** The sweep, and what is wrong with it: the schema's findings, and those of the rules on whatever of it is sound. */
function readSweep(value: unknown): { sweep: Sweep | null; findings: Finding[] } {
  if (value === null || value === undefined)
    return {
      sweep: null,
      findings: [{ path: [], message: "the file is empty; expected a sweep (musweep init writes one)" }],
    };
  const parsed = sweepSchema.safeParse(value, { reportInput: true });
  if (parsed.success) return readPhases(value as Record<string, unknown>, new Set());
  const explained = explainIssues(sweepSchema, value, parsed.error.issues);
  const rest = salvage(
    value,
    explained.map((e) => e.remove),
  );
  return { sweep: null, findings: [...explained, ...rest] };
}

/**
 * Takes the wrong parts out until the rest is a valid sweep, and checks the rules over several fields on that rest, so that
 * their mistakes are told together with the schema's.
 */
function salvage(value: unknown, wrong: readonly Path[]): Finding[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
  const rest = new Remains(structuredClone(value) as Record<string, unknown>);
  let next = wrong;
  while (next.length > 0) {
    rest.remove(next);
    rest.value.name ??= "unnamed";
    rest.value.data ??= { corpus: "state-of-the-union" };
    const parsed = sweepSchema.safeParse(rest.value, { reportInput: true });
    if (parsed.success)
      return readPhases(rest.value, damagedNames(rest.removed)).findings.map((finding) => ({
        ...finding,
        path: rest.originalPath(finding.path),
      }));
    const before = JSON.stringify(next);
    next = explainIssues(sweepSchema, rest.value, parsed.error.issues).map((e) => e.remove);
    if (JSON.stringify(next) === before) return [];
  }
  return [];
}

/** A value that loses parts, and remembers where in the original each remaining list item stood. */
class Remains {
  readonly value: { [key: string]: unknown; name?: unknown; data?: unknown };
  readonly removed: Path[] = [];
  readonly #positions = new Map<unknown, number[]>();

  constructor(value: Record<string, unknown>) {
    this.value = value;
  }

  remove(paths: readonly Path[]): void {
    // Later list items first, so that the positions of the earlier ones hold.
    for (const path of paths.toSorted((a, b) => comparePaths(b, a))) {
      this.removed.push(path);
      const parent = path.slice(0, -1).reduce<unknown>(child, this.value);
      const last = path.at(-1);
      if (Array.isArray(parent) && typeof last === "number") {
        const positions = this.#positions.get(parent) ?? [...parent.keys()];
        parent.splice(last, 1);
        this.#positions.set(parent, positions.toSpliced(last, 1));
      } else if (parent !== null && typeof parent === "object" && last !== undefined)
        delete (parent as Record<string | number, unknown>)[last];
    }
  }

  originalPath(path: Path): Path {
    let at: unknown = this.value;
    return path.map((part) => {
      const original = typeof part === "number" ? (this.#positions.get(at)?.[part] ?? part) : part;
      at = child(at, part);
      return original;
    });
  }
}

const child = (at: unknown, part: string | number): unknown =>
  at !== null && typeof at === "object" ? (at as Record<string | number, unknown>)[part] : undefined;

function comparePaths(a: Path, b: Path): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [x, y] = [a[i], b[i]];
    if (x === y) continue;
    return typeof x === "number" && typeof y === "number" ? x - y : String(x) < String(y) ? -1 : 1;
  }
  return a.length - b.length;
}

/** Names that the file tried to set: those on a removed path, and those that an unknown key was near to. */
function damagedNames(removed: readonly Path[]): Set<string> {
  const parts = removed.flat().filter((part) => typeof part === "string");
  return new Set(parts.flatMap((part) => [part, nearestName(part, HYPERPARAMETER_NAMES) ?? part]));
}

/** Sorted by place, each told once: an alias repeats what its anchor says. */
function inOrder(problems: Problem[]): Problem[] {
  const once = new Map(problems.map((p) => [`${p.line}:${p.column}:${p.message}`, p] as const).toReversed());
  return [...once.values()].reverse().sort((a, b) => a.line - b.line || a.column - b.column);
}
