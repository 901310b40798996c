/** How much memory a run will need, before it starts. */
import { readFileSync } from "node:fs";
import type { Plan } from "../../../schema/wire/plan.ts";
import type { ModelRunCommand, TrainerEvent } from "../../../schema/wire/protocol.ts";
import { native } from "../common/native.ts";
import { regionBytes } from "./region.ts";
import type { RunLayout } from "./run-memory.ts";
import type { KeptTensor } from "./sparse-matrix.ts";
import { CALL_BYTES } from "./tape.ts";

const MULTIPLICATIONS_PER_THREAD = Number(native.func("int64_t multiplications_per_thread()")());

const MEBIBYTE = 2 ** 20;

/**
 * What Node holds of its own while a trainer trains, by its major version: heap, compiled code, whatever waits to be collected, and what
 * of its code is loaded only then. The most that processes held, started as workers start them, and 2.5 MiB or more.
 */
const NODES = [
  { from: 24, bytes: 34 * MEBIBYTE, perObject: 1.2 },
  { from: 22, bytes: 25 * MEBIBYTE, perObject: 1 },
  { from: 0, bytes: 23.5 * MEBIBYTE, perObject: 1 },
];
const NODE = NODES.find(({ from }) => Number.parseInt(process.versions.node, 10) >= from)!;
/**
 * struct Copies of native/tape.h, of which a thread that takes part in products has so many huge pages: the second one is reached by the
 * gradient of a matrix of FAR rows (native/product.h) and so many columns that MOST_INNER of them do not fit the first beside what is
 * copied of the other factor. In small products few threads take part.
 */
function copyBytes(plan: Plan, { tensors, passes, crew }: RunLayout): number {
  const matrices = tensors.filter(({ shape, sparse }) => sparse === null && shape.length === 2);
  const isLarge = ({ shape }: KeptTensor): boolean => shape[0]! >= 512 && shape[1]! > 392;
  const tokens = passes.sequences * plan.shape.sequence_length;
  const largest = tokens * Math.max(...matrices.map(({ size }) => size));
  const threads = crew.teams * Math.min(crew.members, 1 + Math.floor(largest / MULTIPLICATIONS_PER_THREAD));
  return threads * (matrices.some(isLarge) ? 4 : 2) * MEBIBYTE;
}

/** What is loaded from files: Node's own code, most of all, which is larger in some versions than in others. */
function programBytes(): number {
  try {
    return 1024 * Number(/RssFile:\s*(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1]);
  } catch {
    // Not Linux: the measured size of Node 24's.
    return 50 * MEBIBYTE;
  }
}

const PROCESS_BYTES = programBytes() + NODE.bytes;

/**
 * What a tape's calls and values take as objects, what is collected when all are made among it, and what a checkpoint takes for each of the
 * model's tensors. Measured at 24 to 1,000 layers.
 */
const OBJECT_BYTES = {
  call: NODE.perObject * 1050,
  value: NODE.perObject * 650,
  tensor: NODE.perObject * 6000,
};

function tapeBytes({ passes, gradient, evaluation, activations }: RunLayout): number {
  const programs = [gradient, evaluation, ...(activations === null ? [] : [activations.program])];
  return programs.reduce(
    (sum, { calls, values }) =>
      sum + calls.length * (OBJECT_BYTES.call + passes.lanes * CALL_BYTES) + values * OBJECT_BYTES.value,
    0,
  );
}

/** Every digit that a number may have. */
const LONG_NUMBER = 1e-5 / 3;

/** What a run's checkpoints take: objects while one is written, and all the time the events, as common/event-log.ts keeps them. */
function checkpointBytes(
  { plan, run, report_every_steps }: ModelRunCommand,
  { tensors, activations }: RunLayout,
): number {
  const size = (event: TrainerEvent): number => JSON.stringify(event).length + 1;
  const [step, x] = [plan.steps, LONG_NUMBER];
  const reported = {
    type: "step",
    run,
    step,
    train_loss: x,
    gradient_norm: x,
    tokens_per_second: x,
  } as const;
  const evaluated = { type: "evaluation", run, step, validation_loss: x } as const;
  const modules = (activations?.activations ?? []).map(({ module, layer }) => ({
    module,
    layer,
    size: x,
    change: x,
  }));
  const measured = { type: "coordinates", run, step, modules } as const;
  return (
    tensors.length * OBJECT_BYTES.tensor +
    (2 + Math.floor(plan.steps / report_every_steps)) * size(reported) +
    (1 + Math.floor(plan.steps / (plan.evaluation.every_steps ?? plan.steps))) * size(evaluated) +
    (plan.coordinates === undefined ? 0 : (1 + plan.coordinates.steps) * size(measured))
  );
}

/** Peak resident bytes of a trainer process that trains a plan. docs/engine.md has it beside measured ones. */
export const estimateMemory = (command: ModelRunCommand, layout: RunLayout): number =>
  PROCESS_BYTES +
  copyBytes(command.plan, layout) +
  regionBytes(layout.pieces) +
  tapeBytes(layout) +
  (command.checkpoint === null ? 0 : checkpointBytes(command, layout));
