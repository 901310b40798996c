/** Where a tape's values lie: apart while they are needed, and in little more memory than the most that is needed at once. */
import { expect, test } from "vitest";
import { layOutRun } from "../../../../workers/trainers/cpu/run-memory.ts";
import { type Program, sizeOf, type Value } from "../../../../workers/trainers/cpu/tape.ts";
import { makePlan, type PlanOptions } from "../support.ts";

interface Placed {
  readonly start: number;
  readonly end: number;
  readonly first: number;
  last: number;
}

/** Values of the arena, and the calls between which they are needed. @param kept to the end of the tape */
function placed(program: Program, kept: readonly Value[] = []): Placed[] {
  const values = new Map<Value, Placed>();
  program.calls.forEach(({ at }, i) => {
    for (const value of at) {
      if (value === null || value.name !== null) continue;
      const start = program.placeOf(value);
      const known = values.get(value) ?? { start, end: start + 4 * sizeOf(value.shape), first: i, last: i };
      values.set(value, known);
      known.last = i;
    }
  });
  for (const value of kept) values.get(value)!.last = program.calls.length;
  return [...values.values()];
}

const LONG = { d_model: 64, d_head: 16, d_ffn: 176, sequence_length: 256 };

test.each<[string, PlanOptions]>([
  ["dense", { shape: LONG }],
  [
    "sparse, LayerNorm, untied",
    { density: 0.25, shape: { ...LONG, norm: "layernorm", tied_embeddings: false } },
  ],
  ["a large vocabulary", { vocabulary: 20_000, shape: LONG }],
  ["many layers", { shape: { ...LONG, layers: 12 } }],
  ["coordinates", { density: 0.25, shape: LONG, plan: { coordinates: { steps: 2 } } }],
])("values that are needed at once lie apart, closely packed: %s", (_name, options) => {
  const { gradient, evaluation, activations } = layOutRun(makePlan(options), 2);
  const programs: [Program, Value[]][] = [
    [gradient, []],
    [evaluation, []],
    ...(activations === null
      ? []
      : [[activations.program, activations.activations.map(({ value }) => value)] as [Program, Value[]]]),
  ];
  for (const [program, kept] of programs) {
    const values = placed(program, kept);
    expect(values.length).toBeGreaterThan(20);
    let most = 0;
    for (let call = 0; call < program.calls.length; call++) {
      const needed = values.filter(({ first, last }) => first <= call && call <= last);
      needed.sort((a, b) => a.start - b.start);
      expect(needed.every(({ start }, i) => i === 0 || start >= needed[i - 1]!.end)).toBe(true);
      expect(needed.at(-1)?.end ?? 0).toBeLessThanOrEqual(program.arenaBytes);
      most = Math.max(
        most,
        needed.reduce((sum, { start, end }) => sum + end - start, 0),
      );
    }
    // The largest of a run's tapes is what it takes memory for.
    if (program === gradient) expect(program.arenaBytes).toBeLessThan(1.03 * most);
  }
});
