/** A table of results as other tools write it: CSV with a heading, JSON objects; every cell as text or a plain value. */
import { CsvError, parse } from "csv-parse/sync";
import { MusweepError } from "../../schema/wire/errors.ts";

/** More than this is no table of finished runs. */
export const MAX_TABLE_BYTES = 256 * 2 ** 20;

/** Wide exports of other tools have hundreds. */
const MAX_COLUMNS = 4096;
/** Of objects within each other. */
const MAX_LEVELS = 20;
const MAX_NAME_CHARACTERS = 1000;

export type CellValue = string | number | boolean | null;

export interface TableRow {
  /** In the text, from 1, for messages; of what has no lines, such as a JSON array, which of its rows. */
  line: number;
  /** By column; absent where the row does not have it. */
  cells: Record<string, CellValue>;
}

export interface Table {
  columns: string[];
  rows: TableRow[];
}

export const mistake = (file: string, line: number, message: string): MusweepError =>
  new MusweepError("results-file", `${file}:${line}: ${message}`, {
    kind: "usage",
    remedy:
      "Expected CSV with a heading, JSON objects (one a line, or a list of them), each also as .gz or .zst, or Parquet. Nothing was stored.",
  });

/**
 * @param file its name, for messages; one that ends in .jsonl or .ndjson is JSON lines, and so is what begins with a brace
 * @throws MusweepError (usage) with the line of the first mistake
 */
export function readTable(text: string, file: string): Table {
  if (Buffer.byteLength(text) > MAX_TABLE_BYTES)
    throw mistake(file, 1, `larger than ${MAX_TABLE_BYTES / 2 ** 20} MiB; expected one line a finished run`);
  const plain = text.replace(/^\uFEFF/, "");
  const table = plain.trimStart().startsWith("[")
    ? readJsonList(plain, file)
    : /\.(jsonl|ndjson)(\.(gz|zst))?$/i.test(file) || plain.trimStart().startsWith("{")
      ? readJsonLines(plain, file)
      : readCsv(plain, file);
  if (table.rows.length === 0) throw mistake(file, 1, "there are no rows");
  return table;
}

function readCsv(text: string, file: string): Table {
  let records: { record: string[]; info: { lines: number } }[];
  try {
    records = parse(text, {
      delimiter: delimiterOf(text),
      info: true,
      skip_empty_lines: true,
      relax_column_count: false,
      trim: true,
    }) as unknown as typeof records;
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const line = Number((error as CsvError & { lines?: number }).lines ?? 1);
    throw mistake(file, line, `not valid CSV: ${error.message}`);
  }
  const [heading, ...body] = records;
  const columns = heading?.record ?? [];
  const known = new Set<string>();
  for (const name of columns) {
    if (known.has(name)) throw mistake(file, 1, `the column ${JSON.stringify(name)} is there twice`);
    known.add(name);
    checkColumn(known, name, file, 1);
  }
  return {
    // pandas writes its index under no name.
    columns: columns.filter((name) => name !== ""),
    rows: body.map(({ record, info }) => ({
      line: info.lines,
      cells: Object.fromEntries(columns.flatMap((name, i) => (name === "" ? [] : [[name, record[i] ?? ""]]))),
    })),
  };
}

/** The one of comma, semicolon and tab that the heading has most of. */
function delimiterOf(text: string): string {
  const heading = text.split("\n", 1)[0] ?? "";
  const count = (delimiter: string): number => heading.split(delimiter).length;
  return [",", ";", "\t"].toSorted((a, b) => count(b) - count(a))[0]!;
}

/** As pandas' to_json(orient="records") writes it. */
function readJsonList(text: string, file: string): Table {
  let value: unknown;
  try {
    value = parseLine(text);
  } catch (error) {
    throw mistake(file, 1, `not valid JSON: ${(error as Error).message}`);
  }
  return tableOf(value as unknown[], file);
}

/** @param records a row each */
export function tableOf(records: readonly unknown[], file: string): Table {
  const columns = new Set<string>();
  const rows = records.map((record, i): TableRow => {
    const cells = cellsOf(record, file, i + 1);
    for (const name of Object.keys(cells)) checkColumn(columns.add(name), name, file, i + 1);
    return { line: i + 1, cells };
  });
  if (rows.length === 0) throw mistake(file, 1, "there are no rows");
  return { columns: [...columns], rows };
}

function cellsOf(value: unknown, file: string, line: number): Record<string, CellValue> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw mistake(file, line, "expected a JSON object");
  return flat(value as Record<string, unknown>, file, line);
}

function readJsonLines(text: string, file: string): Table {
  const columns = new Set<string>();
  const rows = text.split("\n").flatMap((line, i): TableRow[] => {
    if (line.trim() === "") return [];
    let value: unknown;
    try {
      value = parseLine(line);
    } catch (error) {
      throw mistake(file, i + 1, `not valid JSON: ${(error as Error).message}`);
    }
    const cells = cellsOf(value, file, i + 1);
    for (const name of Object.keys(cells)) checkColumn(columns.add(name), name, file, i + 1);
    return [{ line: i + 1, cells }];
  });
  return { columns: [...columns], rows };
}

/** Strings, to the end of the line where they have none, and what Python writes and JSON does not have. */
const STRINGS_AND_NO_NUMBERS = /"(?:[^"\\]+|\\.)*"?|-?Infinity|NaN/g;

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return JSON.parse(line.replace(STRINGS_AND_NO_NUMBERS, (found) => (found[0] === '"' ? found : "null")));
  }
}

/** @param columns all that are known, with this one */
function checkColumn(columns: ReadonlySet<string>, name: string, file: string, line: number): void {
  if (name.length > MAX_NAME_CHARACTERS) throw tooLong(file, line);
  if (columns.size > MAX_COLUMNS) throw tooMany(file, line);
}

const tooLong = (file: string, line: number): MusweepError =>
  mistake(file, line, `a column's name is longer than ${MAX_NAME_CHARACTERS} characters`);

const tooMany = (file: string, line: number): MusweepError =>
  mistake(
    file,
    line,
    `there are more than ${MAX_COLUMNS} columns; leave out what is neither set nor measured`,
  );

/** {"config": {"lr": 0.1}} has the column config.lr. What is no plain value is left out. */
function flat(value: Record<string, unknown>, file: string, line: number): Record<string, CellValue> {
  const cells: Record<string, CellValue> = {};
  let width = 0;
  /** What is still to be gone through, the next at the end. */
  const open: [name: string, value: unknown, level: number][] = [["", value, 0]];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [name, inner, level] = next;
    if (inner === null || ["string", "number", "boolean"].includes(typeof inner)) {
      if (++width > MAX_COLUMNS) throw tooMany(file, line);
      cells[name] = inner as CellValue;
    } else if (typeof inner === "object" && !Array.isArray(inner)) {
      if (level === MAX_LEVELS)
        throw mistake(file, line, `objects stand within each other more than ${MAX_LEVELS} levels deep`);
      const prefix = level === 0 ? "" : `${name}.`;
      if (prefix.length > MAX_NAME_CHARACTERS) throw tooLong(file, line);
      const entries = Object.entries(inner as Record<string, unknown>);
      for (const [key, own] of entries.reverse()) open.push([prefix + key, own, level + 1]);
    }
  }
  return cells;
}
