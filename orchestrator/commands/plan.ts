import type { Command } from "commander";
import { nonzeroParameterCount, parameterCount, tokenCount, trainingFlops } from "../../schema/cost.ts";
import type { Plan } from "../../schema/plan.ts";
import type { Database } from "../database/open.ts";
import { type LoadedSweep, loadSweep, type PhaseExpansion, readSweepFile } from "../load-sweep.ts";
import { describePlan, type ResolvedPlan } from "../parameterization/describe-plan.ts";
import { measureSpeeds, speedKey } from "../speed.ts";
import type { Cell } from "../sweep/expand-sweep.ts";
import { multiplesOf, takenAxes } from "../sweep/taken-axes.ts";
import { titleOf } from "../sweep/title.ts";
import { duration, plural, quantity } from "../terminal/format.ts";
import { textTable } from "../terminal/table.ts";
import { type CommonOptions, common, print, say, withDatabase } from "./common.ts";
import { type WorkerOptions, workerOptions } from "./worker-options.ts";

interface Options extends CommonOptions, WorkerOptions {
  resolved?: boolean;
  match?: string;
  measure: boolean;
}

interface WidthRow {
  width: number;
  layers: number;
  parameters: number;
  /** Smallest and largest number of weights that exist under the masks. */
  nonzero: [number, number];
  runs: number;
  flops: number;
  /** Wall-clock seconds with all slots busy; null when not measured. */
  seconds: number | null;
}

export function addPlan(program: Command): void {
  workerOptions(
    common(
      program
        .command("plan <file>")
        .description(
          "what a sweep would train: runs, already done, parameters, FLOPs, expected time; trains nothing",
        )
        .option("--resolved", "the effective init, learning rate and decay of every tensor group, per run")
        .option("--match <text>", "with --resolved: only runs whose title contains this")
        .option("--no-measure", "do not measure this machine's speed (2 s per model shape, remembered)"),
      [
        "musweep plan sweeps/quickstart.yaml",
        'musweep plan sweeps/quickstart.yaml --resolved --match "SμPar d128 s0.9375 lr 2^-8"',
      ],
    ),
  ).action(async (file: string, options: Options) => {
    const read = readSweepFile(file);
    await withDatabase(options, { readonly: false }, async (db, state) => {
      const loaded = await loadSweep(read, state);
      if (options.resolved) {
        const runs: ({ title: string; run: string } & ResolvedPlan)[] = [];
        for (const cell of knownCells(loaded)) {
          const title = titleOf(cell.coordinates);
          if (options.match !== undefined && !title.includes(options.match)) continue;
          runs.push({ title, run: cell.run, ...describePlan(cell.plan, cell.coordinates.learning_rate) });
        }
        print(
          options,
          runs.map(({ text: _, ...run }) => run),
          () =>
            runs.length === 0
              ? `No run's title contains "${options.match}".`
              : runs.map((r) => `${r.title}  (run ${r.run})\n${r.text}`).join("\n\n"),
        );
        return;
      }
      const unique = new Map<string, Plan>();
      for (const cell of knownCells(loaded)) unique.set(cell.run, cell.plan);
      const done = countDone(db, unique.keys());
      const counts = loaded.phases.filter((p) => p.known).map((p) => p.expansion.counts());
      const speeds = options.measure
        ? await measureSpeeds(db, new Map([...unique.values()].map((plan) => [speedKey(plan), plan])), {
            dataDirectory: state.data,
            slots: options.slots,
            threads: options.threads,
            onMeasure: (n, total) => say(`measured the speed of ${n} of ${plural(total, "model shape")}`),
          })
        : new Map<string, number>();
      const rows = widthRows(
        [...unique].filter(([run]) => !done.has(run)),
        unique,
        speeds,
        options.slots,
      );
      const summary = {
        sweep: read.sweep.name,
        points: sum(counts.map((c) => c.cells)),
        duplicates: sum(counts.map((c) => c.duplicates)),
        runs: unique.size,
        done: done.size,
        to_train: unique.size - done.size,
        flops: sum(rows.map((r) => r.flops)),
        seconds: options.measure ? sum(rows.map((r) => r.seconds ?? 0)) : null,
        slots: options.slots,
        widths: rows,
        waiting: loaded.phases.filter((p) => !p.known).map(waitingPhase),
      };
      print(options, summary, () => summaryText(summary));
    });
  });
}

type Summary = {
  sweep: string;
  points: number;
  duplicates: number;
  runs: number;
  done: number;
  to_train: number;
  flops: number;
  seconds: number | null;
  slots: number;
  widths: WidthRow[];
  /** Phases whose values are not known yet; not in the numbers above. */
  waiting: WaitingPhase[];
};

interface WaitingPhase {
  phase: string;
  points: number;
  /** Runs that mean the same training counted once, as far as that can be told. */
  runs: number;
  flops: number;
  /** "learning_rate from proxy × 0.5, 1, 2" */
  takes: string[];
}

const knownCells = (loaded: LoadedSweep): Cell[] =>
  loaded.phases.filter((p) => p.known).flatMap((p) => [...p.expansion.cells()]);

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

function summaryText(s: Summary): string {
  const lines = [
    `${s.sweep}: ${plural(s.points, "grid point")}${s.duplicates > 0 ? ` (${plural(s.duplicates, "duplicate")} removed)` : ""}, ${plural(s.runs, "unique run")}, ${s.done} already done, ${s.to_train} to train`,
    "",
    textTable<WidthRow>(
      [
        { title: "width", align: "right", value: (r) => String(r.width) },
        { title: "layers", align: "right", value: (r) => String(r.layers) },
        { title: "parameters", align: "right", value: (r) => quantity(r.parameters) },
        {
          title: "non-zero",
          align: "right",
          value: (r) => [...new Set(r.nonzero.map(quantity))].join(" to "),
        },
        { title: "runs to train", align: "right", value: (r) => String(r.runs) },
        { title: "FLOPs", align: "right", value: (r) => quantity(r.flops) },
        { title: "time", align: "right", value: (r) => (r.seconds === null ? "–" : duration(r.seconds)) },
      ],
      s.widths,
    ),
    "",
    s.seconds === null
      ? `${quantity(s.flops)}FLOPs in all.`
      : `${quantity(s.flops)}FLOPs in all; about ${duration(s.seconds)} here with ${plural(s.slots, "slot")}, at the speed measured on this machine.`,
    ...s.waiting.map(
      (p) =>
        `Then phase ${p.phase}, once decided (${p.takes.join("; ")}): ${plural(p.points, "grid point")}, at most ${plural(p.runs, "run")}, ${quantity(p.flops)}FLOPs; not counted above.`,
    ),
  ];
  return lines.join("\n");
}

/** Runs of an earlier sweep, or of this one, that have a result. */
function countDone(db: Database, runs: Iterable<string>): Set<string> {
  const find = db.sqlite.prepare("SELECT 1 FROM runs WHERE id = ? AND state IN ('finished', 'diverged')");
  const done = new Set<string>();
  for (const run of runs) if (find.get(run)) done.add(run);
  return done;
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
    if (speed !== undefined && row.seconds !== null) row.seconds += tokenCount(plan) / speed / slots;
  }
  return [...rows.values()].sort((a, b) => a.width - b.width || a.layers - b.layers);
}
