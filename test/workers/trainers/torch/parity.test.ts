/**
 * The trainer in PyTorch against the embedded one: the same plan starts from the same weights and masks, has the same gradients, and
 * trains to the same losses, for every option of a plan.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Plan } from "../../../../schema/wire/plan.ts";
import type { TrainerEvent } from "../../../../schema/wire/protocol.ts";
import { initialTensors } from "../../../../workers/trainers/common/tensors.ts";
import { firstGradients } from "../../../../workers/trainers/cpu/inspect.ts";
import { type Case, cases } from "../../../torch/cases.ts";
import { embedded, inTorch, PATIENT, python } from "../engines.ts";
import { writeData } from "../support.ts";
import { runCommand, TrainerProcess } from "../trainer-process.ts";
import { Inspector } from "./inspect.ts";

const VOCABULARY = 97;
const LIMITS = { loss: 1e-3, gradient: 1e-4, norm: 1e-3 };

const directory = mkdtempSync(join(tmpdir(), "musweep-parity-"));
const hash = writeData(directory, VOCABULARY, 60_000);
const all: Case[] = cases({ hash, vocab_size: VOCABULARY }, false);
/** The largest that was seen of each. */
const largest: Record<keyof typeof LIMITS | "units", number> = { loss: 0, gradient: 0, norm: 0, units: 0 };
const within = (kind: keyof typeof LIMITS, difference: number, where: string): void => {
  expect(difference, `${kind}, ${where}`).toBeLessThan(LIMITS[kind]);
  largest[kind] = Math.max(largest[kind], difference);
};
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** ‖a − b‖ / ‖b‖; exactly 0 is asked for where b is 0. */
function distance(a: Float32Array, b: Float32Array): number {
  let [difference, size] = [0, 0];
  b.forEach((y, i) => {
    difference += (a[i]! - y) ** 2;
    size += y ** 2;
  });
  if (size === 0) return difference === 0 ? 0 : Number.POSITIVE_INFINITY;
  return Math.sqrt(difference / size);
}

const ordered = new DataView(new ArrayBuffer(4));
/** A float32's place among all of them: neighbours differ by 1. */
function place(x: number): number {
  ordered.setFloat32(0, x);
  const bits = ordered.getInt32(0);
  return bits < 0 ? -(bits & 0x7fffffff) : bits;
}
const unitsApart = (a: Float32Array, b: Float32Array): number =>
  b.reduce((worst, y, i) => Math.max(worst, Math.abs(place(a[i]!) - place(y))), 0);

describe.skipIf(python === undefined)("the same plan", PATIENT, () => {
  let inspector: Inspector;
  let trainers: [TrainerProcess, TrainerProcess];
  beforeAll(() => {
    inspector = new Inspector();
    trainers = [embedded(), inTorch()].map((c) => new TrainerProcess(c, afterAll)) as typeof trainers;
  });
  afterAll(() => inspector.close());
  afterAll(() => console.log("largest differences:", largest, "limits:", LIMITS));

  test.each(all)("$name", async ({ plan }) => {
    const [ours] = await inspector.inspect([plan], directory, join(directory, "inspected"));
    const { weights, masks } = initialTensors(plan);
    expect(ours!.masks).toEqual(masks);
    for (const [name, weight] of weights) {
      const units = unitsApart(ours!.initial.get(name)!, weight);
      expect(units, name).toBeLessThanOrEqual(1);
      largest.units = Math.max(largest.units, units);
    }

    const theirs = await firstGradients(plan, directory);
    within("loss", Math.abs(ours!.loss - theirs.loss), "first batch");
    for (const [name, gradient] of theirs.gradients)
      within("gradient", distance(ours!.gradients.get(name)!, gradient), name);

    const [expected, actual] = await trainBoth(plan);
    expect(actual.map(({ step }) => step)).toEqual(expected.map(({ step }) => step));
    actual.forEach(({ step, loss, norm }, i) => {
      const other = expected[i]!;
      within("loss", Math.abs(loss - other.loss), `step ${step}`);
      if (other.norm !== null) within("norm", Math.abs(norm! / other.norm - 1), `step ${step}`);
    });
  });

  async function trainBoth(plan: Plan): Promise<[Point[], Point[]]> {
    const command = runCommand(plan, directory, { report_every_steps: 1 });
    const [a, b] = await Promise.all(trainers.map((trainer) => trainer.train(command)));
    for (const events of [a, b]) expect(events!.at(-1)!.type).toBe("finished");
    return [pointsOf(a!), pointsOf(b!)];
  }
});

interface Point {
  readonly step: number;
  readonly loss: number;
  /** Null of an evaluation. */
  readonly norm: number | null;
}

const pointsOf = (events: readonly TrainerEvent[]): Point[] =>
  events.flatMap((e): Point[] => {
    if (e.type === "step") return [{ step: e.step, loss: e.train_loss, norm: e.gradient_norm }];
    return e.type === "evaluation" ? [{ step: e.step, loss: e.validation_loss!, norm: null }] : [];
  });
