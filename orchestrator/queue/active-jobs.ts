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

/** Of each id on the list, who has the job and its data; false where it is no job, or too large for one. At once: jobs come and go. */
const READ = `
local read = {}
for i, id in ipairs(redis.call('LRANGE', KEYS[1], 0, ARGV[1] - 1)) do
  local key = ARGV[2] .. id
  read[i] = {id, false, false}
  if redis.call('TYPE', key).ok == 'hash' and redis.call('HSTRLEN', key, 'data') <= tonumber(ARGV[3])
    and redis.call('HSTRLEN', key, 'pb') <= tonumber(ARGV[3]) then
    local found = redis.call('HMGET', key, 'pb', 'data')
    read[i] = {id, found[1], found[2]}
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
  const read = (await redis.eval(READ, 1, queue.toKey("active"), MOST, queue.toKey(""), MOST_BYTES)) as [
    id: string,
    worker: string | null,
    data: string | null,
  ][];
  const jobs: ActiveJob[] = [];
  for (const [id, worker, text] of read) {
    const data = parse(text);
    if (data !== undefined) {
      jobs.push({ id, worker, data });
      continue;
    }
    await redis.lrem(queue.toKey("active"), 0, id);
    await redis.del(queue.toKey(id), `${queue.toKey(id)}:lock`);
    log.error(
      { queue: queue.name, job: id.slice(0, ID_CHARACTERS) },
      "a job that cannot be read: taken off the queue",
    );
  }
  return jobs;
}

function parse(text: string | null): unknown {
  try {
    return JSON.parse(text ?? "");
  } catch {
    return undefined;
  }
}
