/**
 * The embedded trainer's side of the comparison with PyTorch: what it starts from, what it sees and what comes out, one
 * folder per case, for compare.py to read.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Plan } from "../../schema/wire/plan.ts";
import { type RunCommand, type TrainerEvent, trainerEventSchema } from "../../schema/wire/protocol.ts";
import { DataSource } from "../../workers/trainers/common/data.ts";
import { writeSafetensors } from "../../workers/trainers/common/safetensors.ts";
import { initialTensors, tensorSpecs } from "../../workers/trainers/common/tensors.ts";
import { firstGradients, traceTraining } from "../../workers/trainers/cpu/inspect.ts";
import { writeData } from "../workers/trainers/support.ts";
import { type Case, cases } from "./cases.ts";

const VOCABULARY = 97;
const TOKENS = 60_000;
/** Every so many cases are also trained by a real trainer process, which keeps the weights. */
const PROCESS_EVERY = 3;

/** Tokens of every step's batch, then of the validation sequences: int32, inputs before targets, [sequences, T] each. */
function tokensOf(plan: Plan, dataDirectory: string): Int32Array[] {
  const source = new DataSource(plan, dataDirectory);
  const read = (
    sequences: number,
    place: (inputs: Int32Array, targets: Int32Array) => void,
  ): Int32Array[] => {
    const size = sequences * plan.shape.sequence_length;
    const [inputs, targets] = [new Int32Array(size), new Int32Array(size)];
    place(inputs, targets);
    return [inputs, targets];
  };
  try {
    const batches = Array.from({ length: plan.steps }, (_, i) =>
      read(plan.batch_size, (x, y) => source.trainingSequences(i + 1, 0, plan.batch_size, x, y)),
    );
    const { sequences } = plan.evaluation;
    return [...batches.flat(), ...read(sequences, (x, y) => source.validationSequences(0, sequences, x, y))];
  } finally {
    source.close();
  }
}

async function recordCase({ name, plan }: Case, dataDirectory: string, directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const shapes = new Map(tensorSpecs(plan).map((s) => [s.name, s.shape]));
  const write = async (file: string, tensors: ReadonlyMap<string, Float32Array>): Promise<void> => {
    const named = [...tensors].map(([tensor, data]) => ({ name: tensor, shape: shapes.get(tensor)!, data }));
    await writeSafetensors(join(directory, `${file}.safetensors`), named, {});
  };
  const { weights, masks } = initialTensors(plan);
  await write("initial", weights);
  await write("masks", masks);
  const first = await firstGradients(plan, dataDirectory);
  await write("gradients", first.gradients);
  const trace = await traceTraining(plan, dataDirectory);
  await write("final", trace.weights);
  const tokens = tokensOf(plan, dataDirectory).map((x) => Buffer.from(x.buffer));
  writeFileSync(join(directory, "tokens.bin"), Buffer.concat(tokens));
  const { losses, gradientNorms, validationLoss } = trace;
  const numbers = {
    first_loss: first.loss,
    losses,
    gradient_norms: gradientNorms,
    validation_loss: validationLoss,
  };
  writeFileSync(join(directory, "case.json"), JSON.stringify({ name, plan, ...numbers }));
}

/** Runs plans one after the other in one trainer process; resolves to every event of each. */
async function trainInProcess(trainer: string, commands: readonly RunCommand[]): Promise<TrainerEvent[][]> {
  const child = spawn(process.execPath, [trainer], { stdio: ["pipe", "pipe", "inherit"] });
  const closed = once(child, "close");
  const runs: TrainerEvent[][] = [];
  let events: TrainerEvent[] = [];
  const sendNext = (): void => {
    const next = commands[runs.length];
    if (next === undefined) child.stdin.end();
    else child.stdin.write(`${JSON.stringify(next)}\n`);
  };
  for await (const line of createInterface({ input: child.stdout })) {
    const event = trainerEventSchema.parse(JSON.parse(line));
    if (event.type === "ready") {
      sendNext();
      continue;
    }
    events.push(event);
    if (!["finished", "diverged", "stopped", "failed"].includes(event.type)) continue;
    runs.push(events);
    events = [];
    sendNext();
  }
  await closed;
  if (runs.length !== commands.length)
    throw new Error(`The trainer process ended after ${runs.length} of ${commands.length} runs.`);
  return runs;
}

/**
 * Records every case into <directory>/cases/<number>/, the data set into <directory>/data/, and some of the cases once more
 * as a trainer process trains them.
 * @param trainer path of the trainer's program
 */
export async function record(
  directory: string,
  trainer: string,
  options: { full: boolean; onCase: (name: string) => void },
): Promise<void> {
  const dataDirectory = join(directory, "data");
  const hash = writeData(dataDirectory, VOCABULARY, TOKENS);
  const all = cases({ hash, vocab_size: VOCABULARY }, options.full);
  const folders = all.map((_, i) => join(directory, "cases", String(i).padStart(3, "0")));
  for (const [i, one] of all.entries()) {
    options.onCase(one.name);
    await recordCase(one, dataDirectory, folders[i]!);
  }
  const kept = folders.flatMap((folder, i) =>
    i % PROCESS_EVERY === 0 ? [{ folder, plan: all[i]!.plan }] : [],
  );
  options.onCase("a trainer process");
  const commands = kept.map(({ folder, plan }, i): RunCommand => {
    return {
      type: "run",
      run: `case-${i}`,
      plan,
      data_directory: dataDirectory,
      checkpoint: null,
      weights_path: join(folder, "kept.safetensors"),
      report_every_steps: 1,
      memory_limit_bytes: null,
    };
  });
  const runs = await trainInProcess(trainer, commands);
  runs.forEach((events, i) => {
    writeFileSync(join(kept[i]!.folder, "events.json"), JSON.stringify(events));
  });
}
