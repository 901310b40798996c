/**
 * Jobs that workers have taken: who has them, and what they are. Anybody may have written them: no more of one is read than a job of
 * musweep's can be, and what cannot be read is taken off the queue.
 */
import type { Queue } from "bullmq";
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import type { Job } from "../../schema/wire/job.ts";

/** More than workers have slots, on any number of hosts; what is beyond comes when these are gone. */
const MOST = 10_000;
const MOST_BYTES = 1 << 20;
const ID_CHARACTERS = 100;

/** Of each key, who has the job and its data; false where it is no job, or too large for one. */
const READ = `
local read = {}
for i, key in ipairs(KEYS) do
  read[i] = false
  if redis.call('TYPE', key).ok == 'hash' and redis.call('HSTRLEN', key, 'data') <= tonumber(ARGV[1])
    and redis.call('HSTRLEN', key, 'pb') <= tonumber(ARGV[1]) then
    read[i] = redis.call('HMGET', key, 'pb', 'data')
  end
end
return read`;

export interface ActiveJob {
  id: string;
  /** The worker's name; null before it has said so. */
  worker: string | null;
  /** JSON, of whatever shape. */
  data: unknown;
}

export async function readActive(redis: Redis, queue: Queue<Job>, log: Logger): Promise<ActiveJob[]> {
  const ids = await redis.lrange(queue.toKey("active"), 0, MOST - 1);
  if (ids.length === 0) return [];
  const keys = ids.map((id) => queue.toKey(id));
  const read = (await redis.eval(READ, keys.length, ...keys, MOST_BYTES)) as (
    | [worker: string | null, data: string | null]
    | null
  )[];
  const jobs: ActiveJob[] = [];
  for (const [i, id] of ids.entries()) {
    const data = parse(read[i]?.[1]);
    if (data === undefined) {
      await redis.lrem(queue.toKey("active"), 0, id);
      await redis.del(keys[i]!, `${keys[i]!}:lock`);
      log.error(
        { queue: queue.name, job: id.slice(0, ID_CHARACTERS) },
        "a job that cannot be read: taken off the queue",
      );
    } else jobs.push({ id, worker: read[i]![0], data });
  }
  return jobs;
}

function parse(text: string | null | undefined): unknown {
  try {
    return JSON.parse(text ?? "");
  } catch {
    return undefined;
  }
}
