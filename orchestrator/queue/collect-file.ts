/** Applies events that come back in a file from where no queue could be reached: with the fencing of any others, twice without harm. */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { MusweepError } from "../../schema/wire/errors.ts";
import { type WorkerEvent, workerEventSchema } from "../../schema/wire/events.ts";
import { inOneLine } from "../../schema/wire/printable.ts";
import { type Applied, ENDS, foresee } from "../database/apply-event.ts";
import { applyEvents } from "../database/apply-events.ts";
import type { Database } from "../database/open.ts";
import { fitAhead } from "../database/optima.ts";
import { inTurns } from "../machine/turns.ts";
import { advancePhases } from "../phases/advance.ts";

const BATCH = 500;
/** The longest line that a program of ours writes is far shorter. */
const MAX_LINE_CHARACTERS = 1 << 22;

export interface Collected extends Record<Applied, number> {
  file: string;
  events: number;
  /** Runs that have come to an end by it. */
  ended: number;
}

/** @throws MusweepError (usage): the file cannot be read, or a line of it is no event; nothing of it counts then */
export async function collectFile(db: Database, file: string): Promise<Collected> {
  // All of it is looked at before any of it is applied.
  for await (const _event of readEvents(file));
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
  for await (const event of readEvents(file)) if (batch.push(event) === BATCH) await apply();
  if (batch.length > 0) await apply();
  // Phases that waited for these runs start with the next orchestrator, or with the one that runs.
  advancePhases(db);
  return collected;
}

/** A line that was cut off at the end of the file, by a crash or in the middle of being written, is left out. */
async function* readEvents(file: string): AsyncGenerator<WorkerEvent> {
  const lines = createInterface({
    input: createReadStream(file, "utf8"),
    crlfDelay: Number.POSITIVE_INFINITY,
  });
  let number = 0;
  let wrong: number | undefined;
  try {
    for await (const line of lines) {
      if (wrong !== undefined) throw noEvent(file, wrong);
      number++;
      if (line.trim() === "") continue;
      const event = line.length > MAX_LINE_CHARACTERS ? undefined : parse(line);
      if (event === undefined) wrong = number;
      else yield event;
    }
  } catch (cause) {
    if (cause instanceof MusweepError) throw cause;
    throw new MusweepError("events-file", `cannot read ${inOneLine(file)}: ${(cause as Error).message}`, {
      kind: "usage",
      remedy: "It is what `python -m musweep_torch --events FILE` has written.",
      cause,
    });
  }
  if (wrong !== undefined && (number === 1 || (await endsWithNewline(file)))) throw noEvent(file, wrong);
}

function parse(line: string): WorkerEvent | undefined {
  try {
    return workerEventSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

async function endsWithNewline(file: string): Promise<boolean> {
  let last = "";
  for await (const chunk of createReadStream(file, "latin1")) last = (chunk as string).at(-1) ?? last;
  return last === "\n";
}

const noEvent = (file: string, line: number): MusweepError =>
  new MusweepError("events-file", `${inOneLine(file)}:${line}: no event of a worker; nothing was collected`, {
    kind: "usage",
    remedy: "Name the file that `python -m musweep_torch --events FILE` has written, as it is.",
  });
