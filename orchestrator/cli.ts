#!/usr/bin/env node
/** The musweep command: one file per command under commands/, and the one place where errors become exit codes. */
import { Command, CommanderError } from "commander";
import { EXIT_CODES, MusweepError } from "../schema/wire/errors.ts";
import { packageVersion, withDocPaths } from "../schema/wire/package.ts";
import { pathError } from "../schema/wire/path-error.ts";
import { printable } from "../schema/wire/printable.ts";
import { keepDebuggerClosed } from "../schema/wire/stop-signals.ts";
import { diskError } from "./database/disk-error.ts";
import { redisError } from "./redis/health.ts";

keepDebuggerClosed();

const program = new Command("musweep")
  .description(
    "Hyperparameter-transfer sweeps for sparse and dense language models: the optimal learning rate per sparsity, whether it transfers, and what it costs if it does not.",
  )
  .version(packageVersion())
  .showHelpAfterError("(--help shows the options and examples)")
  .configureHelp({ showGlobalOptions: true })
  .configureOutput({
    writeOut: (text) => void process.stdout.write(printable(withDocPaths(text))),
    writeErr: (text) => void process.stderr.write(printable(withDocPaths(text))),
  })
  .exitOverride();

/** In the order of --help. A command's file is loaded when it is asked for: all of them take as long again as Node itself. */
const COMMANDS: Record<string, () => Promise<(program: Command) => void>> = {
  init: async () => (await import("./commands/init.ts")).addInit,
  validate: async () => (await import("./commands/validate.ts")).addValidate,
  plan: async () => (await import("./commands/plan.ts")).addPlan,
  run: async () => (await import("./commands/run.ts")).addRun,
  "coord-check": async () => (await import("./commands/coord-check.ts")).addCoordCheck,
  submit: async () => (await import("./commands/submit.ts")).addSubmit,
  serve: async () => (await import("./commands/serve.ts")).addServe,
  worker: async () => (await import("./commands/worker.ts")).addWorker,
  status: async () => (await import("./commands/status.ts")).addStatus,
  report: async () => (await import("./commands/report.ts")).addReport,
  recommend: async () => (await import("./commands/recommend.ts")).addRecommend,
  suggest: async () => (await import("./commands/suggest.ts")).addSuggest,
  export: async () => (await import("./commands/export.ts")).addExport,
  import: async () => (await import("./commands/import.ts")).addImport,
  analyze: async () => (await import("./commands/analyze.ts")).addAnalyze,
  jobs: async () => (await import("./commands/jobs.ts")).addJobs,
  collect: async () => (await import("./commands/collect.ts")).addCollect,
  requeue: async () => (await import("./commands/requeue.ts")).addRequeue,
  cancel: async () => (await import("./commands/cancel.ts")).addCancel,
  note: async () => (await import("./commands/note.ts")).addNote,
  tag: async () => (await import("./commands/tag.ts")).addTag,
  archive: async () => (await import("./commands/archive.ts")).addArchive,
  rm: async () => (await import("./commands/rm.ts")).addRm,
  prune: async () => (await import("./commands/prune.ts")).addPrune,
  verify: async () => (await import("./commands/verify.ts")).addVerify,
  backup: async () => (await import("./commands/backup.ts")).addBackup,
  sql: async () => (await import("./commands/sql.ts")).addSql,
  data: async () => (await import("./commands/data.ts")).addData,
  trainer: async () => (await import("./commands/trainer.ts")).addTrainer,
  doctor: async () => (await import("./commands/doctor.ts")).addDoctor,
  chaos: async () => (await import("./commands/chaos.ts")).addChaos,
};
const asked = process.argv[2] ?? "";
for (const load of Object.hasOwn(COMMANDS, asked) ? [COMMANDS[asked]!] : Object.values(COMMANDS))
  (await load())(program);
program.addHelpText(
  "after",
  `
Start here:
  $ musweep init && musweep run sweep.yaml

Exit codes:
  0 done · 1 the sweep ended with failed or missing runs · 2 bad input, nothing changed · 3 something needed is not there
  4 the state directory is in use or newer · 70 a bug in musweep · 130 interrupted, what was done is kept`,
);

// Whoever reads what is printed may have read enough (`| head`): that ends no command.
process.stderr.on("error", () => undefined);
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") return;
  process.exitCode = EXIT_CODES.unavailable;
  process.stderr.write(`${pathError(error, "standard output")?.message ?? error.message}\n`);
});

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

function report(thrown: unknown): number {
  const json = process.argv.includes("--json");
  if (thrown instanceof CommanderError) {
    if (thrown.exitCode === 0) return EXIT_CODES.ok;
    // The text is on standard error by now.
    if (json) writeJson({ error: { code: "bad-option", message: thrown.message.replace(/^error: /, "") } });
    return EXIT_CODES.usage;
  }
  const error = aboutPath(thrown) ?? diskError(thrown) ?? redisError(thrown) ?? thrown;
  if (error instanceof MusweepError) {
    const { code, message } = error;
    const remedy = error.remedy === undefined ? undefined : withDocPaths(error.remedy);
    const problems = "problems" in error ? { problems: error.problems } : {};
    if (json) writeJson({ error: { code, message, remedy, ...problems } });
    else process.stderr.write(printable(`${message}${remedy ? `\n${remedy}` : ""}\n`));
    return error.exitCode;
  }
  if (json) {
    const message = error instanceof Error ? error.message : String(error);
    writeJson({ error: { code: "internal", message } });
  }
  const story = error instanceof Error ? error.stack : String(error);
  process.stderr.write(printable(`musweep has a bug: ${story}\n`));
  return EXIT_CODES.internal;
}

function writeJson(value: unknown): void {
  process.stdout.write(printable(`${JSON.stringify(value, null, 2)}\n`));
}

/** What the system says about a path is somebody's path, and what it says of its disks is theirs: not a bug. */
function aboutPath(error: unknown): MusweepError | null {
  if (!(error instanceof Error)) return null;
  if ("path" in error && typeof error.path === "string") return pathError(error, error.path);
  // Of a write to an open file Node does not say to which.
  const isDisks =
    "syscall" in error && "code" in error && /^(ENOSPC|EDQUOT|EROFS|EIO)$/.test(`${error.code}`);
  return isDisks ? pathError(error, "what musweep writes") : null;
}
