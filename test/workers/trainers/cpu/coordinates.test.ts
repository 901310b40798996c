/** Measured activations against a forward pass written out by hand, and what measuring must leave alone. */
import { join } from "node:path";
import { expect, test } from "vitest";
import type { ModuleSize } from "../../../../schema/wire/coordinates.ts";
import { type Plan, runIdOf } from "../../../../schema/wire/plan.ts";
import { DataSource } from "../../../../workers/trainers/common/data.ts";
import { initialTensors } from "../../../../workers/trainers/common/tensors.ts";
import { traceCoordinates, traceTraining } from "../../../../workers/trainers/cpu/inspect.ts";
import { estimateMemory } from "../../../../workers/trainers/cpu/memory.ts";
import { alibiSlopes } from "../../../../workers/trainers/cpu/operations/attention.ts";
import { layOutRun } from "../../../../workers/trainers/cpu/run-memory.ts";
import { makePlan, type PlanOptions, temporaryDirectory, writeData } from "../support.ts";
import { runCommand } from "../trainer-process.ts";
import { TrainerProcess } from "./trainer-process.ts";

type Matrix = number[][];
type Weights = ReadonlyMap<string, Float32Array>;

const product = (x: Matrix, w: Matrix): Matrix =>
  x.map((row) => w[0]!.map((_, j) => row.reduce((sum, v, i) => sum + v * w[i]![j]!, 0)));
const plus = (a: Matrix, b: Matrix): Matrix => a.map((row, i) => row.map((v, j) => v + b[i]![j]!));
const matrix = (weights: Weights, name: string, columns: number): Matrix => {
  const values = [...weights.get(name)!];
  return Array.from({ length: values.length / columns }, (_, i) =>
    values.slice(i * columns, (i + 1) * columns),
  );
};

/** Activations of one sequence, from the formulas of docs/trainer-protocol.md; scores only where the causal mask lets see. */
function forward(plan: Plan, weights: Weights, tokens: readonly number[]): Map<string, number[]> {
  const { d_model: c, d_head, d_ffn: f, layers, norm_eps } = plan.shape;
  const heads = c / d_head;
  const norm = (x: Matrix, name: string): Matrix =>
    x.map((row) => {
      const r = 1 / Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / c + norm_eps);
      return row.map((v, j) => v * r * weights.get(`${name}.gain`)![j]!);
    });
  const found = new Map<string, number[]>();
  const embedding = matrix(weights, "embedding", c);
  let x = tokens.map((token) => embedding[token]!.map((v) => v * plan.forward.embedding_multiplier));
  found.set("embedding", x.flat());
  for (let l = 0; l < layers; l++) {
    const w = (name: string, columns = c): Matrix => matrix(weights, `blocks.${l}.${name}`, columns);
    const h = norm(x, `blocks.${l}.attention_norm`);
    const [q, k, v] = ["query", "key", "value"].map((kind) => product(h, w(`attention_${kind}`))) as [
      Matrix,
      Matrix,
      Matrix,
    ];
    const scores: number[] = [];
    const mixed = tokens.map(() => new Array<number>(c).fill(0));
    alibiSlopes(heads).forEach((slope, head) => {
      const part = (row: number[]): number[] => row.slice(head * d_head, (head + 1) * d_head);
      for (let i = 0; i < tokens.length; i++) {
        const own = Array.from(
          { length: i + 1 },
          (_, j) =>
            plan.forward.attention_scale *
            part(q[i]!).reduce((sum, value, n) => sum + value * part(k[j]!)[n]!, 0),
        );
        scores.push(...own);
        const raised = own.map((score, j) => Math.exp(score - slope * (i - j)));
        const total = raised.reduce((a, b) => a + b, 0);
        for (let j = 0; j <= i; j++)
          part(v[j]!).forEach((value, n) => {
            mixed[i]![head * d_head + n]! += (raised[j]! / total) * value;
          });
      }
    });
    found.set(`attention_scores ${l}`, scores);
    const attention = product(mixed, w("attention_output"));
    found.set(`attention ${l}`, attention.flat());
    x = plus(x, attention);
    const g = norm(x, `blocks.${l}.ffn_norm`);
    const [gate, up] = [product(g, w("ffn_gate", f)), product(g, w("ffn_up", f))];
    const gated = gate.map((row, i) => row.map((z, j) => (z / (1 + Math.exp(-z))) * up[i]![j]!));
    const down = product(gated, w("ffn_down"));
    found.set(`ffn ${l}`, down.flat());
    x = plus(x, down);
  }
  const final = norm(x, "final_norm");
  const logits = final.map((row) =>
    embedding.map((e) => plan.forward.logits_multiplier * e.reduce((sum, v, j) => sum + v * row[j]!, 0)),
  );
  found.set("logits", logits.flat());
  return found;
}

const meanAbs = (values: readonly number[]): number =>
  values.reduce((sum, v) => sum + Math.abs(v), 0) / values.length;
const nameOf = ({ module, layer }: ModuleSize): string => (layer === null ? module : `${module} ${layer}`);

