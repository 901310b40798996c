#!/usr/bin/env node
/**
 * A trainer that trains nothing (docs/trainer-protocol.md): what is left of a run's cost is what everything around it costs. Its
 * losses are a valley over the learning rate with some scatter, the same for the same plan, so that there is something to fit.
 */
import { createInterface } from "node:readline";

const emit = (...events) =>
  process.stdout.write(events.map((event) => `${JSON.stringify(event)}\n`).join(""));

emit({ type: "ready", protocol: 1, engine: "no-op", engine_version: "1", device: "cpu" });

createInterface({ input: process.stdin }).on("line", (line) => {
  const { type, run, plan } = JSON.parse(line);
  if (type !== "run") return;
  const scatter = Number.parseInt(run.slice(1, 7), 16) / 2 ** 24 - 0.5;
  const log2 = Math.log2(plan.groups[0].learning_rate);
  const loss = 2 * (1 + 0.012 * (log2 + 7) ** 2 + 0.017 * scatter);
  const tokens = plan.steps * plan.batch_size * plan.shape.sequence_length;
  emit(
    {
      type: "started",
      run,
      resumed_from_step: 0,
      parameters: 1000,
      nonzero_parameters: 1000,
      estimated_memory_bytes: 1,
      notes: [],
    },
    { type: "step", run, step: 1, train_loss: 6, gradient_norm: 1, tokens_per_second: 1e6 },
    { type: "step", run, step: plan.steps, train_loss: loss, gradient_norm: 1, tokens_per_second: 1e6 },
    { type: "evaluation", run, step: plan.steps, validation_loss: loss },
    {
      type: "finished",
      run,
      step: plan.steps,
      train_loss: loss,
      validation_loss: loss,
      tokens,
      flops: 1e9,
      seconds: 0.001,
      weights_path: null,
    },
  );
});
