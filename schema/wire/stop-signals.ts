/**
 * How a terminal, a service manager or a scheduler stops a process: by one of these signals, to the process alone or to all
 * processes of its job at once. SIGUSR1 would open Node's debugger, to every user of the machine, where nobody hears it.
 */
import { constants } from "node:os";

const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP"] as const;

/** A wrapper may pass a signal on that the whole job gets too: that is no second one. */
const TOGETHER_MS = 1000;

/**
 * @param stop told of each signal, and whether an earlier one has come before
 * @returns what ends this
 */
export function onStopSignal(stop: (signal: NodeJS.Signals, again: boolean) => void): () => void {
  let last: number | undefined;
  const hear = (signal: NodeJS.Signals): void => {
    const now = performance.now();
    if (last !== undefined && now - last < TOGETHER_MS) return;
    const again = last !== undefined;
    last = now;
    stop(signal, again);
  };
  for (const signal of STOP_SIGNALS) process.on(signal, hear);
  return () => {
    for (const signal of STOP_SIGNALS) process.off(signal, hear);
  };
}

/** For a process whose parent says when it is to end. */
export const outliveStopSignals = (): unknown => onStopSignal(() => undefined);

/** Where nobody else hears SIGUSR1, it is as good as SIGTERM. */
export function keepDebuggerClosed(): void {
  process.on("SIGUSR1", () => {
    if (process.listenerCount("SIGUSR1") === 1) process.kill(process.pid, "SIGTERM");
  });
}

/** Whether a process has ended by such a signal; a shell says 128 and its number. */
export const endedByStop = (code: number | null, signal: NodeJS.Signals | null): boolean =>
  STOP_SIGNALS.some((name) => name === signal || code === 128 + constants.signals[name]);