const prepare = (options: PlanOptions = {}) => {
  const directory = temporaryDirectory();
  const plan = makePlan({ hash: writeData(directory), initStd: 0.4, density: 0.5, ...options });
  return { directory, plan, measured: { ...plan, coordinates: { steps: 3 } } satisfies Plan };
};

/** Every activation on all evaluation sequences, with given weights. */
function byHand(plan: Plan, directory: string, weights: Weights): Map<string, number[]> {
  const data = new DataSource(plan, directory);
  const t = plan.shape.sequence_length;
  const all = new Map<string, number[]>();
  for (let i = 0; i < plan.evaluation.sequences; i++) {
    const [inputs, targets] = [new Int32Array(t), new Int32Array(t)];
    data.validationSequences(i, 1, inputs, targets);
    for (const [name, values] of forward(plan, weights, [...inputs]))
      all.set(name, [...(all.get(name) ?? []), ...values]);
  }
  data.close();
  return all;
}

test.each<[string, PlanOptions]>([
  ["one pass", { plan: { evaluation: { every_steps: null, sequences: 3 } } }],
  // Passes of 4 sequences: the last one holds 2, and repeats them.
  ["several passes, the last one short", { plan: { evaluation: { every_steps: null, sequences: 6 } } }],
  [
    "attention in blocks of queries",
    {
      shape: { layers: 1, d_model: 8, sequence_length: 130 },
      plan: { batch_size: 1, evaluation: { every_steps: null, sequences: 2 } },
    },
  ],
])("sizes and changes are those of a forward pass by hand: %s", async (_name, options) => {
  const { directory, plan, measured } = prepare(options);
  const steps = await traceCoordinates(measured, directory);
  expect(steps).toHaveLength(4);
  const initial = byHand(plan, directory, initialTensors(plan).weights);
  expect(steps[0]!.map(nameOf).toSorted()).toEqual([...initial.keys()].toSorted());
  for (const t of [0, 3]) {
    const { weights } = t === 0 ? initialTensors(plan) : await traceTraining(plan, directory, t);
    const now = byHand(plan, directory, weights);
    for (const measuredSize of steps[t]!) {
      const [values, before] = [now.get(nameOf(measuredSize))!, initial.get(nameOf(measuredSize))!];
      const change = meanAbs(values.map((value, i) => value - before[i]!));
      expect(Math.abs(measuredSize.size! / meanAbs(values) - 1), nameOf(measuredSize)).toBeLessThan(1e-5);
      if (t === 0) expect(measuredSize.change).toBe(0);
      else expect(Math.abs(measuredSize.change! / change - 1), nameOf(measuredSize)).toBeLessThan(1e-4);
    }
  }
});

test("a measured run trains with the bits of one that is not, and is another run", async () => {
  const { directory, plan, measured } = prepare();
  const plain = await traceTraining(plan, directory);
  expect(await traceTraining(measured, directory)).toEqual(plain);
  expect(runIdOf(measured)).not.toBe(runIdOf(plan));
  const [more, less] = [measured, plan].map((p) =>
    estimateMemory(runCommand(p, directory), layOutRun(p, 1)),
  ) as [number, number];
  expect(more).toBeGreaterThan(less);

  const trainer = new TrainerProcess();
  const command = {
    type: "run",
    data_directory: directory,
    weights_path: null,
    memory_limit_bytes: null,
  } as const;
  const send = (of: Plan, checkpoint: { directory: string; every_seconds: number } | null = null): void =>
    trainer.send({ ...command, run: runIdOf(of), plan: of, checkpoint, report_every_steps: 5 });
  send(measured);
  const { validation_loss } = await trainer.next(["finished"]);
  expect(validation_loss).toBe(plain.validationLoss);
  const events = trainer.events.filter((event) => event.type === "coordinates");
  expect(events.map((event) => event.step)).toEqual([0, 1, 2, 3]);
  expect(events.map((event) => event.modules)).toEqual(await traceCoordinates(measured, directory));
  send(plan);
  await trainer.next(["finished"]);
  expect(trainer.events.filter((event) => event.type === "coordinates")).toHaveLength(4);

  // Killed on the way and resumed, what is left is measured from the initial network as before.
  const long = { ...measured, steps: 400, coordinates: { steps: 400 } };
  const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1e-6 };
  send(long, checkpoint);
  await trainer.next(["checkpoint"], (event) => event.step >= 5);
  await trainer.kill();
  const second = new TrainerProcess();
  second.send({ ...command, run: runIdOf(long), plan: long, checkpoint, report_every_steps: 400 });
  const started = await second.next(["started"]);
  expect(started.resumed_from_step).toBeGreaterThanOrEqual(5);
  const next = await second.next(["coordinates"], ({ step }) => step > started.resumed_from_step);
  expect(next.step).toBe(started.resumed_from_step + 1);
  const undisturbed = await traceCoordinates({ ...long, coordinates: { steps: next.step } }, directory);
  expect(next.modules).toEqual(undisturbed.at(-1));
});
