import type { Command } from "commander";
import { readSweepFile } from "../load-sweep.ts";
import { expandSweep } from "../sweep/expand-sweep.ts";
import { plural } from "../terminal/format.ts";
import { type CommonOptions, common, print } from "./common.ts";

/** Data does not matter to what a file says; its vocabulary only sizes the embedding. */
const NO_DATA = { hash: "0".repeat(16), vocab_size: 256 };

export function addValidate(program: Command): void {
  common(
    program
      .command("validate <file>")
      .description(
        "check a sweep file: every mistake at once, as file:line:column; exit code 2 if there is one",
      ),
    ["musweep validate sweeps/quickstart.yaml"],
  ).action((file: string, options: CommonOptions) => {
    const { sweep } = readSweepFile(file);
    const expansion = expandSweep(sweep, NO_DATA);
    const counts = expansion.counts();
    print(options, { sweep: sweep.name, valid: true, axes: expansion.axes, ...counts }, () => {
      const dropped = counts.duplicates > 0 ? ` (${plural(counts.duplicates, "duplicate")} removed)` : "";
      return `${file}: valid. Sweep "${sweep.name}", ${plural(counts.cells, "grid point")}${dropped} over ${expansion.axes.join(", ")}.`;
    });
  });
}
