/** What a process of the trainer in PyTorch holds against what it says it will need, and what it does when there is not enough. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { TrainerEvent } from "../../../../schema/wire/protocol.ts";
import { onLinux } from "../../../support/tested-where.ts";
import { askPython, inNarrowTorch, inTorch, PATIENT, python } from "../engines.ts";
import { makePlan, type PlanOptions, temporaryDirectory, writeData } from "../support.ts";
import { ENDINGS, runCommand, TrainerProcess } from "../trainer-process.ts";

const MEBIBYTE = 2 ** 20;
const isRead = python !== undefined && onLinux("what a trainer in PyTorch holds in memory");

/** VmHWM: the most resident bytes so far; VmSize: the address space of now. */
function bytesOf(trainer: TrainerProcess, field: "VmHWM" | "VmSize"): number {
  const status = readFileSync(`/proc/${trainer.child.pid}/status`, "utf8");
  return 1024 * Number(new RegExp(`${field}:\\s*(\\d+) kB`).exec(status)![1]);
}

const wide = { layers: 4, d_model: 128, d_head: 32, d_ffn: 352, sequence_length: 256 };
/** Much to keep for the backward pass, little to compute. */
const deep = { layers: 32, d_model: 32, d_head: 16, d_ffn: 64, sequence_length: 256 };

const lossesOf = (events: readonly TrainerEvent[]): number[] =>
  events.flatMap((e) => (e.type === "step" ? [e.train_loss] : []));

