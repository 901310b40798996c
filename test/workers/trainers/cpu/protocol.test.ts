/** What the embedded trainer's process keeps beyond the contract (../contract.test.ts): its bits, and its signs of life. */
import { expect, onTestFinished, test, vi } from "vitest";
import { traceTraining } from "../../../../workers/trainers/cpu/inspect.ts";
import { trainRun } from "../../../../workers/trainers/cpu/train.ts";
import { makePlan, type PlanOptions, temporaryDirectory, writeData } from "../support.ts";
import { runCommand } from "../trainer-process.ts";
import { TrainerProcess } from "./trainer-process.ts";

const prepare = (options: PlanOptions = {}) => {
  const directory = temporaryDirectory();
  return { directory, plan: makePlan({ hash: writeData(directory), ...options }) };
};

test("a slow model gives a sign of life every ten seconds, however seldom it is to report", async () => {
  const { directory, plan } = prepare();
  vi.useFakeTimers({ toFake: ["performance"] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const steps: number[] = [];
  await trainRun(
    runCommand(plan, directory, { report_every_steps: 1000 }),
    1,
    (event) => {
      if (event.type === "step") steps.push(event.step);
    },
    // Asked once before each step, which so takes four seconds.
    () => {
      vi.advanceTimersByTime(4000);
      return null;
    },
  );
  expect(steps).toEqual([1, 4, 7, 10, 12]);
});

test("one warm process gives each run the same bits as a process of its own", async () => {
  const { directory, plan } = prepare();
  const other = { ...plan, seed: 8 };
  const trainer = new TrainerProcess();
  const losses: number[] = [];
  for (const p of [plan, other, plan]) {
    trainer.send(runCommand(p, directory));
    losses.push((await trainer.next(["finished"])).validation_loss);
  }
  expect(losses).toEqual([
    (await traceTraining(plan, directory)).validationLoss,
    (await traceTraining(other, directory)).validationLoss,
    losses[0],
  ]);
});

test("a pass with more numbers than its kernels count to is refused, with the remedy", async () => {
  // 2^20 sequences of 8 tokens, 256 numbers of the feed-forward part for each: 2^31.
  const batch = { batch_size: 2 ** 20, micro_batch_size: 2 ** 20 };
  const { directory, plan } = prepare({ shape: { d_ffn: 256 }, plan: batch });
  const trainer = new TrainerProcess();
  trainer.send(runCommand(plan, directory, { memory_limit_bytes: 2 ** 30 }));
  expect(await trainer.next(["failed"])).toMatchObject({
    code: "unsupported",
    retryable: false,
    message: expect.stringMatching(
      /^A pass computes \d+ numbers.*smaller micro_batch_size; if a pass is one/,
    ),
  });
});

test("the number of threads does not change the result", async () => {
  const { directory, plan } = prepare({ plan: { steps: 40 } });
  const trainer = new TrainerProcess({ MUSWEEP_THREADS: "2" });
  trainer.send(runCommand(plan, directory));
  const { validation_loss } = await trainer.next(["finished"]);
  expect(validation_loss).toBe((await traceTraining(plan, directory)).validationLoss);
});

test("the engine's version says which kernels run, and who compiled them", async () => {
  const { engine, engine_version } = await new TrainerProcess().next(["ready"]);
  expect(engine).toBe("musweep-cpu");
  expect(engine_version).toMatch(/^3, (AVX-512|AVX2|x86-64|NEON), (gcc|clang) \d+$/);
});

test.each(["0", "2.5", "257", "many"])(
  "%s threads are refused at the start, with what there may be",
  async (threads) => {
    const trainer = new TrainerProcess({ MUSWEEP_THREADS: threads });
    expect(await trainer.exit()).toBe(2);
    expect(trainer.stderr).toBe(
      `MUSWEEP_THREADS is "${threads}"; it must be a whole number from 1 to 256.\n`,
    );
  },
);
