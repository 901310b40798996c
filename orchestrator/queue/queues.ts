/** The queues that runs go on, one for each need. They are opened as runs come that need them. */
import { Queue } from "bullmq";
import type { Redis } from "ioredis";
import { RUN_STATES } from "../../schema/database/states.ts";
import { type Job, queueName } from "../../schema/wire/job.ts";
import type { Need } from "../../schema/wire/need.ts";
import { BUILT_IN_TRAINER } from "../../schema/wire/plan.ts";
import type { Database } from "../database/open.ts";
import { needsOf } from "../database/queued-runs.ts";

export class Queues {
  readonly #db: Database;
  readonly #connection: Redis;
  readonly #open = new Map<Need, Queue<Job>>();

  constructor(db: Database, connection: Redis) {
    this.#db = db;
    this.#connection = connection;
  }

  for(need: Need): Queue<Job> {
    const known = this.#open.get(need);
    if (known !== undefined) return known;
    const queue = new Queue<Job>(queueName(need), { connection: this.#connection });
    // Without a listener BullMQ prints them; that the connection is lost has been said.
    queue.on("error", () => undefined);
    this.#open.set(need, queue);
    return queue;
  }

  /** Those of all runs that there are, whatever has become of them; and the one of runs that say nothing of it. */
  all(): Queue<Job>[] {
    for (const need of [BUILT_IN_TRAINER, ...needsOf(this.#db, RUN_STATES)]) this.for(need);
    return [...this.#open].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, queue]) => queue);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.values()].map((queue) => queue.close()));
  }
}
