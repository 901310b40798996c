/**
 * What Prometheus reads at /metrics: runs by state, queues, workers, how far the collector is behind, and this process.
 * Everything is read when it is asked for; docs/metrics.md names and explains each.
 */
import { collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { packageVersion } from "../../../../schema/wire/package.ts";
import { countRuns } from "../../../database/runs.ts";
import { busySlots, readWorkers, tokensPerSecond, type WorkerStatus } from "../../../queue/read-workers.ts";
import { atOnce } from "../../../redis/in-time.ts";
import type { Context } from "../../page.ts";

type Source = Pick<Context, "db" | "redis" | "queues" | "eventLag">;

export function createMetrics(source: Source): { readonly contentType: string; text(): Promise<string> } {
  const own = new Registry();
  const fromRedis = new Registry();
  const gauge = <Label extends string>(
    register: Registry,
    name: string,
    help: string,
    labelNames: Label[] = [],
  ): Gauge<Label> => new Gauge({ name, help, labelNames, registers: [register] });

  gauge(own, "musweep_info", "1; its label is the version of the orchestrator", ["version"]).set(
    { version: packageVersion() },
    1,
  );
  const runs = gauge(own, "musweep_runs", "Runs by state", ["state"]);
  const redisUp = gauge(
    own,
    "musweep_redis_up",
    "1 while Redis answers; queues, workers and events are known only then",
  );
  collectDefaultMetrics({ register: own });

  const jobs = gauge(fromRedis, "musweep_queue_jobs", "Jobs on each queue by state", ["queue", "state"]);
  const lagEntries = gauge(
    fromRedis,
    "musweep_event_lag_entries",
    "Events that workers have sent and that are not stored yet",
  );
  const lagSeconds = gauge(
    fromRedis,
    "musweep_event_lag_seconds",
    "How long the oldest event that is not stored yet has been waiting",
  );
  const ofWorker = (name: string, help: string) => gauge(fromRedis, name, help, ["worker", "host"]);
  const age = ofWorker(
    "musweep_worker_heartbeat_age_seconds",
    "Time since the worker's last heartbeat; beyond 7 s it is lost",
  );
  const slots = ofWorker("musweep_worker_slots", "Runs that the worker can train at once");
  const busy = ofWorker("musweep_worker_slots_busy", "Runs that the worker is training");
  const unreadable = gauge(
    fromRedis,
    "musweep_workers_unreadable",
    "Heartbeats that cannot be read: of another version, or something else that writes to Redis",
  );
  const speed = ofWorker("musweep_worker_tokens_per_second", "Tokens that the worker trains on per second");

  const setWorker = (status: WorkerStatus): void => {
    const labels = { worker: status.worker, host: status.host };
    age.set(labels, status.age_seconds);
    slots.set(labels, status.slots);
    busy.set(labels, status.lost ? 0 : busySlots(status));
    speed.set(labels, tokensPerSecond(status));
  };

  return {
    contentType: own.contentType,
    async text() {
      // Every state, those of no run included: a series that comes and goes is hard to alert on.
      for (const [state, count] of countRuns(source.db)) runs.set({ state }, count);
      const read = await atOnce(source.redis, readRedis(source));
      redisUp.set(read === null ? 0 : 1);
      const about = await own.metrics();
      if (read === null) return about;
      // Queues stay, workers come and go.
      for (const metric of [age, slots, busy, speed]) metric.reset();
      for (const [queue, counts] of read.queues)
        for (const [state, count] of Object.entries(counts)) jobs.set({ queue, state }, count);
      lagEntries.set(read.lag.entries);
      lagSeconds.set(read.lag.seconds);
      unreadable.set(read.workers.unreadable.length);
      read.workers.workers.forEach(setWorker);
      return `${about}${await fromRedis.metrics()}`;
    },
  };
}

async function readRedis({ redis, queues: all, eventLag }: Source) {
  const queues = all();
  const [counts, lag, workers] = await Promise.all([
    Promise.all(queues.map((queue) => queue.getJobCounts("waiting", "active", "delayed", "failed"))),
    eventLag(),
    readWorkers(redis),
  ]);
  return { queues: queues.map(({ name }, i) => [name, counts[i]!] as const), lag, workers };
}
