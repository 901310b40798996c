/**
 * Runs one query in a process of its own, because SQLite holds its thread until it is done and only the end of the process
 * is sure to interrupt it. The request comes on standard input; answers go to standard output, a JSON value a line: the
 * columns, every row, and at last an end or an error.
 */
import { readFileSync, writeSync } from "node:fs";
import { MusweepError } from "../../schema/wire/errors.ts";
import { sleepSync } from "../../schema/wire/sleep-sync.ts";
import { keepDebuggerClosed } from "../../schema/wire/stop-signals.ts";
import { openDatabase } from "../database/open.ts";
import { startQuery, type Value } from "../database/query.ts";
import { type QueryRequest, queryRequestSchema } from "./query-messages.ts";

const BUFFER_CHARACTERS = 1 << 16;
const FULL_MS = 2;

let pending = "";

/** Waits while the reader is behind: nothing piles up here. */
function flush(): void {
  let rest = Buffer.from(pending);
  while (rest.length > 0) rest = rest.subarray(writeSome(rest));
  pending = "";
}

/** Standard output blocks while it is full, unless what loads this program has looked at it: then it says so. */
function writeSome(bytes: Buffer): number {
  try {
    return writeSync(1, bytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    sleepSync(FULL_MS);
    return 0;
  }
}

function write(line: unknown): void {
  pending += `${JSON.stringify(line)}\n`;
  if (pending.length >= BUFFER_CHARACTERS) flush();
}

/** What JSON can hold; long texts cut where the request says so. */
function plain(value: Value, characters: number): string | number | null {
  if (value === null) return null;
  if (typeof value === "number") return Number.isFinite(value) ? value : value > 0 ? "Inf" : "-Inf";
  const text = Buffer.isBuffer(value) ? `x'${value.toString("hex")}'` : String(value);
  return text.length > characters ? `${text.slice(0, characters)}… (${text.length} characters)` : text;
}

function run({ database, query, max_rows, max_characters, max_value_characters }: QueryRequest): void {
  const db = openDatabase(database, { readonly: true });
  const { columns, rows } = startQuery(db, query);
  write({ columns });
  // What the person sees first must not wait for what is still computed.
  flush();
  let written = 0;
  let characters = 0;
  for (const row of rows) {
    if (written === (max_rows ?? -1) || characters > (max_characters ?? Number.POSITIVE_INFINITY)) {
      write({ end: "capped" });
      return;
    }
    const values = row.map((value) => plain(value, max_value_characters ?? Number.POSITIVE_INFINITY));
    for (const value of values) characters += typeof value === "string" ? value.length : 8;
    write(values);
    written++;
  }
  write({ end: "complete" });
}

keepDebuggerClosed();
try {
  run(queryRequestSchema.parse(JSON.parse(readFileSync(0, "utf8"))));
} catch (error) {
  if (!(error instanceof MusweepError)) throw error;
  const { code, message, kind, remedy } = error;
  write({ error: { code, message, kind, remedy } });
}
flush();
