/** `musweep trainer check FILE`: does a trainer keep its part of the contract? */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { plannedFlops } from "../../schema/wire/cost.ts";
import { EXIT_CODES, MusweepError } from "../../schema/wire/errors.ts";
import { withDocPaths } from "../../schema/wire/package.ts";
import { onStopSignal } from "../../schema/wire/stop-signals.ts";
import { workerProgram } from "../machine/local-worker.ts";
import { openState } from "../machine/open-state.ts";
import { loadSweep } from "../submission/load-sweep.ts";
import { knownCells } from "../submission/plan-summary.ts";
import { titleOf } from "../sweep/title.ts";
import { type CommonOptions, common, print, say, sayWarnings } from "./common.ts";
import { givenSweepFile } from "./given-file.ts";
import { type WorkerOptions, workerOptions } from "./worker-options.ts";
import { resolveTrainers } from "./worker-trainer.ts";

interface Finding {
  verdict: "passed" | "fault" | "remark";
  what: string;
  why?: string;
  remedy?: string;
}

export function addTrainer(program: Command): void {
  const trainer = program.command("trainer").description("about trainers, your own above all");
  workerOptions(
    common(
      trainer
        .command("check <file>")
        .description(
          "play a trainer's part through with the cheapest run of a sweep: train, repeat, cancel, stop, resume, garbage",
        ),
      [
        'musweep trainer check sweep.yaml --trainer mine="python3 train.py"',
        "musweep trainer check sweep.yaml",
      ],
    ),
    ["slots", "checkpointSeconds", "lockSeconds"],
  ).action(check);
}

async function check(file: string, options: CommonOptions & WorkerOptions): Promise<void> {
  const read = givenSweepFile(file, options);
  sayWarnings(read);
  const state = openState(options);
  const loaded = await loadSweep(read, state);
  const { trainers } = await resolveTrainers(options);
  const [first, ...others] = [...knownCells(loaded)].toSorted(
    (a, b) => plannedFlops(a.plan, {}) - plannedFlops(b.plan, {}),
  );
  if (first === undefined)
    throw new MusweepError("nothing-to-check", "the file has no run that is known before another phase", {
      kind: "usage",
    });
  // Of the cheapest, a learning rate from the middle: the ends of a grid may diverge.
  const alike = [first, ...others].filter(
    ({ plan }) => plannedFlops(plan, {}) === plannedFlops(first.plan, {}),
  );
  const rates = alike.toSorted((a, b) => a.tuned_value - b.tuned_value);
  const cell = rates[Math.floor((rates.length - 1) / 2)]!;
  const trainer = trainers.find(({ name }) => name === cell.plan.trainer.name);
  if (trainer === undefined)
    throw new MusweepError(
      "bad-option",
      `the file's trainer is ${cell.plan.trainer.name}, which no --trainer names`,
      {
        kind: "usage",
        remedy: `Say how it is started: --trainer ${cell.plan.trainer.name}="python3 train.py", or in trainers.yaml.`,
      },
    );
  const directory = mkdtempSync(join(tmpdir(), "musweep-check-"));
  const interrupted = new AbortController();
  const endSignals = onStopSignal(() => interrupted.abort());
  say(`Trains ${titleOf(cell.coordinates)} about four times.`);
  try {
    const request = {
      trainer,
      plan: cell.plan,
      data_directory: state.data,
      directory,
      threads: options.threads,
      silence_seconds: options.silenceSeconds,
    };
    const findings = await play(request, interrupted.signal);
    if (findings === null) {
      process.exitCode = EXIT_CODES.interrupted;
      return;
    }
    const faults = findings.filter(({ verdict }) => verdict === "fault").length;
    print(options, findings, () =>
      [...findings.map(findingText), "", conclusion(findings, faults)].join("\n"),
    );
    process.exitCode = faults > 0 ? EXIT_CODES.incomplete : EXIT_CODES.ok;
  } finally {
    endSignals();
    rmSync(directory, { recursive: true, force: true });
  }
}

const MARKS = { passed: "✓", remark: "!", fault: "✗" };

function findingText({ verdict, what, why, remedy }: Finding): string {
  const more = [why, remedy === undefined ? "" : withDocPaths(remedy)]
    .filter(Boolean)
    .join("\n")
    .replaceAll("\n", "\n    ");
  return `${MARKS[verdict]} ${what}${more === "" ? "" : `\n    ${more}`}`;
}

const conclusion = (findings: readonly Finding[], faults: number): string =>
  faults > 0
    ? "A worker cannot work with it as it is."
    : findings.some(({ verdict }) => verdict === "remark")
      ? "A worker can work with it; what is remarked costs something."
      : "It keeps its part of the contract.";

/**
 * @returns null when it was interrupted; the trainer has ended then
 * @throws MusweepError where the check itself comes to no end
 */
function play(request: unknown, signal: AbortSignal): Promise<Finding[] | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, workerProgram("check"), { stdio: ["pipe", "pipe", "pipe"] });
    child.stdin.on("error", () => undefined).write(`${JSON.stringify(request)}\n`);
    // It ends the trainer, and then itself.
    signal.addEventListener("abort", () => child.stdin.end());
    if (signal.aborted) child.stdin.end();
    let out = "";
    let errors = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors = (errors + text).slice(-2000);
    });
    child.on("error", reject);
    child.on("close", (code) => {
      const lines = out.split("\n").filter((line) => line !== "");
      if (signal.aborted) return resolve(null);
      if (code === 0) return resolve(lines.map((line) => JSON.parse(line) as Finding));
      reject(
        new MusweepError("trainer-check", `the check came to no end: ${errors.trim()}`, {
          kind: "unavailable",
        }),
      );
    });
  });
}
