#!/usr/bin/env node
/** The musweep command: one file per command under commands/, and the one place where errors become exit codes. */
import { Command, CommanderError } from "commander";
import { EXIT_CODES, MusweepError } from "../schema/errors.ts";
import { packageVersion } from "../schema/package.ts";
import { addCancel } from "./commands/cancel.ts";
import { addCoordCheck } from "./commands/coord-check.ts";
import { addData } from "./commands/data.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addInit } from "./commands/init.ts";
import { addPlan } from "./commands/plan.ts";
import { addRecommend } from "./commands/recommend.ts";
import { addReport } from "./commands/report.ts";
import { addRequeue } from "./commands/requeue.ts";
import { addRun } from "./commands/run.ts";
import { addServe } from "./commands/serve.ts";
import { addSql } from "./commands/sql.ts";
import { addStatus } from "./commands/status.ts";
import { addSubmit } from "./commands/submit.ts";
import { addValidate } from "./commands/validate.ts";
import { addWorker } from "./commands/worker.ts";

const program = new Command("musweep")
  .description(
    "Hyperparameter-transfer sweeps for sparse and dense language models: the optimal learning rate per sparsity,\nwhether it transfers, and what it costs if it does not.",
  )
  .version(packageVersion())
  .showHelpAfterError("(--help shows the options and examples)")
  .configureHelp({ showGlobalOptions: true })
  .exitOverride();

const COMMANDS = [
  addInit,
  addValidate,
  addPlan,
  addRun,
  addCoordCheck,
  addSubmit,
  addServe,
  addWorker,
  addStatus,
  addReport,
  addRecommend,
  addRequeue,
  addCancel,
  addSql,
  addData,
  addDoctor,
];
for (const add of COMMANDS) add(program);
program.addHelpText(
  "after",
  `
Start here:
  $ musweep init && musweep run sweep.yaml

Exit codes:
  0 done · 1 the sweep ended with failed or missing runs · 2 bad input, nothing changed · 3 something needed is not there
  4 the state directory is in use or newer · 70 a bug in musweep · 130 interrupted, what was done is kept`,
);

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_CODES.ok : EXIT_CODES.usage;
  const json = process.argv.includes("--json");
  if (error instanceof MusweepError) {
    const { code, message, remedy } = error;
    const problems = "problems" in error ? { problems: error.problems } : {};
    if (json)
      process.stdout.write(`${JSON.stringify({ error: { code, message, remedy, ...problems } }, null, 2)}\n`);
    else process.stderr.write(`${message}${remedy ? `\n${remedy}` : ""}\n`);
    return error.exitCode;
  }
  if (json) {
    const message = error instanceof Error ? error.message : String(error);
    process.stdout.write(`${JSON.stringify({ error: { code: "internal", message } }, null, 2)}\n`);
  }
  process.stderr.write(`musweep has a bug: ${error instanceof Error ? error.stack : String(error)}\n`);
  return EXIT_CODES.internal;
}
