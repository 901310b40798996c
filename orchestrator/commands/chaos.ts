/** `musweep chaos FILE`: breaks a sweep's own processes, and proves that it does not matter. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { EXIT_CODES, MusweepError } from "../../schema/wire/errors.ts";
import { onStopSignal } from "../../schema/wire/stop-signals.ts";
import { type ChaosResult, type Inflicted, runChaos } from "../chaos/chaos.ts";
import { duration, plural } from "../terminal/format.ts";
import { textTable } from "../terminal/table.ts";
import { parseCount, print, say } from "./common.ts";
import { givenSweepFile } from "./given-file.ts";

interface Options {
  dir?: string;
  seed: number;
  minutes: number;
  faults?: number;
  workers: number;
  json?: boolean;
}

export function addChaos(program: Command): void {
  program
    .command("chaos <file>")
    .description(
      "train a sweep undisturbed, then again while its trainers, workers, orchestrator and Redis are killed, halted and cut off; and compare",
    )
    .option("--seed <n>", "decides what is done when, and to whom", parseCount("--seed"), 1)
    .option(
      "--minutes <n>",
      "how long faults are made; the sweep under way is trained to its end",
      parseCount("--minutes"),
      5,
    )
    .option("--faults <n>", "no more faults than these", parseCount("--faults"))
    .option("--workers <n>", "workers with one slot each", parseCount("--workers"), 2)
    .option(
      "--dir <path>",
      "an empty directory for all of it, which is kept (default: a temporary one, kept where it did not hold)",
    )
    .option("--json", "print one JSON value on standard output")
    .addHelpText(
      "after",
      "\nAs root on Linux it also fills a disk in memory, and every other training has its workers on hosts of their own (network\nnamespaces, by `ip` of iproute2), which are cut off for 5 to 120 s.\n\nExamples:\n  $ musweep chaos sweep.yaml --seed 7 --minutes 10\n  $ musweep chaos sweep.yaml --faults 50 --workers 4 --json",
    )
    .action(chaos);
}

async function chaos(file: string, options: Options): Promise<void> {
  if (process.platform === "win32")
    throw new MusweepError("chaos-platform", "chaos sends signals that this system does not have", {
      kind: "unavailable",
    });
  // Its mistakes are told before anything is started.
  givenSweepFile(file, options);
  const directory = resolve(options.dir ?? mkdtempSync(join(tmpdir(), "musweep-chaos-")));
  const interrupted = new AbortController();
  onStopSignal((_signal, again) => {
    if (again) process.exit(EXIT_CODES.interrupted);
    interrupted.abort();
  });
  const result = await runChaos({
    file: resolve(file),
    directory,
    seed: options.seed,
    minutes: options.minutes,
    faults: options.faults,
    workers: options.workers,
    onProgress: say,
    signal: interrupted.signal,
  });
  const isInterrupted = interrupted.signal.aborted;
  const isWhole = result.problems.length === 0;
  const held = isWhole && !isInterrupted;
  print(options, { ...result, held, directory }, () => chaosText(result, directory, isInterrupted));
  if (isWhole && options.dir === undefined) rmSync(directory, { recursive: true, force: true });
  process.exitCode = isInterrupted ? EXIT_CODES.interrupted : held ? EXIT_CODES.ok : EXIT_CODES.incomplete;
}

function chaosText(
  { seed, rounds, runs, inflicted, attempts, problems }: ChaosResult,
  directory: string,
  isInterrupted: boolean,
): string {
  const nameOf = ({ fault, hosts }: Inflicted): string => (hosts ? `${fault} (several hosts)` : fault);
  const names = [...new Set(inflicted.map(nameOf))].sort();
  const seconds = (of: readonly Inflicted[]): number[] =>
    of.map(({ recovery_seconds }) => recovery_seconds).sort((a, b) => a - b);
  const table = textTable<[string, readonly Inflicted[]]>(
    [
      { title: "fault", value: ([name]) => name },
      { title: "times", align: "right", value: ([, of]) => String(of.length) },
      {
        title: "recovery, median",
        align: "right",
        value: ([, of]) => `${seconds(of)[Math.floor(of.length / 2)]!.toFixed(1)} s`,
      },
      { title: "longest", align: "right", value: ([, of]) => `${seconds(of).at(-1)!.toFixed(1)} s` },
    ],
    names.map((name) => [name, inflicted.filter((of) => nameOf(of) === name)]),
  );
  const time = inflicted.at(-1)?.at_seconds ?? 0;
  const what = `${plural(inflicted.length, "fault")} (seed ${seed}) in ${duration(time)}, over ${plural(rounds, "training")} of ${plural(runs, "run")} in ${plural(attempts, "attempt")}`;
  const verdict =
    problems.length === 0
      ? isInterrupted
        ? "It was interrupted: the training under way proves nothing."
        : "It held: every run has one result, bit for bit that of the undisturbed training, every curve all its points, and nothing is left behind."
      : `It did not hold:\n${problems.map((problem) => `  ${problem}`).join("\n")}\nEverything is in ${directory}.`;
  return [what, table, verdict].join("\n\n");
}
