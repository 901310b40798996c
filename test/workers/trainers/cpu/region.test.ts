/** A run's memory where it is larger than an array may be: of untouched memory the system gives as much as is asked for. */
import { constants } from "node:buffer";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { Plan } from "../../../../schema/wire/plan.ts";
import { DataSource } from "../../../../workers/trainers/common/data.ts";
import { Engine } from "../../../../workers/trainers/cpu/engine.ts";
import { traceCoordinates, traceTraining } from "../../../../workers/trainers/cpu/inspect.ts";
import { Region } from "../../../../workers/trainers/cpu/region.ts";
import { layOutRun, places, type RunLayout } from "../../../../workers/trainers/cpu/run-memory.ts";
import { makePlan, type PlanOptions, temporaryDirectory, writeData } from "../support.ts";

const GIBIBYTE = 2 ** 30;

const prepare = (options: PlanOptions = {}) => {
  const directory = temporaryDirectory();
  return { directory, plan: makePlan({ hash: writeData(directory), ...options }) };
};

/** With so much more in a piece, which then comes before all others. */
function enlarged(layout: RunLayout, name: string, bytes: number): RunLayout {
  const pieces = new Map([[name, 0], ...layout.pieces]);
  return { ...layout, pieces: pieces.set(name, bytes + pieces.get(name)!) };
}

test("pieces beyond 4 GiB, and a part of a piece that is larger, hold what is written", () => {
  const region = new Region(
    new Map([
      ["large", 5 * GIBIBYTE],
      ["behind", 16],
    ]),
  );
  region.floats("behind").set([1, 2, 3, 4]);
  region.part("large", 5 * GIBIBYTE - 8, 2).set([5, 6]);
  expect(Array.from(region.floats("behind"))).toEqual([1, 2, 3, 4]);
  expect(Array.from(region.part("large", 5 * GIBIBYTE - 12, 3))).toEqual([0, 5, 6]);
  expect(region.address("behind") - region.address("large")).toBeGreaterThan(4n * 2n ** 30n);
  region.release();
});

test.each<[string, PlanOptions]>([
  ["dense", { density: 0.75 }],
  ["sparse", { density: 0.25 }],
])("behind an arena of more than 4 GiB a run gives the same bits: %s", async (_name, options) => {
  const { directory, plan } = prepare(options);
  const far = (own: Plan) => enlarged(layOutRun(own, 1), places.arena(0), 5 * GIBIBYTE);
  expect(await traceTraining(plan, directory, 5, 1, far(plan))).toEqual(
    await traceTraining(plan, directory, 5),
  );
  const measured = { ...plan, coordinates: { steps: 2 } };
  expect(await traceCoordinates(measured, directory, far(measured))).toEqual(
    await traceCoordinates(measured, directory),
  );
});

test.each([2 ** 52, 2 ** 63, 2 ** 80])(
  "memory that the system does not have, %d bytes, is refused as such",
  (bytes) => {
    expect(() => new Region(new Map([["large", bytes]]))).toThrow(
      expect.objectContaining({
        code: "memory",
        message: expect.stringMatching(/^The system has no \d+ MiB of memory left for this run/),
      }),
    );
  },
);

const canBeTooLong = constants.MAX_LENGTH <= 2 ** 40;
if (!canBeTooLong)
  console.warn(
    "SKIPPED: arrays that would be too long, because they may be larger than any memory from Node.js 22 on. Node.js 20 tests it.",
  );
test.skipIf(!canBeTooLong)(
  "an array that would be too long is refused, and the run's memory given back",
  () => {
    const { directory, plan } = prepare();
    const data = new DataSource(plan, directory);
    const layout = enlarged(layOutRun(plan, 1), places.lane(0, "nats"), constants.MAX_LENGTH);
    const mapped = (): number =>
      1024 * Number(/VmSize:\s*(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1]);
    const before = process.platform === "linux" ? mapped() : 0;
    expect(() => new Engine(plan, data, 1, layout)).toThrow(/0\/nats takes 429\d+ bytes; an array of Node/);
    if (process.platform === "linux") expect(mapped() - before).toBeLessThan(GIBIBYTE);
    data.close();
  },
);
