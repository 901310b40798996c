/** However the trainer in PyTorch computes: padded, compiled, with another attention, in bfloat16. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { ModelRunCommand, TrainerEvent } from "../../../../schema/wire/protocol.ts";
import { askPython, embedded, inNarrowTorch, inTorch, PATIENT, python } from "../engines.ts";
import { makePlan, type PlanOptions, temporaryDirectory, writeData } from "../support.ts";
import { ENDINGS, runCommand, TrainerProcess } from "../trainer-process.ts";

const prepare = (options: PlanOptions = {}) => {
  const directory = temporaryDirectory();
  const plan = makePlan({ hash: writeData(directory), ...options });
  return { directory, plan, command: runCommand(plan, directory, { report_every_steps: 1 }) };
};

const losses = (events: readonly TrainerEvent[]): number[] =>
  events.flatMap((e) =>
    e.type === "step" ? [e.train_loss] : e.type === "evaluation" ? [e.validation_loss!] : [],
  );
const lossesOf = async (trainer: TrainerProcess, command: Parameters<TrainerProcess["train"]>[0]) =>
  losses(await trainer.train(command));

/** Of a run that is sent with others. */
function fieldsOf({ type: _type, ...fields }: ModelRunCommand) {
  return fields;
}

function expectClose(actual: readonly number[], expected: readonly number[], limit: number): void {
  expect(actual).toHaveLength(expected.length);
  actual.forEach((x, i) => {
    expect(Math.abs(x - expected[i]!), `number ${i}`).toBeLessThan(limit);
  });
}

