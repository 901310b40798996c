/**
 * A sweep file's text in, the sweep out, or every mistake in it at once, each at its line and column. Pure: paths in the
 * file are not followed.
 */
import { HYPERPARAMETER_NAMES, homeOf } from "../../schema/sweep/hyperparameters.ts";
import { type Sweep, sweepSchema } from "../../schema/sweep/sweep.ts";
import { undotSettings } from "./dotted-settings.ts";
import { explainIssues } from "./explain-issues.ts";
import { keyOfAxes, namesMeantBy, otherToolsFile } from "./names-meant.ts";
import {
  type Finding,
  inOrder,
  MAX_TOLD,
  nearestName,
  type Path,
  type Problem,
  quoted,
  SweepFileError,
} from "./problems.ts";
import { type ReadSweep, readPhases, refused } from "./read-phases.ts";
import { readYaml } from "./read-yaml.ts";

/** Rounds of taking wrong parts out before the rest is taken for hopeless. */
const MAX_ROUNDS = 5;

export interface ParsedSweep {
  sweep: Sweep;
  /** What is odd about the file and no mistake, in its order. */
  warnings: Problem[];
  /** The longest sequence that any of its runs trains on; null: only its trainer knows. */
  longest_sequence: { length: number; place: Omit<Problem, "message"> } | null;
}

export const parseSweep = (text: string, file: string): Sweep => parseSweepFile(text, file).sweep;

/**
 * @param file the name that messages give the file
 * @param check settings over the file's section coordinate_check
 * @throws SweepFileError (code sweep-file) with every problem in the order of the file
 */
export function parseSweepFile(text: string, file: string, check?: Record<string, unknown>): ParsedSweep {
  const { value, broken, problems: doubtful, locate } = readYaml(text, undotSettings);
  if (broken) throw new SweepFileError(file, inOrder(doubtful));
  const { sweep, findings, remarks, longest } = readSweep(withCheck(value, check));
  const problems = [...doubtful, ...findings.map(locate)];
  if (problems.length > 0 || sweep === null) throw new SweepFileError(file, inOrder(problems));
  const { message: _message, ...place } = locate({ path: longest?.path ?? [], message: "" });
  return {
    sweep,
    warnings: inOrder(remarks.map(locate)).slice(0, MAX_TOLD),
    longest_sequence: longest && { length: longest.length, place },
  };
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

/** The sweep, and what is wrong with it: the schema's findings, and those of the rules on whatever of it is sound. */
function readSweep(value: unknown): ReadSweep {
  if (value === null || value === undefined)
    return refused([{ path: [], message: "the file is empty; expected a sweep (musweep init writes one)" }]);
  const theirs = otherToolsFile(value);
  if (theirs !== null) return refused([{ path: [], message: theirs }]);
  const key = keyOfAxes(value);
  if (key !== null) return readRenamed(key, value as Record<string, unknown>);
  const parsed = sweepSchema.safeParse(value, { reportInput: true });
  if (parsed.success) return readPhases(value as Record<string, unknown>, parsed.data, new Set());
  const explained = explainIssues(sweepSchema, value, parsed.error.issues);
  const wrong = explained.map((e) => e.remove);
  // With so many mistakes to tell already, what the rest of the file says is for the next time.
  const rest = wrong.length > MAX_TOLD ? [] : salvage(value, wrong);
  return refused([...explained, ...rest]);
}

/** A file whose axes have another name: what is wrong in them is told with it. */
function readRenamed(key: string, { [key]: axes, ...rest }: Record<string, unknown>): ReadSweep {
  const message = `unknown key ${quoted(key)}; did you mean "axes"?`;
  const { findings } = readSweep({ ...rest, axes });
  const inFile = (path: Path): Path => (path[0] === "axes" ? [key, ...path.slice(1)] : path);
  return refused([
    { path: [key], atKey: true, message },
    ...findings.map((finding) => ({ ...finding, path: inFile(finding.path) })),
  ]);
}

/**
 * Takes the wrong parts out until the rest is a valid sweep, and checks the rules over several fields on that rest, so that
 * their mistakes are told together with the schema's.
 */
function salvage(value: unknown, wrong: readonly Path[]): Finding[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
  const rest = new Remains(structuredClone(value) as Record<string, unknown>);
  let next = wrong;
  for (let round = 0; next.length > 0 && round < MAX_ROUNDS; round++) {
    rest.remove(next);
    rest.value.name ??= "unnamed";
    // Without data it is for somebody's own script, if it names one.
    if (rest.value.trainer === undefined) rest.value.data ??= { corpus: "state-of-the-union" };
    const parsed = sweepSchema.safeParse(rest.value, { reportInput: true });
    if (parsed.success)
      return readPhases(rest.value, parsed.data, damagedNames(rest.removed)).findings.map((finding) => ({
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
  readonly value: { [key: string]: unknown; name?: unknown; data?: unknown; trainer?: unknown };
  readonly removed: Path[] = [];
  readonly #positions = new Map<unknown, number[]>();

  constructor(value: Record<string, unknown>) {
    this.value = value;
  }

  remove(paths: readonly Path[]): void {
    const taken = new Set<string>();
    // Later list items first, so that the positions of the earlier ones hold.
    for (const path of paths.toSorted((a, b) => comparePaths(b, a))) this.#take(path, taken);
  }

  /** With what would be left empty: a list of nothing would be the next mistake. */
  #take(path: Path, taken: Set<string>): void {
    const key = JSON.stringify(path);
    if (taken.has(key)) return;
    taken.add(key);
    this.removed.push(path);
    const way = path.slice(0, -1);
    const parent = way.reduce<unknown>(child, this.value);
    const last = path.at(-1);
    if (Array.isArray(parent) && typeof last === "number") {
      const positions = this.#positions.get(parent) ?? [...parent.keys()];
      parent.splice(last, 1);
      this.#positions.set(parent, positions.toSpliced(last, 1));
    } else if (parent !== null && typeof parent === "object" && last !== undefined)
      delete (parent as Record<string | number, unknown>)[last];
    if (way.length > 1 && parent !== null && typeof parent === "object" && Object.keys(parent).length === 0)
      this.#take(way, taken);
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

/** Names that the file tried to set: those on a removed path or in a removed section, and those that an unknown key can have meant. */
function damagedNames(removed: readonly Path[]): Set<string> {
  const parts = removed.flat().filter((part) => typeof part === "string");
  const isNear = (part: string | number, key: string): boolean =>
    nearestName(String(part), [key]) === key || namesMeantBy(String(part)).includes(key);
  const isSaid = (home: readonly string[]): boolean =>
    removed.some((path) => path.every((part, i) => home[i] !== undefined && isNear(part, home[i])));
  const said = HYPERPARAMETER_NAMES.filter((name) => isSaid(["axes", name]) || isSaid(homeOf(name) ?? []));
  return new Set([...parts.flatMap((part) => [part, ...namesMeantBy(part)]), ...said]);
}
