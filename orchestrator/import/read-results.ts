/**
 * From the rows of a table to results: one learning rate, one loss or a divergence each, where it stands, and its seed. Every row
 * either becomes one, is left out and counted because it says itself that it did not end, or is refused with its line. Pure.
 */

import {
  HYPERPARAMETER_NAMES,
  HYPERPARAMETERS,
  type HyperparameterName,
} from "../../schema/sweep/hyperparameters.ts";
import { parameterizationNamed } from "../../schema/sweep/other-names.ts";
import { type Parameterization, STANDARD_PARAMETERIZATION } from "../../schema/sweep/rules.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { canonicalJson } from "../../schema/wire/plan.ts";
import { shellWord } from "../../schema/wire/shell-line.ts";
import { complement } from "../parameterization/settings.ts";
import type { CellValue, Table, TableRow } from "./read-table.ts";
import { listed, type Meaning, type Recognized, recognizeColumns } from "./recognize-columns.ts";

/** What the numbers of the loss column are. */
export const MEASURES = ["loss", "error", "score"] as const;
/**
 * loss: any number above 0 to be made small, as it is; error: a fraction or per cent of mistakes, as it is; score: an accuracy or
 * anything else to be made large, turned into something to be made small: 1 − it, 100 − it for per cent, else its negative.
 */
export type Measure = (typeof MEASURES)[number];

export interface ImportOptions {
  /** Its name, for messages. */
  file: string;
  /** Meaning → column, as the user says. */
  columns: ReadonlyMap<string, string>;
  /** Columns that are not looked at. */
  ignored: readonly string[];
  /** Values that hold for every row, such as the parameterization or width that no column says. */
  constants: ReadonlyMap<string, string>;
  measure: Measure;
  /** Rows that are alike in everything are seeds of one point. */
  repeatsAreSeeds: boolean;
}

interface ImportedResult {
  line: number;
  /** What varies, and what every run has: parameterization, width, layers, sparsity, learning rate, seed. */
  coordinates: ImportedCoordinates;
  /** Null: diverged. */
  loss: number | null;
}

type ImportedCoordinates = Record<string, CellValue> & {
  parameterization: Parameterization;
  /** 0: the table does not say. */
  width: number;
  layers: number;
  sparsity: number;
  learning_rate: number;
  seed: number;
};

export interface Imported {
  results: ImportedResult[];
  recognized: Recognized;
  /** What is the same in all rows, beside what every run has. */
  fixed: Record<string, CellValue>;
  /** What every run has and the table does not say: standard parameterization, dense, width and layers not known. */
  assumed: string[];
  /** Rows that say that they did not end, by what they say. */
  unfinished: Map<string, number>;
  /** How losses were made of what the table has, in words; null: as they are. */
  turned: string | null;
}

/** Of Weights & Biases, Optuna, MLflow, Ray and our own export, in lower case: the row has no result yet, or never will. */
const UNFINISHED = new Set(
  "running pending queued preempted preempting pruned killed waiting scheduled crashed failed cancelled canceled error errored paused aborted timeout interrupted".split(
    " ",
  ),
);
/** The run diverged, whatever number it ended with. */
const DIVERGED = new Set(["diverged", "nan"]);
/** The run ended by itself: without a loss it diverged. Optuna's FAIL is an objective that was no number. */
const ENDED = new Set([
  "",
  ..."finished complete completed done success successful succeeded ok terminated fail".split(" "),
]);
/** What it lacks says nothing about its learning rate, unless it says that the loss was no number. */
const NO_NUMBER = /^(nan|[+-]?inf(inity)?)$/i;
const NO_RESULT = /^(|none|null|na|n\/a)$/i;

