/**
 * `musweep run` stopped in every way there is, one after the other, on the same sweep: it goes on each time, and ends with
 * the very numbers of a run that nobody disturbed.
 */

import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Musweep, musweep, processOf, sql, stepsThatTake, writeSweep } from "../support/musweep.ts";
import { type Scratch, scratch, until } from "../support/scratch.ts";

/** Seconds that each of the two runs trains: enough for every interruption below to fall into it. */
const SECONDS_PER_RUN = 15;
const SWEEP = { name: "long", sparsity: "[0.5]", rates: "{ log2: { from: -7, to: -6 } }" };
const OPTIONS = ["--slots", "1", "--checkpoint-seconds", "1"];

const undisturbed = scratch(afterAll);
const place = scratch(afterAll);

beforeAll(async () => {
  const sweep = { ...SWEEP, steps: await stepsThatTake(SECONDS_PER_RUN, undisturbed) };
  expect(await musweep(undisturbed, "run", writeSweep(undisturbed, sweep), "--slots", "2")).toMatchObject({
    code: 0,
  });
  writeSweep(place, sweep);
}, 180_000);

const start = (lockSeconds = 2) =>
  new Musweep(place, ["run", "long.yaml", ...OPTIONS, "--lock-seconds", String(lockSeconds)]);
const done = () => sql<{ steps: number }>(place, "SELECT sum(step) AS steps FROM runs")[0]!.steps;

/** Waits until more has been trained than `before`, by the collector's word. */
const trainedBeyond = (before: number) =>
  until(() => {
    if (sql(place, "SELECT 1 FROM runs WHERE state = 'running'").length === 0)
      throw new Error("nothing runs");
    if (done() <= before + 300) throw new Error(`no step beyond ${before}`);
  });

/** Attempts that did not have to train all of their run again. */
const resumed = () =>
  sql<{ n: number }>(place, "SELECT count(*) AS n FROM attempts WHERE resumed_from_step > 0")[0]!.n;

const results = (where: Scratch) => ({
  runs: sql(
    where,
    "SELECT id, state, step, validation_loss, train_loss, tokens, flops FROM runs ORDER BY id",
  ),
  curves: sql(where, "SELECT run_id, step, train_loss, validation_loss FROM metrics ORDER BY run_id, step"),
});

describe("a sweep that is interrupted again and again", () => {
  it("by Ctrl-C: says how to go on, exit code 130, nothing left running, the run given back with its checkpoint", async () => {
    const run = start();
    await until(() => expect(sql(place, "SELECT * FROM sweeps").length).toBe(1));
    await trainedBeyond(0);
    const ended = await run.signal("SIGINT");
    expect(ended).toMatchObject({ code: 130, stdout: "" });
    expect(ended.stderr).toContain("Resume with: musweep run long.yaml");
    await place.expectNoProcess();
    expect(sql(place, "SELECT outcome, checkpoint IS NOT NULL AS kept FROM attempts")).toEqual([
      { outcome: "released", kept: 1 },
    ]);
    expect(sql(place, "SELECT count(*) AS n FROM runs WHERE state IN ('running', 'finished')")).toEqual([
      { n: 0 },
    ]);
  });

  it("by kill -9 of the orchestrator, once it has gone on with the run that was begun: nothing outlives it", async () => {
    const [before, resumedBefore] = [done(), resumed()];
    const run = start();
    await until(() => expect(resumed()).toBeGreaterThan(resumedBefore));
    await trainedBeyond(before);
    const ended = await run.signal("SIGKILL");
    expect(ended.code).toBeNull();
    await place.expectNoProcess();
  });

  it("by kill -9 of everything at once: nobody has given the run back", async () => {
    const before = done();
    // So long that what follows can only go on if nobody waits for it.
    const run = start(3600);
    await trainedBeyond(before);
    const open = () => sql(place, "SELECT count(*) AS open FROM attempts WHERE outcome IS NULL");
    // Halted first, so that it does not start another worker; and while a run is under way, not between two.
    await until(() => {
      run.child.kill("SIGSTOP");
      if (isDeepStrictEqual(open(), [{ open: 1 }])) return;
      run.child.kill("SIGCONT");
      throw new Error("no run is under way");
    });
    process.kill(processOf(place, /workers\/main\.js/), "SIGKILL");
    await run.signal("SIGKILL");
    await place.expectNoProcess();
    expect(open()).toEqual([{ open: 1 }]);
  });

  it("by kill -9 of the worker, once the run of the one before goes on: another is started", async () => {
    const [before, resumedBefore] = [done(), resumed()];
    const run = start();
    await until(() => expect(resumed()).toBeGreaterThan(resumedBefore));
    await trainedBeyond(before);
    process.kill(processOf(place, /workers\/main\.js/), "SIGKILL");
    await trainedBeyond(done());
    expect(await run.signal("SIGTERM")).toMatchObject({ code: 130 });
    await place.expectNoProcess();
  });

  it("by kill -9 of the private Redis: it is started again and the sweep ends", async () => {
    const before = done();
    const run = start();
    await trainedBeyond(before);
    process.kill(processOf(place, /^\d+ \S*redis-server/), "SIGKILL");
    expect(await run.ended).toMatchObject({ code: 0 });
    await place.expectNoProcess();
  });

  it("ends with the same bits as one that nobody disturbed, and counts nothing twice", async () => {
    expect(results(place)).toEqual(results(undisturbed));
    expect(resumed()).toBeGreaterThanOrEqual(2);
    expect(
      sql(
        place,
        "SELECT run_id, count(*) AS results FROM attempts WHERE outcome = 'finished' GROUP BY run_id",
      ).map((row) => row.results),
    ).toEqual([1, 1]);
    expect(sql(place, "SELECT count(*) AS open FROM attempts WHERE outcome IS NULL")).toEqual([{ open: 0 }]);
  });
});
