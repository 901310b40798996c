/**
 * Runs that wait for a worker which is not there, one with a GPU, with PyTorch, with somebody's own trainer; and workers that are there and
 * cannot train.
 */
import { describeNeed, type Need, workerCommandFor } from "../../schema/wire/need.ts";
import type { Inability } from "../../schema/wire/worker.ts";
import type { Database } from "../database/open.ts";
import { needsOf, type WaitingRuns, waitingRuns } from "../database/queued-runs.ts";
import { plural } from "../terminal/format.ts";

export interface UnmetNeed extends WaitingRuns {
  /** What starts a worker that trains them. */
  command: string;
}

/** @param met by the workers that are there; @param sweep its name; absent: every active one */
export function unmetNeeds(db: Database, met: ReadonlySet<Need>, sweep?: string): UnmetNeed[] {
  const unmet = needsOf(db, ["pending", "queued"]).filter((need) => !met.has(need));
  // Counting takes a look at every run of the sweeps, so it is done only where nobody trains them.
  return unmet.length === 0
    ? []
    : waitingRuns(db, unmet, sweep).map((waiting) => ({
        ...waiting,
        command: workerCommandFor(waiting.need),
      }));
}

/** "12 runs of target wait for a cuda worker" */
export const unmetText = ({ sweep, need, runs }: UnmetNeed): string =>
  `${plural(runs, "run")} of ${sweep} ${runs === 1 ? "waits" : "wait"} for ${describeNeed(need)}`;

/** @param inability and how many workers say it of themselves */
export const unableText = ({ what, why, workers }: Inability & { workers: number }): string =>
  `${plural(workers, "worker")} cannot train ${what}, and leaves it to others: ${why}`;