/** @throws MusweepError (usage), with the line of what is wrong */
export function readResults(table: Table, options: ImportOptions): Imported {
  const { file } = options;
  const refuse = (message: string, remedy = "Nothing was stored."): MusweepError =>
    new MusweepError("results-file", message, { kind: "usage", remedy });
  const recognized = recognizeColumns(table.columns, options.columns, options.ignored);
  const column = (meaning: Meaning): string => {
    const name = recognized.columns.get(meaning);
    if (name === undefined)
      throw refuse(
        `${file} has no column that is known to be the ${meaning.replace("_", " ")}; it has ${listed(table.columns)}`,
        `Say which: --column ${meaning}=NAME${meaning === "loss" ? scoreRemedy(table.columns) : ""}`,
      );
    return name;
  };
  const [lossColumn, rateColumn] = [column("loss"), column("learning_rate")];
  const stateColumn = recognized.columns.get("state");

  const unfinished = new Map<string, number>();
  const stateOf = ({ cells }: TableRow): string =>
    stateColumn === undefined
      ? ""
      : String(cells[stateColumn] ?? "")
          .trim()
          .toLowerCase();
  const ended = table.rows.filter((row) => {
    const state = stateOf(row);
    const loss = String(row.cells[lossColumn] ?? "").trim();
    const lacks = NO_RESULT.test(loss) && !ENDED.has(state) && !DIVERGED.has(state);
    if (NO_NUMBER.test(loss) || !(UNFINISHED.has(state) || lacks)) return true;
    unfinished.set(state, (unfinished.get(state) ?? 0) + 1);
    return false;
  });
  const raw = ended.map((row) => ({
    row,
    value: DIVERGED.has(stateOf(row)) ? null : lossOf(row, lossColumn, file),
    rate: positiveNumber(row, rateColumn, "learning rate", file),
  }));
  const finite = raw.flatMap(({ value }) => value ?? []);
  if (finite.length === 0) throw refuse(`${file}: no row has a loss in column ${JSON.stringify(lossColumn)}`);
  const { turn, words } = turning(finite, options.measure);
  const rates = new Set(raw.map(({ rate }) => rate));
  if (rates.size < 2)
    throw refuse(
      `${file}: all rows have the learning rate ${[...rates][0]}; an optimum needs several`,
      "Is another column the learning rate? --column learning_rate=NAME",
    );

  const constants = Object.fromEntries([...options.constants].map(([name, text]) => constantOf(name, text)));
  const seen = new Map<string, { line: number; next: number }>();
  const placed = raw.map(({ row, value, rate }) => {
    const loss = value === null ? null : turn(value);
    if (loss !== null && loss <= 0) {
      const { expected, remedy } =
        NO_LOGARITHM[options.measure === "score" ? (loss === 0 ? "perfect" : "score") : "loss"];
      throw refuse(`${file}:${row.line}: ${lossColumn} is ${value}; expected ${expected}`, remedy);
    }
    const { seed: given, ...place } = { ...constants, ...coordinatesOf(row, recognized, file) };
    const key = canonicalJson([place, rate, options.repeatsAreSeeds ? null : (given ?? null)]);
    const twin = seen.get(key);
    if (twin !== undefined && !options.repeatsAreSeeds)
      throw refuse(
        `${file}:${row.line}: this row is alike to line ${twin.line} in everything that is read`,
        "Seeds without a column: --repeats-are-seeds. Otherwise name the column that tells them apart: --column seed=NAME, or --column settings.NAME=NAME.",
      );
    const next = twin?.next ?? 1;
    seen.set(key, { line: twin?.line ?? row.line, next: next + 1 });
    const seed = typeof given === "number" && !options.repeatsAreSeeds ? given : next;
    return { row, place, rate, seed, loss };
  });

  const names = [...new Set(placed.flatMap(({ place }) => Object.keys(place)))];
  const without = (name: string) => placed.find(({ place }) => place[name] === undefined);
  for (const name of ["parameterization", "width", "layers", "sparsity"]) {
    const first = without(name);
    if (first !== undefined && names.includes(name))
      throw mistakeIn(file, first.row, `it has no ${name}, and other rows have one`);
  }
  const varies = (name: string): boolean =>
    new Set(placed.map(({ place }) => JSON.stringify(place[name]))).size > 1;
  const [varied, same] = [
    names.filter(varies),
    names.filter((name) => !varies(name) && !(name in EVERY_RUN)),
  ];
  const first = placed[0]!.place;
  return {
    results: placed.map(({ row, place, rate, seed, loss }) => ({
      line: row.line,
      coordinates: {
        ...EVERY_RUN,
        ...Object.fromEntries(
          Object.entries(place).filter(([name]) => name in EVERY_RUN || varied.includes(name)),
        ),
        learning_rate: rate,
        seed,
      } as ImportedCoordinates,
      loss,
    })),
    recognized,
    fixed: Object.fromEntries(same.map((name) => [name, first[name]!])),
    assumed: Object.keys(EVERY_RUN).filter((name) => !names.includes(name)),
    unfinished,
    turned: words,
  };
}

/** Why a number is no loss, which the fit takes the logarithm of. */
const NO_LOGARITHM = {
  loss: {
    expected: "a loss above 0",
    remedy: "The fit is of the loss's logarithm. A score to be made large: --maximize.",
  },
  perfect: {
    expected: "less: it would be a loss of 0, which has no logarithm",
    remedy: "The fit is of the loss's logarithm. Leave such rows out, or give another measure.",
  },
  score: {
    expected: "scores from 0 to 1, from 0 to 100, or all below 0",
    remedy:
      "No other scores say what a loss of 0 is: make a column of losses above 0, such as the highest possible score minus each.",
  },
} as const;

/** Of every run, where the table does not say. */
const EVERY_RUN = {
  parameterization: STANDARD_PARAMETERIZATION,
  width: 0,
  layers: 0,
  sparsity: 0,
} as const;

