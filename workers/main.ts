/** The worker process: its configuration is the one argument, its log goes to stderr, SIGTERM or SIGINT stops it cleanly. */
import { pino } from "pino";
import { EXIT_CODES } from "../schema/errors.ts";
import { workerConfigSchema } from "../schema/worker.ts";
import { startWorker } from "./worker.ts";

const config = workerConfigSchema.parse(JSON.parse(process.argv[2] ?? "null"));
const log = pino({ base: null }, pino.destination({ fd: 2, sync: true }));
const worker = startWorker(config, log);

let stopping = false;
const stop = async (why: string): Promise<void> => {
  if (stopping) return;
  stopping = true;
  log.info(`stopping (${why}): runs in progress are checkpointed and given back`);
  await worker.close();
  process.exit(EXIT_CODES.ok);
};
process.on("SIGTERM", () => void stop("SIGTERM"));
process.on("SIGINT", () => void stop("SIGINT"));
if (config.exit_with_stdin) {
  process.stdin.on("end", () => void stop("parent gone")).resume();
}
await worker.ready.catch((error: unknown) => {
  if (!stopping) throw error;
});
