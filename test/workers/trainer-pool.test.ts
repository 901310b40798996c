/** Trainers of a worker with several devices: one on each. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { resolveTrainers } from "../../orchestrator/commands/worker-trainer.ts";
import type { OfferedTrainer } from "../../schema/wire/worker.ts";
import { TrainerPool } from "../../workers/trainer-pool.ts";
import { EMBEDDED, workerConfig } from "../support/worker-config.ts";

/** A program that is started as a Python would be, and says which device it was given. */
function writeProgram(): string {
  const directory = mkdtempSync(join(tmpdir(), "musweep-pool-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, "python");
  const program = `#!${process.execPath}
const device = process.argv[process.argv.indexOf("--device") + 1];
console.log(JSON.stringify({ type: "ready", protocol: 1, engine: "e", engine_version: "1", device }));
process.stdin.on("end", () => process.exit(0)).resume();
`;
  writeFileSync(file, program);
  chmodSync(file, 0o755);
  return file;
}

test("each device has one trainer, a new one where the last has ended", async () => {
  const devices = ["cuda:0", "cuda:1", "cuda:3"];
  const torch: OfferedTrainer = {
    name: "musweep",
    engine: "musweep-torch",
    start: { python: writeProgram() },
    devices,
  };
  const pool = new TrainerPool(workerConfig("", "", { trainers: [torch] }), () => {});
  onTestFinished(() => pool.close());
  const trainers = await Promise.all(devices.map((device) => pool.take(torch, device)));
  const deviceOf = (trainer: (typeof trainers)[number]) => trainer.ready.device;
  expect(trainers.map(deviceOf)).toEqual(devices);

  const [first, second, third] = trainers;
  await pool.discard(second!);
  const replacement = await pool.take(torch, "cuda:1");
  expect(deviceOf(replacement)).toBe(deviceOf(second!));
  pool.giveBack(third!);
  expect(await pool.take(torch, "cuda:3")).toBe(third);
  for (const trainer of [first!, replacement, third!]) pool.giveBack(trainer);
});

test("a trainer that idles makes room for another one on its device", async () => {
  const own = (name: string): OfferedTrainer => ({
    ...EMBEDDED,
    name,
    engine: null,
    start: { command: [writeProgram(), "--device", name] },
  });
  const [one, other] = [own("one"), own("other")];
  const pool = new TrainerPool(workerConfig("", "", { trainers: [one, other] }), () => {});
  onTestFinished(() => pool.close());
  const first = await pool.take(one, "cpu");
  pool.giveBack(first);
  const second = await pool.take(other, "cpu");
  expect([first.usable, second.ready.device]).toEqual([false, "other"]);
  pool.giveBack(second);
  expect(await pool.take(other, "cpu")).toBe(second);
  pool.giveBack(second);
});

test("a program sees the GPU of its slot; `env` before it gives it others", async () => {
  const directory = mkdtempSync(join(tmpdir(), "musweep-pool-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const program = join(directory, "visible");
  writeFileSync(
    program,
    `#!${process.execPath}
const device = process.env.CUDA_VISIBLE_DEVICES;
console.log(JSON.stringify({ type: "ready", protocol: 1, engine: "e", engine_version: "1", device }));
process.stdin.on("end", () => process.exit(0)).resume();
`,
  );
  chmodSync(program, 0o755);
  const started = async (...options: string[]) => {
    const { trainers } = await resolveTrainers({ trainer: options, devices: "cuda:0", dir: directory });
    const pool = new TrainerPool(workerConfig("", "", { trainers }), () => {});
    onTestFinished(() => pool.close());
    const trainer = await pool.take(trainers[0]!, "cuda:0");
    pool.giveBack(trainer);
    return trainer.ready.device;
  };
  expect(await started(`mine=${program}`)).toBe(process.env.CUDA_VISIBLE_DEVICES?.split(",")[0] ?? "0");
  expect(await started(`torch=env CUDA_VISIBLE_DEVICES=0,1,2,3 ${program}`)).toBe("0,1,2,3");
});
