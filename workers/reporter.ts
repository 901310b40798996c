/**
 * Reports one attempt's events to the collector, through the Redis stream. Metric points are gathered for a second so that
 * a fast trainer does not become one stream entry per step; every other event sends what was gathered first.
 */
import type { Redis } from "ioredis";
import { EVENT_STREAM, type MetricPoint, type WorkerEvent, type WorkerEventBody } from "../schema/queue.ts";

const FLUSH_MS = 1000;

export class Reporter {
  readonly #redis: Redis;
  readonly #identity: Omit<WorkerEvent, "sequence" | "at" | "body">;
  readonly #gone: AbortSignal;
  #sequence = 0;
  #points: MetricPoint[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** Sends in order; a later event waits for the earlier one's acknowledgement. */
  #sent: Promise<unknown> = Promise.resolve();

  /** @param gone aborted when nothing more can be sent: what waits for it is rejected */
  constructor(redis: Redis, identity: Omit<WorkerEvent, "sequence" | "at" | "body">, gone: AbortSignal) {
    this.#redis = redis;
    this.#identity = identity;
    this.#gone = gone;
  }

  point(point: Partial<MetricPoint> & { step: number }): void {
    this.#points.push({
      train_loss: null,
      validation_loss: null,
      gradient_norm: null,
      tokens_per_second: null,
      ...point,
    });
    this.#timer ??= setTimeout(() => this.#flush(), FLUSH_MS);
  }

  /** Resolves when Redis has the event and all before it; rejects when one of them could not be sent. */
  report(body: WorkerEventBody): Promise<unknown> {
    this.#flush();
    this.#send(body);
    return this.#sent;
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#points.length === 0) return;
    this.#send({ type: "metrics", points: this.#points });
    this.#points = [];
  }

  #send(body: WorkerEventBody): void {
    const event: WorkerEvent = { ...this.#identity, sequence: ++this.#sequence, at: Date.now(), body };
    this.#sent = this.#sent.then(() =>
      unlessAborted(this.#redis.xadd(EVENT_STREAM, "*", "event", JSON.stringify(event)), this.#gone),
    );
    // Whoever waits for an end of the run is told; nobody waits for its points.
    this.#sent.catch(() => undefined);
  }
}

/** A call to ioredis that is disconnected while it waits to connect again never settles, hence the signal. */
function unlessAborted<T>(call: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    call.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
