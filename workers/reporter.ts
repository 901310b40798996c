/**
 * Reports one attempt's events to the collector, through the Redis stream. Metric points are gathered for a second so that
 * a fast trainer does not become one stream entry per step; every other event sends what was gathered first. Where Redis has lost
 * what it held meanwhile, the curve is said again before the end of the run: the collector keeps each point once.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Redis, ReplyError } from "ioredis";
import {
  EVENT_STREAM,
  type MetricPoint,
  STREAM_ID_KEY,
  type WorkerEvent,
  type WorkerEventBody,
} from "../schema/wire/events.ts";

const FLUSH_MS = 1000;
const REFUSED_MS = 1000;
/** Of one event. */
const POINTS_AT_ONCE = 1000;

export class Reporter {
  readonly #redis: Redis;
  readonly #identity: Omit<WorkerEvent, "sequence" | "at" | "body">;
  readonly #gone: AbortSignal;
  /** The stream that the attempt was begun on. */
  readonly #stream: Promise<string | null>;
  /** Everything of the curve, as it was sent. */
  readonly #curve: WorkerEventBody[] = [];
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
    this.#stream = unlessAborted(redis.get(STREAM_ID_KEY), gone);
    this.#stream.catch(() => undefined);
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
    if (body.type === "coordinates") this.#curve.push(body);
    if (body.type === "finished" || body.type === "diverged") this.#sayAgainIfLost();
    this.#send(body);
    return this.#sent;
  }

  #sayAgainIfLost(): void {
    this.#sent = this.#sent.then(async () => {
      const now = await unlessAborted(this.#redis.get(STREAM_ID_KEY), this.#gone);
      if (now === (await this.#stream)) return;
      for (const body of this.#curve) await this.#add(body);
    });
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#points.length === 0) return;
    for (let i = 0; i < this.#points.length; i += POINTS_AT_ONCE) {
      const body = { type: "metrics", points: this.#points.slice(i, i + POINTS_AT_ONCE) } as const;
      this.#curve.push(body);
      this.#send(body);
    }
    this.#points = [];
  }

  /**
   * Numbered as it is sent, so that nothing sent before it has a higher number. What Redis refuses (it is full, or cannot write, or
   * is a replica for a moment) is sent until it is taken: the training may have hours to go until then.
   */
  async #add(body: WorkerEventBody): Promise<unknown> {
    const event: WorkerEvent = { ...this.#identity, sequence: ++this.#sequence, at: Date.now(), body };
    const text = JSON.stringify(event);
    for (;;) {
      try {
        return await unlessAborted(this.#redis.xadd(EVENT_STREAM, "*", "event", text), this.#gone);
      } catch (error) {
        if (!(error instanceof ReplyError)) throw error;
        await sleep(REFUSED_MS, undefined, { signal: this.#gone });
      }
    }
  }

  #send(body: WorkerEventBody): void {
    this.#sent = this.#sent.then(() => this.#add(body));
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
