/** Plans as they may come through Redis: each is refused, or of a size that can be counted before anything is allocated. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { nonzeroParameterCount, parameterCount, tokenCount, trainingFlops } from "../../schema/wire/cost.ts";
import { planSchema, runIdOf } from "../../schema/wire/plan.ts";
import { makePlan } from "../workers/trainers/support.ts";
import { changed, oddNumber, oddValue } from "./arbitraries.ts";
import { FUZZ } from "./runs.ts";

/** Whole numbers of every size, since nearly all of a plan's fields are. */
const size = fc.oneof(
  oddNumber,
  fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  fc.constantFrom(1e9, 2 ** 40, Number.MAX_SAFE_INTEGER),
);
const shape = fc.record(
  { layers: size, d_model: size, d_head: size, d_ffn: size, sequence_length: size },
  { requiredKeys: [] },
);
const large = fc
  .record({
    shape,
    plan: fc.record({ steps: size, batch_size: size, seed: size }, { requiredKeys: [] }),
    vocabulary: size,
  })
  .map(({ shape: own, plan, vocabulary }) => ({
    ...makePlan({ plan }),
    shape: { ...makePlan().shape, ...own },
    data: { hash: "0123456789abcdef", vocab_size: vocabulary },
  }));
const sound = fc
  .record({ density: fc.double({ min: 0.01, max: 1, noNaN: true }) })
  .map((options) => makePlan(options));

it(
  "any plan",
  () => {
    fc.assert(
      fc.property(fc.oneof(changed(sound, 3), large, changed(large, 1), oddValue, sound), (value) => {
        const json: unknown = JSON.parse(JSON.stringify(value) ?? "null");
        const parsed = planSchema.safeParse(json);
        if (!parsed.success) {
          expect(parsed.error.issues.length).toBeGreaterThan(0);
          return;
        }
        const plan = parsed.data;
        expect(runIdOf(plan)).toMatch(/^r[0-9a-f]{20}$/);
        for (const count of [parameterCount, nonzeroParameterCount, tokenCount])
          expect(Number.isSafeInteger(count(plan)), count.name).toBe(true);
        expect(Number.isFinite(trainingFlops(plan))).toBe(true);
      }),
      FUZZ,
    );
  },
  FUZZ.timeout,
);
