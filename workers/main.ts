/**
 * The worker process: its configuration is the first line of stdin, its log goes to stderr. SIGTERM, SIGINT, and what schedulers send before
 * they end a job (SIGUSR1, SIGUSR2, SIGHUP) stop it: runs in progress are checkpointed and given back, and it ends with exit code 0.
 */
import { isatty } from "node:tty";
import { pino } from "pino";
import { EXIT_CODES } from "../schema/wire/errors.ts";
import { logStream } from "../schema/wire/log.ts";
import { keepDebuggerClosed, onStopSignal } from "../schema/wire/stop-signals.ts";
import { EXIT_WITHOUT_TRAINER, workerConfigSchema } from "../schema/wire/worker.ts";
import { firstLine } from "./first-line.ts";
import { untilLimit } from "./limits.ts";
import { readable } from "./readable-log.ts";
import { startWorker } from "./worker.ts";

keepDebuggerClosed();
const config = workerConfigSchema.parse(JSON.parse(await firstLine(process.stdin)));
const errors = logStream(2);
const log = pino(
  { base: null },
  isatty(2) ? { write: (line: string) => errors.write(readable(line)) } : errors,
);
const worker = startWorker(config, log);

/** Before the whole grace is over it leaves whatever still waits; what it held is taken up by others. */
const LEAVE_BEFORE_MS = 500;

let stopping = false;
const stop = async (why: string, code: number = EXIT_CODES.ok): Promise<void> => {
  if (stopping) return;
  stopping = true;
  log.info(`stopping (${why}): runs in progress are checkpointed and given back`);
  setTimeout(
    () => {
      log.error("stopping took too long: leaving without waiting any further");
      process.exit(code);
    },
    config.grace_seconds * 1000 - LEAVE_BEFORE_MS,
  );
  await worker.close();
  process.exit(code);
};
void worker.diskFull.then(() => stop("the disk takes no more", EXIT_CODES.unavailable));
void worker.trainerUnfit.then(() => stop("its trainer does not start", EXIT_WITHOUT_TRAINER));
onStopSignal((signal) => void stop(signal));
if (config.exit_with_stdin) {
  process.stdin.on("end", () => void stop("parent gone")).resume();
}
// Its time ends, too, while it waits for Redis.
void worker.ready.catch((error: unknown) => {
  if (!stopping) throw error;
});
const { why, code } = await untilLimit(worker, config);
await stop(why, code);
