/**
 * Plays a trainer's part of the contract through with one run: starts it, trains, trains again, cancels, stops and resumes, writes it
 * garbage; and prints a JSON line for each. The request is the first line of stdin.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { type RunPlan, runIdOf, runPlanSchema } from "../schema/wire/plan.ts";
import type { RunCommand, TrainerCommand, TrainerEvent } from "../schema/wire/protocol.ts";
import { keepDebuggerClosed, onStopSignal } from "../schema/wire/stop-signals.ts";
import { workerConfigSchema } from "../schema/wire/worker.ts";
import { firstLine } from "./first-line.ts";
import { commandLineOf } from "./trainer-commands.ts";
import { TrainerFailure } from "./trainer-failure.ts";
import { type FinalEvent, TrainerProcess, trainerEnvironment } from "./trainer-process.ts";

const requestSchema = z.strictObject({
  trainer: workerConfigSchema.shape.trainers.element,
  plan: runPlanSchema,
  data_directory: z.string(),
  /** An empty directory for checkpoints. */
  directory: z.string(),
  threads: z.int().positive(),
  silence_seconds: z.number().positive(),
});
keepDebuggerClosed();
const request = requestSchema.parse(JSON.parse(await firstLine(process.stdin)));

interface Finding {
  /** fault: a worker could not work with it; remark: it could, but something is given away. */
  verdict: "passed" | "fault" | "remark";
  what: string;
  why?: string;
  remedy?: string;
}

const say = (finding: Finding): void => void process.stdout.write(`${JSON.stringify(finding)}\n`);

const { command, env } = commandLineOf(request.trainer, request.trainer.devices[0]!);
let running: TrainerProcess | undefined;
/** Nobody waits for the check any more. */
const givenUp = new AbortController();
let starting: Promise<unknown> = Promise.resolve();

/** A warm one, where the last run has left one. */
async function take(): Promise<TrainerProcess> {
  // None is started any more: the process is about to end.
  if (givenUp.signal.aborted) return new Promise(() => undefined);
  if (running !== undefined) return running;
  const start = TrainerProcess.start(command, {
    env: { ...trainerEnvironment(request.threads), ...env },
    silenceMs: request.silence_seconds * 1000,
    signal: givenUp.signal,
  });
  starting = start.catch(() => undefined);
  running = await start;
  return running;
}

/** A trainer has a process group of its own, which would outlive this process. */
async function giveUp(): Promise<void> {
  if (givenUp.signal.aborted) return;
  const trainer = running;
  givenUp.abort();
  await Promise.all([starting, trainer?.end(0)]);
  process.exit(1);
}
process.stdin.resume().on("end", giveUp);
onStopSignal(giveUp);

async function drop(): Promise<void> {
  await running?.end();
  running = undefined;
}

interface Trained {
  end: FinalEvent;
  events: TrainerEvent[];
}

/** @param interrupt what is written to it at its first step */
async function train(
  plan: RunPlan,
  checkpoint: RunCommand["checkpoint"],
  interrupt?: "stop" | "cancel",
): Promise<Trained> {
  const trainer = await take();
  const run = runIdOf(plan);
  const events: TrainerEvent[] = [];
  const end = await trainer.run(
    {
      type: "run",
      run,
      plan,
      data_directory: request.data_directory,
      checkpoint,
      weights_path: null,
      report_every_steps: 1,
      memory_limit_bytes: null,
    },
    (event) => {
      if (event.type === "step" && interrupt !== undefined && !events.some(({ type }) => type === "step"))
        trainer.send({ type: interrupt, run });
      events.push(event);
    },
  );
  if (trainer.ready.single_run === true) await drop();
  return { end, events };
}

const { plan } = request;
const checkpoint = { directory: request.directory, every_seconds: 1e6 };