/** Of what is no loss, but is to be made large. */
function scoreRemedy(columns: readonly string[]): string {
  const score = columns.find((name) => /(^|[^a-z])(acc(uracy)?|score|f1|auc|bleu)([^a-z]|$)/i.test(name));
  return score === undefined
    ? ""
    : `; a score to be made large: --column ${shellWord(`loss=${score}`)} --maximize`;
}

/** "0,001", as spreadsheets of half the world write it. */
const DECIMAL_COMMA = /^[+-]?\d*,\d+(e[+-]?\d+)?$/i;

const mistakeIn = (file: string, { line }: TableRow, message: string, cell?: unknown): MusweepError =>
  new MusweepError("results-file", `${file}:${line}: ${message}`, {
    kind: "usage",
    remedy: `${typeof cell === "string" && DECIMAL_COMMA.test(cell.trim()) ? "Write decimal points, not commas. " : ""}Nothing was stored.`,
  });

/** Empty and not-a-number is divergence; what is neither that nor a number is a mistake. */
function lossOf(row: TableRow, column: string, file: string): number | null {
  const cell = row.cells[column] ?? null;
  const text = String(cell ?? "").trim();
  if (NO_RESULT.test(text) || NO_NUMBER.test(text)) return null;
  const value = Number(text);
  if (typeof cell === "boolean" || !Number.isFinite(value))
    throw mistakeIn(
      file,
      row,
      `${column} is ${JSON.stringify(cell)}; expected a number, or nothing for a run that diverged`,
      cell,
    );
  return value;
}

function positiveNumber(row: TableRow, column: string, what: string, file: string): number {
  const cell = row.cells[column] ?? null;
  const value = cell === null || cell === "" || typeof cell === "boolean" ? Number.NaN : Number(cell);
  if (Number.isFinite(value) && value > 0) return value;
  throw mistakeIn(file, row, `${column} is ${JSON.stringify(cell)}; expected a ${what} above 0`, cell);
}

/** Everything to be made small and positive. */
function turning(
  values: readonly number[],
  measure: Measure,
): { turn: (v: number) => number; words: string | null } {
  if (measure !== "score") return { turn: (v) => v, words: null };
  // More values than fit on the stack as arguments.
  const least = values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const most = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  if (least >= 0 && most <= 1) return { turn: (v) => 1 - v, words: "1 − score" };
  if (least >= 0 && most <= 100) return { turn: (v) => 100 - v, words: "100 − score" };
  return { turn: (v) => -v, words: "− score" };
}

/** A name and a value that the user gives: one of ours, or a setting of their own; density is sparsity. */
function constantOf(name: string, text: string): [string, CellValue] {
  const value = plainValue(text);
  const known = HYPERPARAMETER_NAMES.find((own) => own === name);
  if (known === undefined) return [name.startsWith("settings.") ? name : `settings.${name}`, value];
  const parsed = readAs(known, value);
  if (!parsed.success || known === "learning_rate")
    throw new MusweepError(
      "bad-option",
      known === "learning_rate"
        ? "--set cannot give every row one learning rate: an optimum needs several"
        : `--set ${name}=${text}: ${parsed.error?.issues[0]?.message ?? `${name} cannot be that`}`,
      { kind: "usage", remedy: "docs/sweep-file.md lists every name and what it can be." },
    );
  return known === "density"
    ? ["sparsity", complement(parsed.data as number)]
    : [known, parsed.data as CellValue];
}

/** A parameterization may be called by its title. */
const readAs = (name: HyperparameterName, value: CellValue) =>
  HYPERPARAMETERS[name].safeParse(
    name === "parameterization" ? (parameterizationNamed(String(value)) ?? value) : value,
  );

/** "0.5" is a number, "true" a truth value, everything else text. */
function plainValue(text: string): CellValue {
  if (text === "true" || text === "false") return text === "true";
  const value = Number(text);
  return text.trim() !== "" && Number.isFinite(value) ? value : text;
}

function coordinatesOf(row: TableRow, { columns }: Recognized, file: string): Record<string, CellValue> {
  const coordinates: Record<string, CellValue> = {};
  for (const [meaning, column] of columns) {
    if (meaning === "loss" || meaning === "state" || meaning === "learning_rate") continue;
    const cell = row.cells[column] ?? null;
    if (cell === null || cell === "") continue;
    const value = typeof cell === "string" ? plainValue(cell) : cell;
    if (meaning.startsWith("settings.")) {
      coordinates[meaning] = value;
      continue;
    }
    const name = meaning as HyperparameterName;
    // As our own export writes what is not known.
    if (value === 0 && (name === "width" || name === "layers")) continue;
    const parsed = readAs(name, value);
    if (!parsed.success)
      throw mistakeIn(file, row, `${column} is ${JSON.stringify(cell)}, which ${name} cannot be`);
    if (name === "density") coordinates.sparsity = complement(parsed.data as number);
    else coordinates[name] = parsed.data as CellValue;
  }
  return coordinates;
}
