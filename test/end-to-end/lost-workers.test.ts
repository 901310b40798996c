/**
 * Workers of one `serve` that are killed, halted and go on: real processes, whose locks would last for an hour. Their runs go to
 * others within seconds, from their checkpoints, and end with the numbers and the whole curves of an undisturbed training.
 */
import { once } from "node:events";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  freePort,
  Musweep,
  musweep,
  pidOf,
  processOf,
  sql,
  stepsThatTake,
  succeed,
  writeSweep,
} from "../support/musweep.ts";
import { type Scratch, scratch, until } from "../support/scratch.ts";

const SECONDS = 25;
const SWEEP = { name: "lost", sparsity: "[0.5]", rates: "[0.01]" };

const undisturbed = scratch(afterAll);
const place = scratch(afterAll);

beforeAll(async () => {
  const sweep = { ...SWEEP, steps: await stepsThatTake(SECONDS, undisturbed) };
  const file = writeSweep(undisturbed, sweep);
  expect(await musweep(undisturbed, "run", file, "--slots", "1")).toMatchObject({ code: 0 });
  writeSweep(place, sweep);
}, 180_000);

const WORKER = ["worker", "--slots", "1", "--checkpoint-seconds", "1", "--lock-seconds", "3600"];

interface AttemptRow {
  worker: string;
  outcome: string | null;
  error: string | null;
  resumed: number | null;
}
const attempts = () =>
  sql<AttemptRow>(
    place,
    "SELECT worker, outcome, error, resumed_from_step AS resumed FROM attempts ORDER BY attempt",
  );

/** Waits for the attempt of this number, from 1, to be under way beyond where it began. @returns the process of its worker */
const holder = (number: number) =>
  until(() => {
    const { worker, resumed } = attempts()[number - 1]!;
    const [{ step }] = sql<{ step: number }>(place, "SELECT step FROM runs") as [{ step: number }];
    if (resumed === null || step <= resumed + 100) throw new Error("not yet beyond it");
    if (number > 1 && resumed === 0) throw new Error("not resumed");
    return pidOf(worker);
  });

const results = (where: Scratch) => ({
  runs: sql(where, "SELECT id, state, step, validation_loss, train_loss, tokens, flops FROM runs"),
  curve: sql(where, "SELECT step, train_loss, validation_loss, gradient_norm FROM metrics ORDER BY step"),
});

it("their runs go on elsewhere, what they still say counts for nothing, and no point of a curve is missing", async () => {
  const serve = new Musweep(place, ["serve", "--port", String(await freePort())]);
  await serve.says(/musweep is at/);
  await succeed(place, "submit", "lost.yaml");
  const workers = [new Musweep(place, WORKER), new Musweep(place, WORKER)];

  const killed = await holder(1);
  process.kill(killed, "SIGKILL");
  const ended = await Promise.race(workers.map((worker) => worker.ended));
  expect(ended).toMatchObject({ code: 3, stderr: expect.stringContaining("the worker process was killed") });

  const halted = await holder(2);
  expect(attempts()[0]).toMatchObject({
    outcome: "lost",
    error: expect.stringMatching(/^its worker \S+ has ended$/),
  });
  expect(halted).not.toBe(killed);
  workers.push(new Musweep(place, WORKER));
  process.kill(halted, "SIGSTOP");
  const third = await holder(3);
  expect(third).not.toBe(halted);
  expect(attempts()[1]).toMatchObject({
    outcome: "lost",
    error: expect.stringMatching(/^its worker \S+ was not heard of for \d+ s$/),
  });
  const { stdout } = await succeed(place, "status", "--json");
  expect(JSON.parse(stdout)[0].workers).toMatchObject({ alive: 1, lost: 2 });
  process.kill(halted, "SIGCONT");

  await until(() => expect(sql(place, "SELECT state FROM runs")).toEqual([{ state: "finished" }]));
  expect(attempts().map((attempt) => attempt.outcome)).toEqual(["lost", "lost", "finished"]);
  expect(results(place)).toEqual(results(undisturbed));
  // The one that was halted is there again, and idle.
  await until(async () => {
    const status = await succeed(place, "status", "--json");
    expect(JSON.parse(status.stdout)[0].workers).toMatchObject({ alive: 2, busy: 0 });
  });
  const left = workers.filter(({ child }) => child.exitCode === null);
  expect(left.length).toBe(2);
  for (const worker of left) expect(await worker.signal("SIGTERM")).toMatchObject({ code: 0 });
  expect(await serve.signal("SIGTERM")).toMatchObject({ code: 0 });
}, 180_000);

it("`run` starts its worker again however often it is killed, while runs end between", async () => {
  const here = scratch();
  const file = writeSweep(here, {
    name: "many",
    sparsity: "[0]",
    seeds: "{ count: 14 }",
    rates: "[0.01]",
    steps: 1500,
  });
  const run = new Musweep(here, [
    "run",
    file,
    "--slots",
    "1",
    "--checkpoint-seconds",
    "1",
    "--lock-seconds",
    "3600",
  ]);
  const done = () =>
    sql<{ n: number }>(here, "SELECT count(*) AS n FROM runs WHERE state = 'finished'")[0]!.n;
  let before = 0;
  // More often than it would be if nothing were trained between.
  for (let kill = 1; kill <= 7; kill++) {
    await until(() => expect(done()).toBeGreaterThan(before));
    before = done();
    const worker = processOf(here, /workers\/main\.js/);
    process.kill(worker, "SIGKILL");
    await until(() => expect(processOf(here, /workers\/main\.js/)).not.toBe(worker));
  }
  const [code] = run.child.exitCode === null ? await once(run.child, "close") : [run.child.exitCode];
  expect(code, run.stderr).toBe(0);
  expect(done()).toBe(14);
}, 180_000);
