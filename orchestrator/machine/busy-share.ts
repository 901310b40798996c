/** How busy this machine is with other work, which makes every measurement of its speed look slow. */
import { cpus } from "node:os";
import { setTimeout } from "node:timers/promises";

const SAMPLE_MS = 200;

const times = (): { idle: number; all: number } =>
  cpus().reduce(
    (sum, { times }) => ({
      idle: sum.idle + times.idle,
      all: sum.all + Object.values(times).reduce((a, b) => a + b, 0),
    }),
    { idle: 0, all: 0 },
  );

/** Of the time of all processors, the share that is used while this process waits: 0 to 1. */
export async function busyShare(): Promise<number> {
  const before = times();
  await setTimeout(SAMPLE_MS);
  const after = times();
  const all = after.all - before.all;
  return all > 0 ? 1 - (after.idle - before.idle) / all : 0;
}
