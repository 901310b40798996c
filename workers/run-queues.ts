/**
 * The queues that a worker reads, one for each need that it can meet. BullMQ's own loop reads one queue, without asking whether a slot
 * is free; here a job is taken when a slot is, from each of the queues in turn, so that none starves beside a longer one. What holds a job,
 * renews its lock, ends it and finds those of lost workers is BullMQ's.
 */
import { randomUUID } from "node:crypto";
import { type Job as BullJob, Worker } from "bullmq";
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { isRefusal, type Job, jobSchema, queueName } from "../schema/wire/job.ts";
import type { Need } from "../schema/wire/need.ts";
import type { Cohort, Companion } from "./cohort.ts";

/** A job that is taken, for a slot. */
export interface Claim {
  need: Need;
  /** Of the slot. */
  device: string;
  /** Key of the lock on the job, and what it holds while this worker has the job. */
  lock: string;
  token: string;
  /** Those that it is trained together with, where another run has taken it along. */
  cohort?: Cohort;
  /** What else has to be over before the slot is free. */
  together: Promise<unknown>[];
  /** Call when the run has joined its cohort. */
  joined(): void;
}

/** Resolves when the run is over, whatever became of it. @throws what fails the job: UnrecoverableError for good */
export type Processor = (job: BullJob<Job>, claim: Claim) => Promise<void>;

class RunQueue extends Worker<Job> {
  /** Renews locks, and looks for those that nobody has renewed. */
  async start(): Promise<void> {
    await this.waitUntilReady();
    await this.startStalledCheckTimer();
    this.lockManager.start();
  }
}

export class RunQueues {
  readonly #queues: ReadonlyMap<Need, RunQueue>;
  /** By the token of each job's lock. */
  readonly #claims = new Map<string, Claim>();
  readonly #connection: Redis;
  /** The need whose queue had the last job. */
  #last: Need | undefined;

  constructor(
    needs: readonly Need[],
    processor: Processor,
    {
      connection,
      worker,
      lockMs,
      log,
      onLockLost,
    }: {
      connection: Redis;
      /** Its name: by its heartbeat it is known whether whoever has a job is still there. */
      worker: string;
      lockMs: number;
      log: Logger;
      onLockLost: (jobId: string) => void;
    },
  ) {
    this.#connection = connection;
    const process = (job: BullJob<Job>, token?: string): Promise<void> =>
      processor(job, this.#claims.get(token!)!);
    const open = (need: Need): RunQueue => {
      const queue = new RunQueue(queueName(need), process, {
        connection,
        name: worker,
        autorun: false,
        lockDuration: lockMs,
        stalledInterval: lockMs,
        // The orchestrator takes runs of lost workers back, and gives up those that make no progress. This is for when there is none.
        maxStalledCount: 3,
        removeOnComplete: { count: 1000 },
        removeOnFail: { count: 1000 },
      });
      queue.on("error", (error) => {
        // That the connection is lost has been said, and is not said again by each queue at each try.
        if (!("syscall" in error)) log.error(error.message);
      });
      queue.on("failed", (job, error) => {
        if (isRefusal(error.message)) log.error({ job: job?.id?.slice(0, 100) }, error.message);
      });
      queue.on("lockRenewalFailed", (ids) => ids.forEach(onLockLost));
      return queue;
    };
    this.#queues = new Map(needs.map((need) => [need, open(need)]));
  }

  get needs(): Need[] {
    return [...this.#queues.keys()];
  }

  async start(): Promise<void> {
    await Promise.all([...this.#queues.values()].map((queue) => queue.start()));
  }

  /**
   * Takes the next job of one of these queues, which is processed from then on.
   * @param device of the slot that it is for
   * @returns undefined when none waits; `done` resolves when the job is over and BullMQ knows
   */
  async next(needs: readonly Need[], device: string): Promise<{ done: Promise<void> } | undefined> {
    const after = needs.indexOf(this.#last ?? "") + 1;
    for (const need of [...needs.slice(after), ...needs.slice(0, after)]) {
      const queue = this.#queues.get(need)!;
      const token = randomUUID();
      const job = await queue.getNextJob(token, { block: false });
      if (job === undefined) continue;
      this.#last = need;
      const { done, claim } = this.#process(need, job, token, device);
      return { done: done.then(() => Promise.all(claim.together)).then(() => undefined) };
    }
    return undefined;
  }

  #process(need: Need, job: BullJob<Job>, token: string, device: string, cohort?: Cohort) {
    const queue = this.#queues.get(need)!;
    let joined: () => void = () => undefined;
    const ready = new Promise<void>((resolve) => {
      joined = resolve;
    });
    const claim: Claim = {
      ...{ need, device, token, lock: `${queue.toKey(job.id!)}:lock`, together: [], joined },
      ...(cohort === undefined ? {} : { cohort }),
    };
    this.#claims.set(token, claim);
    // The next job is taken by whichever slot is free.
    const processed = queue.processJob(job, token, () => false);
    const done = processed.then(() => undefined).finally(() => this.#claims.delete(token));
    return { claim, done, ready: Promise.race([ready, done]) };
  }

  /** How many of the jobs that come next on a queue, one after the other, are of this shape; `most` are looked at. */
  async alike({ need }: Claim, shape: string, most: number): Promise<number> {
    const queue = this.#queues.get(need)!;
    const ids = (await this.#connection.lrange(queue.toKey("wait"), -most, -1)).reverse();
    const reads = this.#connection.pipeline();
    for (const id of ids) reads.hget(queue.toKey(id), "data");
    const data = (await reads.exec())!.map(([, text]) => text);
    const other = data.findIndex((text) => typeof text !== "string" || shapeOf(text) !== shape);
    return other < 0 ? ids.length : other;
  }

  /** Takes up to so many jobs for the slot of one that is taken, as long as they are of the cohort's shape. */
  async gather(leader: Claim, cohort: Cohort, most: number): Promise<Companion[]> {
    const queue = this.#queues.get(leader.need)!;
    const companions: Companion[] = [];
    while (companions.length < most) {
      const token = randomUUID();
      // Where Redis fails this moment, those that have been taken are enough.
      const job = await queue.getNextJob(token, { block: false }).catch(() => undefined);
      if (job === undefined) break;
      if (job.data?.shape !== cohort.shape) {
        // Another worker was faster. What cannot be put back now is taken back when its lock ends.
        await job.moveToWait(token).catch(() => undefined);
        break;
      }
      const { done, ready } = this.#process(leader.need, job, token, leader.device, cohort);
      leader.together.push(done);
      companions.push({ ready });
    }
    return companions;
  }

  /** Jobs that no worker has. */
  async waiting(redis: Redis): Promise<number> {
    const counts = [...this.#queues.values()].flatMap((queue) => [
      redis.llen(queue.toKey("wait")),
      redis.zcard(queue.toKey("delayed")),
    ]);
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#queues.values()].map((queue) => queue.close()));
  }
}

/** Of a job's data, as far as it is one of ours. */
function shapeOf(text: string): string | undefined {
  try {
    return jobSchema.safeParse(JSON.parse(text)).data?.shape;
  } catch {
    return undefined;
  }
}