describe.runIf(isRead)("memory", PATIENT, () => {
  test.each<[string, PlanOptions]>([
    ["one pass, masked", { density: 0.5, shape: wide }],
    ["many passes", { shape: wide, plan: { micro_batch_size: 2 } }],
    ["a large vocabulary", { vocabulary: 20_000, shape: { ...wide, layers: 1 } }],
    ["many layers", { shape: deep }],
  ])("the estimate is at most half above what a run takes, never below: %s", async (_name, options) => {
    const directory = temporaryDirectory();
    const hash = writeData(directory, options.vocabulary ?? 11, 8000);
    const plan = makePlan({ hash, ...options, plan: { steps: 3, batch_size: 8, ...options.plan } });
    const trainer = new TrainerProcess(inTorch());
    const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1e-6 };
    const events = await trainer.train(runCommand(plan, directory, { checkpoint }));
    const { estimated_memory_bytes: estimate } = events[0] as Extract<TrainerEvent, { type: "started" }>;
    const peak = bytesOf(trainer, "VmHWM");
    expect(estimate).toBeGreaterThan(peak);
    expect(estimate).toBeLessThan(1.5 * peak);
    const limit = Math.floor(estimate) - 1;
    const refused = await trainer.train(runCommand(plan, directory, { memory_limit_bytes: limit }));
    expect(refused).toMatchObject([{ type: "failed", code: "memory" }]);
  });

  /** A trainer that may take so much more than it has. */
  async function confined(bytes: number): Promise<TrainerProcess> {
    const trainer = new TrainerProcess(inTorch());
    await trainer.next(["ready"]);
    const limit = Math.round(bytesOf(trainer, "VmSize") + bytes);
    execFileSync("prlimit", ["--pid", String(trainer.child.pid), `--as=${limit}`]);
    return trainer;
  }

  test("out of memory, it goes on with smaller passes, says so, and comes to the same losses", async () => {
    const directory = temporaryDirectory();
    const hash = writeData(directory, 11, 8000);
    const plan = makePlan({ hash, shape: deep, plan: { steps: 3, batch_size: 16 } });
    const command = runCommand(plan, directory, { report_every_steps: 1 });
    const expected = lossesOf(await new TrainerProcess(inTorch()).train(command));
    const trainer = await confined(350 * MEBIBYTE);
    const actual = lossesOf(await trainer.train(command));
    expect(trainer.stderr).toMatch(/Out of memory with 16 sequences a pass; on with 8\./);
    expect(actual).toEqual(expected.map((loss) => expect.closeTo(loss, 5)));
  });

  test("out of memory time and again, it is compiled anew for each number of sequences that it tries", async () => {
    const directory = temporaryDirectory();
    const plan = makePlan({ hash: writeData(directory), plan: { steps: 3, batch_size: 16 } });
    const command = runCommand(plan, directory, { report_every_steps: 1 });
    const narrow = new TrainerProcess(inNarrowTorch(1, 3));
    const actual = lossesOf(await narrow.train(command));
    expect(narrow.stderr).toMatch(/on with 8\..*on with 4\..*on with 2\..*on with 1\./s);
    const expected = lossesOf(await new TrainerProcess(inTorch()).train(command));
    expect(actual).toEqual(expected.map((loss) => expect.closeTo(loss, 5)));
  });

  test("out of memory with 60 sequences, it goes on with half of them at most", async () => {
    const directory = temporaryDirectory();
    const plan = makePlan({ hash: writeData(directory), plan: { steps: 2, batch_size: 60 } });
    const trainer = new TrainerProcess(inNarrowTorch(5, 8));
    await trainer.train(runCommand(plan, directory));
    expect(trainer.stderr.match(/on with \d+/g)).toEqual([
      "on with 30",
      "on with 15",
      "on with 6",
      "on with 3",
    ]);
    expect(trainer.events.at(-1)!.type).toBe("finished");
  });

  test("a pass on a GPU has no more sequences than attention takes at once, whatever the plan says", async () => {
    const program = `
import sys, torch
from musweep_torch import checks, memory, plan
shape = plan.shape_of(checks.parse_json(sys.argv[1]))
print(*(memory.sequences_per_pass(shape, r, shape.batch_size, 64, torch.device("cuda", 0)) for r in (1, 2, 16)))`;
    const sequences = { batch_size: 3 * 2 ** 14, micro_batch_size: 3 * 2 ** 13 };
    const plan = makePlan({ shape: { d_model: 64, d_head: 16 }, plan: sequences });
    // 4 heads: at most 65,535 of them.
    expect(await askPython(["-c", program, JSON.stringify(plan)])).toBe("12288 6144 768");
  });

  test("knows running out of memory by what the allocator, CUDA, its libraries and compiled kernels say of it", async () => {
    const said = [
      "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.",
      "CUDA error: out of memory",
      "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
      "CUDA driver error: out of memory",
      "Triton Error [CUDA]: out of memory",
      "Triton Error [CUDA]: an illegal memory access was encountered",
      "CUDA error: an illegal memory access was encountered",
    ];
    const program = `
import json, sys
from musweep_torch import memory, runs
errors = [RuntimeError(said) for said in json.loads(sys.argv[1])]
print(json.dumps([(memory.is_out_of_memory(error), runs.ends_process(error)) for error in errors]))`;
    const [shortage, broken] = [
      [true, false],
      [false, true],
    ];
    expect(JSON.parse(await askPython(["-c", program, JSON.stringify(said)]))).toEqual([
      ...said.slice(0, 5).map(() => shortage),
      ...said.slice(5).map(() => broken),
    ]);
  });

  test("out of memory where the plan says how many sequences a pass has, it says so and takes the next run", async () => {
    const directory = temporaryDirectory();
    const hash = writeData(directory, 11, 8000);
    const options = { steps: 2, batch_size: 16 };
    const fixed = makePlan({ hash, shape: deep, plan: { ...options, micro_batch_size: 16 } });
    const trainer = await confined(350 * MEBIBYTE);
    trainer.send(runCommand(fixed, directory));
    expect(await trainer.next(ENDINGS)).toMatchObject({
      type: "failed",
      code: "memory",
      retryable: false,
      message: expect.stringMatching(/^This host is out of memory.*set a smaller micro_batch_size\.$/),
    });
    const small = makePlan({ hash, shape: deep, plan: { ...options, micro_batch_size: 2 } });
    expect((await trainer.train(runCommand(small, directory))).at(-1)!.type).toBe("finished");
  });

  test("out of memory with several runs at once, it goes on with half as many, and all of them come to their ends", async () => {
    const directory = temporaryDirectory();
    const hash = writeData(directory, 11, 8000);
    // Four runs at once hold the 16 sequences a pass that do not fit above; two hold 8.
    const options = { steps: 2, batch_size: 4, micro_batch_size: 4 };
    const plans = [1, 2, 3, 4].map((seed) => makePlan({ hash, shape: deep, plan: { ...options, seed } }));
    const trainer = await confined(350 * MEBIBYTE);
    const runs = plans.map((plan) => {
      const { type: _type, ...fields } = runCommand(plan, directory);
      return fields;
    });
    trainer.send({ type: "cohort", runs });
    for (let ended = 0; ended < 4; ended++) await trainer.next(ENDINGS);
    expect(trainer.stderr).toMatch(/Out of memory with 4 runs at once, on with 2/);
    const ends = trainer.events.filter(({ type }) => (ENDINGS as readonly string[]).includes(type));
    const codes = ends.map((end) => (end.type === "failed" ? end.code : end.type));
    // What had begun comes again by its worker; the others have been trained.
    expect(codes.filter((code) => code !== "finished" && code !== "cohort-memory")).toEqual([]);
  });
});