/** Whether it could be done; what went wrong is told. */
async function attempt(
  what: string,
  remedy: string,
  work: () => Promise<Omit<Finding, "what"> | null>,
): Promise<boolean> {
  try {
    const finding = await work();
    say({ verdict: "passed", ...finding, what });
    return finding?.verdict !== "fault";
  } catch (error) {
    await drop();
    if (!(error instanceof TrainerFailure)) throw error;
    const log = error.logTail.trim().split("\n").slice(-5).join("\n");
    say({ verdict: "fault", what, why: [error.message, log].filter(Boolean).join("\n"), remedy });
    return false;
  }
}

let first: Trained | undefined;
const starts = await attempt(
  "starts, and says that it is ready",
  'Its first line on standard output is {"type": "ready", "protocol": 1, …}; musweep.start() or musweep.main(train) says it.',
  async () => {
    await take();
    return null;
  },
);
const trains =
  starts &&
  (await attempt(
    "trains a run to its end",
    "docs/trainer-protocol.md says what follows a run command; docs/own-model.md what a script calls.",
    async () => {
      first = await train(plan, null);
      if (first.end.type === "diverged")
        return {
          verdict: "remark",
          why: "the run diverged: what follows says less than it could",
          remedy: "Put a lower learning rate into the file for this check.",
        };
      return first.events.some(({ type }) => type === "step")
        ? null
        : {
            verdict: "fault",
            why: "no step was reported",
            remedy: "Report the training loss at least at the first and the last step.",
          };
    },
  ));
if (trains) {
  await attempt("gives the same run the same loss again", "", async () => {
    const { end } = await train(plan, null);
    return lossOf(end) === lossOf(first!.end)
      ? null
      : {
          verdict: "remark",
          why: `${lossOf(first!.end)}, then ${lossOf(end)}`,
          remedy: "Seed everything that is random from the plan's seed; results differ by what is not.",
        };
  });
  await attempt(
    "ends a run that is cancelled",
    'Look for commands between steps; answer cancel with "stopped".',
    async () => {
      const { end } = await train(plan, checkpoint, "cancel");
      return end.type === "stopped"
        ? null
        : {
            verdict: "remark",
            why: "the run was over before it heard of it",
            remedy: "Take a longer run for this check.",
          };
    },
  );
  await attempt(
    "stops, and goes on from its checkpoint",
    'Answer stop with a checkpoint and "stopped".',
    stopAndResume,
  );
  await attempt(
    "outlives a command that it does not know",
    'Answer it with "failed", code invalid-command.',
    async () => {
      const trainer = await take();
      trainer.send({ type: "nonsense" } as unknown as TrainerCommand);
      // Its answer names no run that anybody waits for.
      await sleep(1000);
      await train(plan, null, "cancel");
      return null;
    },
  );
}
await drop();
process.exit(0);

async function stopAndResume(): Promise<Omit<Finding, "what"> | null> {
  const { end } = await train(plan, checkpoint, "stop");
  if (end.type !== "stopped")
    return {
      verdict: "remark",
      why: "the run was over before it heard of it",
      remedy: "Take a longer run for this check.",
    };
  const resumed = await train(plan, checkpoint);
  const started = resumed.events.find((event) => event.type === "started");
  if (end.checkpoint === null || started?.resumed_from_step === 0)
    return {
      verdict: "remark",
      why: "it starts anew: what was trained before a stop is lost",
      remedy: "Save a checkpoint (run.checkpoint in a script) and load the newest one at the start.",
    };
  return lossOf(resumed.end) === lossOf(first!.end)
    ? null
    : {
        verdict: "remark",
        why: `resumed at step ${started?.resumed_from_step} it ended at ${lossOf(resumed.end)}, undisturbed at ${lossOf(first!.end)}`,
        remedy: "Save the random state, and the position in the data, with the weights and the optimizer.",
      };
}

function lossOf(end: FinalEvent): number | null {
  return end.type === "finished" ? end.validation_loss : null;
}
