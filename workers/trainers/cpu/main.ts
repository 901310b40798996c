/**
 * The embedded trainer's process: reads commands as JSON lines on stdin, writes events as JSON lines on stdout, stays warm
 * between runs, and exits when stdin closes. See docs/trainer-protocol.md.
 */
import { writeSync } from "node:fs";
import { z } from "zod";
import { MusweepError } from "../../../schema/wire/errors.ts";
import {
  commandSchema,
  MAX_LINE_BYTES,
  type ModelRunCommand,
  type TrainerEvent,
} from "../../../schema/wire/protocol.ts";
import { sleepSync } from "../../../schema/wire/sleep-sync.ts";
import { outliveStopSignals } from "../../../schema/wire/stop-signals.ts";
import { MOST_THREADS } from "./tape.ts";
import { ENGINE, type Interruption, trainRun } from "./train.ts";

// The worker says when to stop: what is under way is to be checkpointed.
outliveStopSignals();

/** A worker runs one trainer per core, by default. */
function threadsFromEnvironment(): number {
  const text = process.env.MUSWEEP_THREADS;
  if (text === undefined || text === "") return 1;
  const threads = Number(text);
  if (Number.isInteger(threads) && threads >= 1 && threads <= MOST_THREADS) return threads;
  console.error(`MUSWEEP_THREADS is "${text}"; it must be a whole number from 1 to ${MOST_THREADS}.`);
  process.exit(2);
}

const STDOUT = 1;
const BUSY_MS = 5;

/** Waits for a reader that is slower than the run, whose events would else be held here. */
function emit(event: TrainerEvent): void {
  const line = Buffer.from(`${JSON.stringify(event)}\n`);
  for (let done = 0; done < line.length; ) {
    try {
      done += writeSync(STDOUT, line, done);
    } catch (error) {
      // The worker has gone: nobody is left to train for.
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") process.exit(0);
      sleepSync(BUSY_MS);
    }
  }
}

const threads = threadsFromEnvironment();
let active: { run: string; asked: Interruption } | null = null;

async function execute(command: ModelRunCommand): Promise<void> {
  const state: { run: string; asked: Interruption } = { run: command.run, asked: null };
  active = state;
  try {
    await trainRun(command, threads, emit, () => state.asked);
  } catch (error) {
    emit(failure(command.run, error));
  } finally {
    active = null;
  }
}

/** No space, no quota, read-only, broken, a file too large for a limit: another attempt may find room. */
const DISK_CODES = new Set(["ENOSPC", "EDQUOT", "EROFS", "EIO", "EFBIG"]);
const isOfDisk = (error: unknown): boolean =>
  error instanceof Error && "code" in error && DISK_CODES.has(String(error.code));

function failure(run: string, error: unknown): TrainerEvent {
  if (error instanceof MusweepError) {
    const message = error.remedy === undefined ? error.message : `${error.message} ${error.remedy}`;
    return { type: "failed", run, code: error.code, message, retryable: false };
  }
  const message = error instanceof Error ? error.message : String(error);
  if (isOfDisk(error))
    return {
      type: "failed",
      run,
      code: "disk",
      message: `The disk cannot be written: ${message}.`,
      retryable: true,
    };
  console.error(error);
  return { type: "failed", run, code: "internal", message, retryable: true };
}

/** The run that a refused command names, as far as it names one. */
const namedRun = (json: unknown): string =>
  z.object({ run: z.string() }).safeParse(json).data?.run ?? "unknown";

function handle(line: string): void {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    emit({
      type: "failed",
      run: "unknown",
      code: "invalid-command",
      message: "A command is not JSON.",
      retryable: false,
    });
    return;
  }
  const parsed = commandSchema.safeParse(json);
  if (!parsed.success) {
    const message = `The command is invalid: ${z.prettifyError(parsed.error)}`;
    emit({ type: "failed", run: namedRun(json), code: "invalid-command", message, retryable: false });
    return;
  }
  const command = parsed.data;
  if (command.type === "run") {
    if (active === null) void execute(command);
    else {
      const message = `This trainer is busy with run ${active.run}; it trains one run at a time.`;
      emit({ type: "failed", run: command.run, code: "busy", message, retryable: true });
    }
  } else if (active?.run === command.run) active.asked = command.type;
  // A run may end while a stop for it is under way; its own last event is the answer.
  else console.error(`No run ${command.run} to ${command.type}.`);
}

let pending = "";
process.stdin.setEncoding("utf8");
process.stdin.on("data", (chunk: string) => {
  const lines = (pending + chunk).split("\n");
  pending = lines.pop()!;
  for (const line of lines) if (line.trim() !== "") handle(line);
  if (pending.length <= MAX_LINE_BYTES) return;
  console.error(`A command is longer than ${MAX_LINE_BYTES} bytes; this is not the trainer protocol.`);
  process.exit(2);
});
process.stdin.on("end", () => process.exit(0));

emit({
  type: "ready",
  protocol: 1,
  engine: ENGINE.name,
  engine_version: ENGINE.version,
  device: "cpu",
});
