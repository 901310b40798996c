/** What a worker remembers that it cannot train, and tells of it. */
import { expect, it } from "vitest";
import type { RunPlan } from "../../schema/wire/plan.ts";
import { heartbeatSchema } from "../../schema/wire/worker.ts";
import { Inabilities } from "../../workers/inabilities.ts";
import { TrainerFailure } from "../../workers/trainer-failure.ts";
import { scriptPlan } from "./python/script-plan.ts";

it("settings too long for a heartbeat are told in part, and compared whole", () => {
  const planOf = (end: string) =>
    scriptPlan({ settings: { words: `${"long ".repeat(200)}${end}` } }) as unknown as RunPlan;
  const inabilities = new Inabilities(1);
  inabilities.learn(new TrainerFailure("memory", "too large"), planOf("a"), "r1");
  expect(heartbeatSchema.shape.unable.safeParse(inabilities.all()).error).toBeUndefined();
  expect(inabilities.all()).toMatchObject([{ what: expect.stringMatching(/…$/), why: "too large" }]);
  expect(inabilities.of(planOf("a"), "r2")).toMatchObject({ code: "memory" });
  expect(inabilities.of(planOf("b"), "r3")).toBeUndefined();
});
