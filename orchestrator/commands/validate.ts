import type { Command } from "commander";
import { expandPhases } from "../submission/load-sweep.ts";
import { sum } from "../submission/plan-summary.ts";
import { refuseShortFile } from "../submission/short-text.ts";
import { warningLine } from "../sweep/problems.ts";
import { plural } from "../terminal/format.ts";
import { type CommonOptions, common, print } from "./common.ts";
import { givenSweepFile } from "./given-file.ts";

/** Data does not matter to what a file says; its vocabulary only sizes the embedding. */
const NO_DATA = { hash: "0".repeat(16), vocab_size: 256 };

export function addValidate(program: Command): void {
  common(
    program
      .command("validate <file>")
      .description(
        "check a sweep file: every mistake at once, as file:line:column; exit code 2 if there is one",
      ),
    ["musweep validate sweep.yaml"],
    "none",
  ).action((file: string, options: CommonOptions) => {
    const read = givenSweepFile(file, options);
    refuseShortFile(read);
    const { sweep, warnings } = read;
    const phases = expandPhases(sweep, NO_DATA).map(({ phase, expansion }) => ({
      phase: phase.name,
      axes: expansion.axes,
      ...expansion.counts(),
    }));
    const all = {
      axes: [...new Set(phases.flatMap((p) => p.axes))],
      points: sum(phases.map((p) => p.points)),
      duplicates: sum(phases.map((p) => p.duplicates)),
      cells: sum(phases.map((p) => p.cells)),
    };
    print(options, { sweep: sweep.name, valid: true, ...all, phases, warnings }, () => {
      const dropped = all.duplicates > 0 ? ` (${plural(all.duplicates, "duplicate")} removed)` : "";
      const parts = phases.map((p) => `${p.phase} ${p.cells}`).join(", ");
      const split = phases.length > 1 ? ` in ${phases.length} phases (${parts})` : "";
      const odd = warnings.map((warning) => `${warningLine(file, warning)}\n`);
      return `${odd.join("")}${file}: valid. Sweep "${sweep.name}", ${plural(all.cells, "grid point")}${dropped}${split} over ${all.axes.join(", ")}.${sweep.phases.some((p) => p.search !== undefined) ? " A search trains those that decide, and others: musweep plan says how many." : ""}`;
    });
  });
}
