/** The places of a worker in which runs are trained: each takes a job when it is free, and is free again when the job is over. */
import { kindOfDevice } from "../schema/wire/worker.ts";

/** Free slots look at the queues so often where nobody says that there is work: jobs of lost workers come back in silence. */
const LOOK_MS = 1000;

interface Source {
  /** Takes the next job that a slot of this device can have; undefined when none waits. `done` resolves when it is over. */
  next(device: string): Promise<{ done: Promise<void> } | undefined>;
  /** Whether jobs may be taken at this moment. */
  isOpen(): boolean;
}

export class Slots {
  /** Devices of the slots that have nothing to do. */
  readonly #free: string[];
  readonly #source: Source;
  /** Jobs that are not over yet, with what BullMQ is still to be told of them. */
  readonly #holding = new Set<Promise<void>>();
  #closing = false;
  #wake: () => void = () => undefined;
  #filling: Promise<void> = Promise.resolve();

  /** @param devices one a slot */
  constructor(devices: readonly string[], source: Source) {
    this.#free = [...devices];
    this.#source = source;
  }

  /** From now on, until it is closed. */
  start(): void {
    this.#filling = this.#fillUntilClosed();
  }

  /** There may be work. */
  wake(): void {
    this.#wake();
  }

  /** Takes no more jobs. Resolves when those that are taken are over. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#wake();
    await this.#filling;
    await Promise.all(this.#holding);
  }

  async #fillUntilClosed(): Promise<void> {
    while (!this.#closing) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await this.#fill();
      const rest = setTimeout(this.#wake, LOOK_MS);
      await woken;
      clearTimeout(rest);
    }
  }

  /** Fills free slots as long as there is work for them. */
  async #fill(): Promise<void> {
    for (const kind of new Set(this.#free.map(kindOfDevice))) {
      for (;;) {
        const place = this.#free.findIndex((device) => kindOfDevice(device) === kind);
        if (place < 0 || this.#closing || !this.#source.isOpen()) break;
        const [device] = this.#free.splice(place, 1) as [string];
        const job = await this.#source.next(device);
        if (job === undefined) {
          this.#free.push(device);
          break;
        }
        const held = job.done.finally(() => {
          this.#free.push(device);
          this.#holding.delete(held);
          this.#wake();
        });
        this.#holding.add(held);
      }
    }
  }
}
