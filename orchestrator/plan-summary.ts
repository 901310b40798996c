/**
 * What a sweep would train, before anything is queued: runs, how many of them are done already, parameters, FLOPs, and the time
 * it takes at this machine's speed.
 */
import { nonzeroParameterCount, parameterCount, tokenCount, trainingFlops } from "../schema/cost.ts";
import type { Plan } from "../schema/plan.ts";
import type { RunState } from "../schema/tables.ts";
import type { Database } from "./database/open.ts";
import type { LoadedSweep, PhaseExpansion } from "./load-sweep.ts";
import { speedKey } from "./speed.ts";
import type { Cell } from "./sweep/expand-sweep.ts";
import { multiplesOf, takenAxes } from "./sweep/taken-axes.ts";
import { inTurns } from "./turns.ts";

export interface WidthRow {
  width: number;
  layers: number;
  parameters: number;
  /** Smallest and largest number of weights that exist under the masks. */
  nonzero: [number, number];
  runs: number;
  flops: number;
  /** Wall-clock seconds with all slots busy; null when the speed is not known. */
  seconds: number | null;
}

export interface PlanSummary {
  sweep: string;
  points: number;
  duplicates: number;
  runs: number;
  done: number;
  /** Without a result, and trained again only when they are requeued. */
  failed: number;
  to_train: number;
  flops: number;
  seconds: number | null;
  slots: number;
  widths: WidthRow[];
  /** Phases whose values are not known yet; not in the numbers above. */
  waiting: WaitingPhase[];
}

interface WaitingPhase {
  phase: string;
  points: number;
  /** Runs that mean the same training counted once, as far as that can be told. */
  runs: number;
  flops: number;
  /** "learning_rate from proxy × 0.5, 1, 2" */
  takes: string[];
}

/**
 * @param speedsOf tokens per second of one slot by speedKey, for plans one per shape, as far as known; null: no time is wanted
 */
export async function summarizePlan(
  db: Database,
  loaded: LoadedSweep,
  slots: number,
  speedsOf: ((plans: Map<string, Plan>) => Promise<Map<string, number>>) | null,
): Promise<PlanSummary> {
  const unique = await inTurns(uniquePlans(loaded));
  const done = inStates(db, unique.keys(), ["finished", "diverged"]);
  const failed = inStates(db, unique.keys(), ["failed"]);
  const counts = loaded.phases.filter((p) => p.known).map((p) => p.expansion.counts());
  const speeds =
    speedsOf === null
      ? new Map<string, number>()
      : await speedsOf(new Map([...unique.values()].map((plan) => [speedKey(plan), plan])));
  const rows = widthRows(
    [...unique].filter(([run]) => !done.has(run) && !failed.has(run)),
    unique,
    speeds,
    slots,
  );
  return {
    sweep: loaded.sweep.name,
    points: sum(counts.map((c) => c.cells)),
    duplicates: sum(counts.map((c) => c.duplicates)),
    runs: unique.size,
    done: done.size,
    failed: failed.size,
    to_train: unique.size - done.size - failed.size,
    flops: sum(rows.map((r) => r.flops)),
    seconds: rows.some((r) => r.seconds === null) ? null : sum(rows.map((r) => r.seconds!)),
    slots,
    widths: rows,
    waiting: loaded.phases.filter((p) => !p.known).map(waitingPhase),
  };
}

export function* knownCells(loaded: LoadedSweep): Generator<Cell> {
  for (const { known, expansion } of loaded.phases) if (known) yield* expansion.cells();
}

function* uniquePlans(loaded: LoadedSweep): Generator<void, Map<string, Plan>> {
  const plans = new Map<string, Plan>();
  for (const cell of knownCells(loaded)) {
    plans.set(cell.run, cell.plan);
    yield;
  }
  return plans;
}

/** What a run costs does not depend on the values that stand in. */
function waitingPhase({ phase, expansion }: PhaseExpansion): WaitingPhase {
  const runs = new Map([...expansion.cells()].map((cell) => [cell.run, trainingFlops(cell.plan)]));
  const takes = takenAxes(phase.axes).map(({ name, taken }) => {
    const multiples = multiplesOf(name, taken).join(", ");
    return `${name} from ${taken.from}${multiples === "1" ? "" : ` × ${multiples}`}`;
  });
  return {
    phase: phase.name,
    points: expansion.counts().cells,
    runs: runs.size,
    flops: sum([...runs.values()]),
    takes: [...new Set(takes)],
  };
}

const sum = (values: number[]): number => values.reduce((a, b) => a + b, 0);

/** Runs of an earlier sweep, or of this one, that have come so far. */
function inStates(db: Database, runs: Iterable<string>, states: readonly RunState[]): Set<string> {
  const find = db.sqlite.prepare<[string], RunState>("SELECT state FROM runs WHERE id = ?").pluck();
  return new Set([...runs].filter((run) => states.includes(find.get(run)!)));
}

function widthRows(
  toTrain: [string, Plan][],
  all: Map<string, Plan>,
  speeds: Map<string, number>,
  slots: number,
): WidthRow[] {
  const rows = new Map<string, WidthRow>();
  for (const plan of all.values()) {
    const { d_model: width, layers } = plan.shape;
    const key = `${width} ${layers}`;
    const nonzero = nonzeroParameterCount(plan);
    const row = rows.get(key);
    if (row) row.nonzero = [Math.min(row.nonzero[0], nonzero), Math.max(row.nonzero[1], nonzero)];
    else {
      rows.set(key, {
        width,
        layers,
        parameters: parameterCount(plan),
        nonzero: [nonzero, nonzero],
        runs: 0,
        flops: 0,
        seconds: speeds.size > 0 ? 0 : null,
      });
    }
  }
  for (const [, plan] of toTrain) {
    const row = rows.get(`${plan.shape.d_model} ${plan.shape.layers}`)!;
    row.runs++;
    row.flops += trainingFlops(plan);
    const speed = speeds.get(speedKey(plan));
    if (row.seconds !== null)
      row.seconds = speed === undefined ? null : row.seconds + tokenCount(plan) / speed / slots;
  }
  return [...rows.values()].sort((a, b) => a.width - b.width || a.layers - b.layers);
}
