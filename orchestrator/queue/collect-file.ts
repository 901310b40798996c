/** Applies events that come back in a file from where no queue could be reached: with the fencing of any others, twice without harm. */
import type { FileHandle } from "node:fs/promises";
import { MusweepError } from "../../schema/wire/errors.ts";
import { MAX_EVENT_BYTES, type WorkerEvent, workerEventSchema } from "../../schema/wire/events.ts";
import { unreadable } from "../../schema/wire/path-error.ts";
import { inOneLine } from "../../schema/wire/printable.ts";
import { openRegular } from "../../schema/wire/regular-file.ts";
import { type Applied, ENDS, foresee } from "../database/apply-event.ts";
import { applyEvents } from "../database/apply-events.ts";
import type { Database } from "../database/open.ts";
import { fitAhead } from "../database/optima.ts";
import { splitLines } from "../machine/split-lines.ts";
import { inTurns } from "../machine/turns.ts";
import { advancePhases } from "../phases/advance.ts";

const BATCH = 500;
const CHUNK_BYTES = 1 << 18;

export interface Collected extends Record<Applied, number> {
  file: string;
  events: number;
  /** Runs that have come to an end by it. */
  ended: number;
}

/** @throws MusweepError (usage): the file cannot be read, or a line of it is no event; nothing of it counts then */
export async function collectFile(db: Database, file: string): Promise<Collected> {
  const handle = await openRegular(file).catch((cause: unknown) => {
    throw failed(file, cause);
  });
  try {
    return await collect(db, file, handle);
  } finally {
    await handle.close();
  }
}

async function collect(db: Database, file: string, handle: FileHandle): Promise<Collected> {
  // All of it is looked at before any of it is applied. What is appended meanwhile is left to the next time.
  const { size, mtimeMs } = await handle.stat();
  for await (const _event of readEvents(file, handle, size));
  const now = await handle.stat();
  if (now.size < size || (now.size === size && now.mtimeMs !== mtimeMs)) throw changed(file);
  const collected: Collected = {
    ...{ applied: 0, duplicate: 0, fenced: 0, refused: 0, unknown: 0 },
    ...{ file, events: 0, ended: 0 },
  };
  let batch: WorkerEvent[] = [];
  const apply = async (): Promise<void> => {
    const fits = await inTurns(fitAhead(db, foresee(batch)));
    const results = db.transaction(() => applyEvents(db, batch, fits));
    for (const [i, result] of results.entries()) {
      collected.events++;
      collected[result]++;
      if (result === "applied" && ENDS.has(batch[i]!.body.type)) collected.ended++;
    }
    batch = [];
  };
  for await (const event of readEvents(file, handle, size)) if (batch.push(event) === BATCH) await apply();
  if (batch.length > 0) await apply();
  // Phases that waited for these runs start with the next orchestrator, or with the one that runs.
  advancePhases(db);
  return collected;
}

/** A line that was cut off at the end of the file, by a crash or in the middle of being written, is left out. */
async function* readEvents(file: string, handle: FileHandle, size: number): AsyncGenerator<WorkerEvent> {
  const tooLong = (line: number) => noEvent(file, line);
  let wrong: { number: number; isEnded: boolean } | undefined;
  try {
    for await (const { line, number, isEnded } of splitLines(read(handle, size), MAX_EVENT_BYTES, tooLong)) {
      if (wrong !== undefined) throw noEvent(file, wrong.number);
      const text = line.toString("utf8");
      if (text.trim() === "") continue;
      const event = parse(text);
      if (event === undefined) wrong = { number, isEnded };
      else yield event;
    }
  } catch (cause) {
    throw failed(file, cause);
  }
  if (wrong !== undefined && (wrong.number === 1 || wrong.isEnded)) throw noEvent(file, wrong.number);
}

/** From the beginning, and no further than there was when it was looked at. */
async function* read(handle: FileHandle, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < size; ) {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size - at));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

function parse(line: string): WorkerEvent | undefined {
  try {
    return workerEventSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

const failed = (file: string, cause: unknown): unknown =>
  cause instanceof MusweepError
    ? cause
    : unreadable(file, cause, {
        code: "events-file",
        remedy: "It is what `python -m musweep_torch --events FILE` has written.",
      });

const changed = (file: string): MusweepError =>
  new MusweepError("events-file", `${inOneLine(file)} changed while it was read; nothing was collected`, {
    kind: "usage",
    remedy: "Collect it again when nobody copies or edits it; what only appends to it does no harm.",
  });

const noEvent = (file: string, line: number): MusweepError =>
  new MusweepError("events-file", `${inOneLine(file)}:${line}: no event of a worker; nothing was collected`, {
    kind: "usage",
    remedy: "Name the file that `python -m musweep_torch --events FILE` has written, as it is.",
  });
