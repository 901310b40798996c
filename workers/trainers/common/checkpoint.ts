/**
 * A run's checkpoints: everything that the next step depends on, in a directory of its own. The last two are kept; a damaged
 * one is passed over. Masks and data order are not stored: they follow from the plan's seed.
 */
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { trainerEventSchema } from "../../../schema/wire/protocol.ts";
import type { LossState } from "./divergence.ts";
import { EventLog } from "./event-log.ts";
import { type NamedTensor, readSafetensors, stageSafetensors } from "./safetensors.ts";

export interface Progress {
  /** Steps done. */
  readonly step: number;
  /** Wall-clock seconds of training and evaluation so far, over all attempts. */
  readonly seconds: number;
  readonly loss: LossState;
  /**
   * The curve so far. Emitted again on resuming: workers that were lost or cut off may not have passed it on, however long ago, and
   * these steps are not trained again.
   */
  readonly events: EventLog;
}

/** Whose arithmetic a state continues: "musweep-cpu", and what tells its bits from those of others of the name. */
export interface Engine {
  readonly name: string;
  readonly version: string;
}

const FORMAT = "musweep-checkpoint-3";
/** As it was before: the events in the metadata, as one list, and no version. */
const OLD_FORMAT = "musweep-checkpoint-2";
const EVENTS = "events";
const KEPT = 2;
const ABANDONED_MS = 3_600_000;
const MESSAGE_CHARACTERS = 500;
const NAME = /^step-(\d{9})\.safetensors$/;

const metadataFields = {
  run: z.string(),
  engine: z.string(),
  step: z.coerce.number().int().positive(),
  seconds: z.coerce.number().nonnegative(),
  loss: z.string(),
};
const metadataSchema = z.discriminatedUnion("format", [
  z.object({ format: z.literal(FORMAT), engine_version: z.string(), ...metadataFields }),
  z.object({ format: z.literal(OLD_FORMAT), events: z.string(), ...metadataFields }),
]);
const eventsSchema = z.array(trainerEventSchema);
const lossSchema = z.strictObject({
  initial: z.number().nullable(),
  lastFinite: z.number().nullable(),
  stepsAbove: z.int().nonnegative(),
});

/**
 * What a killed process left half-written, a while ago: the trainer of a worker that was cut off may still be at work here, beside
 * that of the worker which has the run now. Both write the same bits.
 */
function isAbandoned(path: string): boolean {
  if (!path.endsWith(".tmp")) return false;
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && Date.now() - stat.mtimeMs > ABANDONED_MS;
}

/** Newest first; none when the directory does not exist. */
function listCheckpoints(directory: string): string[] {
  let files: string[];
  try {
    files = readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return files
    .filter((f) => NAME.test(f))
    .sort()
    .reverse();
}

/** A checkpoint that is written but not yet one to resume from. */
export interface StagedCheckpoint {
  readonly path: string;
  readonly bytes: number;
  /** Makes it durable, puts it in place, and removes all but the last two. */
  commit(): Promise<void>;
}

/**
 * Writes a checkpoint. Training may go on before it is committed; one at a time.
 * @param run id of the plan, runIdOf(plan)
 */
export async function stageCheckpoint(
  directory: string,
  run: string,
  engine: Engine,
  progress: Progress,
  tensors: readonly NamedTensor[],
): Promise<StagedCheckpoint> {
  const path = join(directory, `step-${String(progress.step).padStart(9, "0")}.safetensors`);
  const metadata = {
    format: FORMAT,
    run,
    engine: engine.name,
    engine_version: engine.version,
    step: String(progress.step),
    seconds: String(progress.seconds),
    loss: JSON.stringify(progress.loss),
  };
  const events = { name: EVENTS, pieces: progress.events.bytes() };
  const file = await stageSafetensors(path, tensors, metadata, [events]);
  const commit = async () => {
    await file.commit();
    for (const old of listCheckpoints(directory).slice(KEPT)) rmSync(join(directory, old), { force: true });
    for (const name of readdirSync(directory))
      if (isAbandoned(join(directory, name))) rmSync(join(directory, name), { force: true });
  };
  return { path, bytes: file.bytes, commit };
}

type Metadata = z.infer<typeof metadataSchema>;

function eventsOf(metadata: Metadata, bytes: ReadonlyMap<string, Buffer>): EventLog {
  if (metadata.format === OLD_FORMAT) {
    const log = new EventLog();
    for (const event of eventsSchema.parse(JSON.parse(metadata.events))) log.add(event);
    return log;
  }
  const lines = bytes.get(EVENTS);
  if (lines === undefined) throw new Error(`it has no ${EVENTS}`);
  const log = new EventLog(lines);
  log.check();
  return log;
}

/** A note where another engine, or another version of this one, wrote the checkpoint. */
function noteOf(file: string, metadata: Metadata, engine: Engine): string[] {
  const version = metadata.format === FORMAT ? metadata.engine_version : null;
  if (metadata.engine === engine.name && version === engine.version) return [];
  const made = `${metadata.engine} ${version ?? "of an unknown version"}`;
  return [
    `Checkpoint ${file} is of engine ${made}, not ${engine.name} ${engine.version}: from there on numbers may differ by rounding.`,
  ];
}

/** Of a file of somebody else's the error may list every tensor: a note that long would break the protocol, each time anew. */
const inShort = (message: string): string =>
  message.length > MESSAGE_CHARACTERS ? `${message.slice(0, MESSAGE_CHARACTERS)}…` : message;

/**
 * Reads the newest valid checkpoint of this plan into the arrays of `tensors`. Every engine writes the same tensors under the same
 * names; from another's, training goes on as it would have there but for rounding.
 * @returns null when there is none, the arrays then being undefined; and a note for each one that was passed over, and for another
 * engine's
 */
export function loadCheckpoint(
  directory: string,
  run: string,
  engine: Engine,
  tensors: readonly NamedTensor[],
): { progress: Progress | null; notes: string[] } {
  const notes: string[] = [];
  for (const file of listCheckpoints(directory)) {
    try {
      const bytes = new Map<string, Buffer>();
      const metadata = metadataSchema.parse(readSafetensors(join(directory, file), tensors, bytes));
      if (metadata.run !== run) throw new Error(`it belongs to ${metadata.run}`);
      const { step, seconds } = metadata;
      const loss = lossSchema.parse(JSON.parse(metadata.loss));
      const events = eventsOf(metadata, bytes);
      notes.push(...noteOf(file, metadata, engine));
      return { progress: { step, seconds, loss, events }, notes };
    } catch (error) {
      notes.push(`Checkpoint ${file} was passed over: ${inShort((error as Error).message)}.`);
    }
  }
  return { progress: null, notes };
}
