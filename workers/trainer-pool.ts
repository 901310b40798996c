/**
 * Warm trainer processes: a finished run's trainer takes the next run that asks for the same trainer on the same device. There are never
 * more of them on a device than it has slots: one that idles ends where another trainer is to start.
 */
import { type OfferedTrainer, slotsOf, type WorkerConfig } from "../schema/wire/worker.ts";
import { commandLineOf } from "./trainer-commands.ts";
import { TrainerProcess, trainerEnvironment } from "./trainer-process.ts";

/** Which trainer a process is, and where. */
interface Seat {
  trainer: OfferedTrainer;
  device: string;
}

export class TrainerPool {
  readonly #slots: readonly string[];
  readonly #env: NodeJS.ProcessEnv;
  readonly #silenceMs: number;
  readonly #onRemark: (remark: string) => void;
  readonly #idle: TrainerProcess[] = [];
  readonly #proven = new Set<OfferedTrainer>();
  readonly #all = new Map<TrainerProcess, Seat>();
  /** Aborted when no trainer may go on, those that are starting included. */
  readonly #over = new AbortController();
  #closing = false;
  #onEmpty: (() => void) | undefined;

  /** @param onRemark told what is odd about a trainer and does no harm */
  constructor(config: WorkerConfig, onRemark: (remark: string) => void) {
    this.#slots = slotsOf(config);
    this.#env = trainerEnvironment(config.threads_per_slot);
    this.#silenceMs = config.silence_seconds * 1000;
    this.#onRemark = onRemark;
  }

  /** @throws TrainerFailure when none can be started */
  async take(trainer: OfferedTrainer, device: string): Promise<TrainerProcess> {
    const seat = { trainer, device };
    while (true) {
      const at = this.#idle.findLastIndex((process) => isSame(this.#all.get(process)!, seat));
      if (at < 0) break;
      const [warm] = this.#idle.splice(at, 1) as [TrainerProcess];
      if (warm.usable) return warm;
      await this.discard(warm);
    }
    await this.#makeRoom(device);
    const { command, env } = commandLineOf(trainer, device);
    const process = await TrainerProcess.start(command, {
      env: { ...this.#env, ...env },
      silenceMs: this.#silenceMs,
      signal: this.#over.signal,
      onRemark: this.#onRemark,
    });
    this.#all.set(process, seat);
    this.#proven.add(trainer);
    if (this.#over.signal.aborted) await process.end(0);
    return process;
  }

  /** Whether it has been ready at least once, on any device. */
  hasStarted(trainer: OfferedTrainer): boolean {
    return this.#proven.has(trainer);
  }

  async #makeRoom(device: string): Promise<void> {
    const room = this.#slots.filter((slot) => slot === device).length;
    const here = [...this.#all].filter(([, seat]) => seat.device === device);
    if (here.length < room) return;
    const at = this.#idle.findIndex((process) => this.#all.get(process)!.device === device);
    if (at >= 0) await this.discard(this.#idle.splice(at, 1)[0]!);
  }

  giveBack(trainer: TrainerProcess): void {
    if (this.#closing) void this.discard(trainer);
    else this.#idle.push(trainer);
  }

  async discard(trainer: TrainerProcess): Promise<void> {
    await trainer.end();
    this.#all.delete(trainer);
    this.#tellIfEmpty();
  }

  /** Ends those that have nothing to do, and the others as they are given back; resolves when none is left. */
  async close(): Promise<void> {
    this.#closing = true;
    const empty = new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
    this.#tellIfEmpty();
    for (const trainer of this.#idle.splice(0)) void this.discard(trainer);
    await empty;
  }

  #tellIfEmpty(): void {
    if (this.#all.size === 0) this.#onEmpty?.();
  }

  /** Ends all of them at once, whatever they do. Runs under way fail with trainer-ended. */
  async kill(): Promise<void> {
    this.#over.abort();
    await Promise.all([...this.#all.keys()].map((trainer) => trainer.end(0)));
  }
}

const isSame = (a: Seat, b: Seat): boolean => a.trainer === b.trainer && a.device === b.device;
