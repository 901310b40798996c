import type { Command } from "commander";
import type { Plan } from "../../schema/plan.ts";
import { loadSweep, readSweepFile } from "../load-sweep.ts";
import { describePlan, type ResolvedPlan } from "../parameterization/describe-plan.ts";
import { knownCells, type PlanSummary, summarizePlan, type WidthRow } from "../plan-summary.ts";
import { measureSpeeds } from "../speed.ts";
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
      const speedsOf = (plans: Map<string, Plan>) =>
        measureSpeeds(db, plans, {
          dataDirectory: state.data,
          slots: options.slots,
          threads: options.threads,
          onMeasure: (n, total) => say(`measured the speed of ${n} of ${plural(total, "model shape")}`),
        });
      const summary = await summarizePlan(db, loaded, options.slots, options.measure ? speedsOf : null);
      print(options, summary, () => summaryText(summary));
    });
  });
}

function summaryText(s: PlanSummary): string {
  const lines = [
    `${s.sweep}: ${plural(s.points, "grid point")}${s.duplicates > 0 ? ` (${plural(s.duplicates, "duplicate")} removed)` : ""}, ${plural(s.runs, "unique run")}, ${s.done} already done, ${s.to_train} to train${s.failed > 0 ? `, ${s.failed} failed` : ""}`,
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
    ...(s.failed > 0
      ? [
          `What failed is trained again only when asked for, once the sweep is submitted: musweep requeue ${s.sweep} --failed`,
        ]
      : []),
    ...s.waiting.map(
      (p) =>
        `Then phase ${p.phase}, once decided (${p.takes.join("; ")}): ${plural(p.points, "grid point")}, at most ${plural(p.runs, "run")}, ${quantity(p.flops)}FLOPs; not counted above.`,
    ),
  ];
  return lines.join("\n");
}