describe.skipIf(python === undefined)("the trainer in PyTorch", PATIENT, () => {
  // 11 tokens and a feed-forward width of 16 become 64 each.
  test.each<[string, PlanOptions]>([
    ["tied, masked", { density: 0.5, decayPerStep: 1e-3 }],
    ["untied, layernorm", { shape: { tied_embeddings: false, norm: "layernorm" } }],
  ])("pads without changing what is computed: %s", async (_name, options) => {
    const { directory, command } = prepare(options);
    const weights = ["plain", "padded"].map((name) => join(directory, name));
    const [plain, padded] = await Promise.all(
      [[], ["--pad", "64"]].map((o, i) =>
        new TrainerProcess(inTorch(...o)).train({ ...command, weights_path: weights[i]! }),
      ),
    );
    expectClose(losses(padded!), losses(plain!), 1e-5);
    const { estimated_memory_bytes: _a, ...started } = plain![0] as Extract<
      TrainerEvent,
      { type: "started" }
    >;
    expect(padded![0]).toMatchObject(started);
    // True shapes, in a file of the same size.
    const header = (path: string) => {
      const file = readFileSync(path);
      const { __metadata__, ...entries } = JSON.parse(
        file.subarray(8, 8 + Number(file.readBigUInt64LE())).toString(),
      );
      return entries;
    };
    expect(header(weights[1]!)).toEqual(header(weights[0]!));
  });

  test("padding of a run that is not finite is nothing to the next ones of its shape, resumed and together too", async () => {
    const { directory, plan } = prepare({ plan: { steps: 200 } });
    const other = makePlan({ hash: plan.data.hash, density: 0.5, plan: { steps: 40, seed: 8 } });
    const broken = { hash: plan.data.hash, learningRate: 1e38, plan: { steps: 200, clip_norm: null } };
    const diverging = runCommand(makePlan(broken), directory);
    const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1000 };
    const command = runCommand(plan, directory, { checkpoint });
    const padded = (): TrainerProcess => new TrainerProcess(inTorch("--pad", "64"));
    const expected = await padded().train({ ...command, checkpoint: null });
    const expectedOther = await padded().train(runCommand(other, directory));
    const stopped = await padded().stopAfter(command, ["step"]);

    const trainer = padded();
    const diverge = async () => {
      expect((await trainer.train(diverging)).at(-1)).toMatchObject({
        type: "diverged",
        reason: "non-finite",
      });
    };
    await diverge();
    expect(losses(await trainer.train(runCommand(other, directory)))).toEqual(losses(expectedOther));
    await diverge();
    const resumed = await trainer.train(command);
    expect(resumed[0]).toMatchObject({ type: "started", resumed_from_step: stopped.step });
    expect(losses(resumed)).toEqual(losses(expected));

    const together = async (...commands: ModelRunCommand[]) => {
      const before = trainer.events.length;
      trainer.send({ type: "cohort", runs: commands.map(fieldsOf) });
      for (const _ of commands) await trainer.next(ENDINGS);
      return commands.map(({ run }) =>
        trainer.events.slice(before).filter((event) => "run" in event && event.run === run),
      );
    };
    const pair = [{ ...command, checkpoint: null }, runCommand(other, directory)] as const;
    const [, beside] = await together(diverging, pair[1]);
    expectClose(losses(beside!), losses(expectedOther), 1e-5);
    const [first, second] = await together(...pair);
    expectClose(losses(first!), losses(expected), 1e-5);
    expectClose(losses(second!), losses(expectedOther), 1e-5);
  });

  test("compiles a shape once: other rates, seeds, masks and multipliers run the same program", async () => {
    const first = prepare({ density: 0.5, plan: { evaluation: { every_steps: 5, sequences: 6 } } });
    const { directory } = first;
    const second = runCommand(
      makePlan({
        hash: first.plan.data.hash,
        density: 0.25,
        learningRate: 0.002,
        eps: 1e-5,
        decayPerStep: 0.01,
        plan: {
          seed: 99,
          steps: 20,
          mask: "bernoulli",
          clip_norm: null,
          evaluation: { every_steps: 5, sequences: 6 },
          optimizer: { name: "adamw", beta1: 0.8, beta2: 0.99 },
          forward: {
            embedding_multiplier: 3,
            residual_multiplier: 0.5,
            attention_scale: 0.2,
            logits_multiplier: 1.5,
          },
        },
      }),
      directory,
      { report_every_steps: 1 },
    );
    const { command, env } = inTorch("--compile", "on", "--pad", "64");
    const log = { TORCH_LOGS: "recompiles", TORCHINDUCTOR_CACHE_DIR: join(directory, "inductor") };
    const compiled = new TrainerProcess({ command, env: { ...env, ...log } });
    const eager = new TrainerProcess(inTorch());
    for (const one of [first.command, second]) {
      const before = compiled.stderr.length;
      expectClose(await lossesOf(compiled, one), await lossesOf(eager, one), 1e-5);
      if (one === second) expect(compiled.stderr.slice(before)).not.toMatch(/recompil/i);
    }
  });

  test("compiles nothing anew when the first of several runs ends", async () => {
    const { directory, plan } = prepare();
    const { command, env } = inNarrowTorch(100, 8);
    const trainer = new TrainerProcess({ command, env: { ...env, TORCH_LOGS: "recompiles" } });
    const together = async (steps: number[]) => {
      const plans = steps.map((n, seed) => makePlan({ hash: plan.data.hash, plan: { steps: n, seed } }));
      trainer.send({ type: "cohort", runs: plans.map((p) => fieldsOf(runCommand(p, directory))) });
      for (const _ of plans) expect((await trainer.next(ENDINGS)).type).toBe("finished");
    };
    await together([6, 6]);
    const before = trainer.stderr.length;
    await together([2, 12]);
    expect(trainer.stderr.slice(before)).not.toMatch(/recompil/i);
  });

  test("is compiled where the compiler and the headers are that it takes", async () => {
    const directory = temporaryDirectory();
    const program = `
import sysconfig
from musweep_torch import compiling
paths = sysconfig.get_paths
sysconfig.get_paths = lambda *given: paths(*given) | {"include": "${directory}"}
print(compiling.note())`;
    const note = (env: NodeJS.ProcessEnv) => askPython(["-c", program], { PATH: "/nowhere", ...env });
    const without = await note({ CC: undefined });
    expect(without).toMatch(/^Trained uncompiled, which is slower: there is no /);
    expect(without).toContain("no C compiler (gcc or clang)");
    expect(without).toContain(`no Python.h in ${directory}`);
    expect(await note({ CC: "/nowhere/cc" })).toContain("no C compiler (/nowhere/cc)");
    writeFileSync(join(directory, "Python.h"), "");
    expect(await note({ CC: process.execPath })).not.toMatch(/C compiler|Python\.h/);
  });

  test("float32 is no TF32, where a container asks for it too", async () => {
    const program = `
import argparse, torch
from musweep_torch import process
print(torch.get_float32_matmul_precision())
process.prepare(argparse.Namespace(device="cpu", compile="auto", graphs=False, pad=None))
print(torch.get_float32_matmul_precision())`;
    const said = await askPython(["-c", program], { TORCH_ALLOW_TF32_CUBLAS_OVERRIDE: "1" });
    expect(said).toBe("high\nhighest");
  });

  test("FlexAttention is the dense bias", async () => {
    const differences = (await askPython([new URL("./check_attention.py", import.meta.url).pathname]))
      .split("\n")
      .map(Number);
    expect(differences).toHaveLength(3);
    for (const difference of differences) expect(difference).toBeLessThan(1e-5);
  });

  test("in bfloat16, a run comes close to float32, and keeps float32 weights; the embedded engine refuses it", async () => {
    const options = { shape: { d_model: 32, d_head: 8 }, plan: { steps: 60 } } satisfies PlanOptions;
    const { directory, plan, command } = prepare(options);
    const half = { ...plan, precision: "bfloat16" } as const;
    const weights = join(directory, "weights");
    const trainer = new TrainerProcess(inTorch());
    const full = await lossesOf(trainer, command);
    const events = await trainer.train(
      runCommand(half, directory, { report_every_steps: 1, weights_path: weights }),
    );
    expect(events.at(-1)!.type).toBe("finished");
    expectClose(losses(events), full, 0.05);
    expect(losses(events)).not.toEqual(full);
    expect(readFileSync(weights).subarray(0, 4000).toString()).toContain('"dtype":"F32"');
    const refused = await new TrainerProcess(embedded()).train(runCommand(half, directory));
    expect(refused).toMatchObject([{ type: "failed", code: "unsupported" }]);
  });

  test("names bfloat16 where a run in it stops being finite", async () => {
    const { directory, plan } = prepare({ learningRate: 1e38, plan: { steps: 300, clip_norm: null } });
    const trainer = new TrainerProcess(inTorch());
    await trainer.train(runCommand({ ...plan, precision: "bfloat16" }, directory));
    expect(trainer.events.at(-1)).toMatchObject({ type: "diverged", reason: "non-finite" });
    expect(trainer.stderr).toMatch(/not finite at step \d+ in bfloat16/);
  });
});
