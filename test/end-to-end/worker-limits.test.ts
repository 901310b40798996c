/** Workers that stop of themselves, or when a scheduler says so: real processes, each with a `serve` of its own. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { freePort, Musweep, musweep, processOf, sql, succeed, writeSweep } from "../support/musweep.ts";
import { scratch, until } from "../support/scratch.ts";

const place = scratch(afterAll);
let serve: Musweep;

beforeAll(async () => {
  serve = new Musweep(place, ["serve", "--port", String(await freePort())]);
  await serve.says(/musweep is at/);
});
afterAll(async () => {
  expect(await serve.signal("SIGTERM")).toMatchObject({ code: 0 });
});

const finished = (sweep: string) =>
  sql(place, `SELECT 1 FROM run_results WHERE sweep = '${sweep}' AND outcome = 'finished'`).length;
const attemptsOf = (sweep: string) =>
  sql<{ outcome: string | null; resumed: number | null; checkpoint: string | null }>(
    place,
    `SELECT a.outcome, a.resumed_from_step AS resumed, a.checkpoint FROM attempts a JOIN run_results r ON r.run = a.run_id
     WHERE r.sweep = '${sweep}' ORDER BY a.attempt`,
  );

const redisUrl = (): string =>
  JSON.parse(readFileSync(join(place.directory, ".musweep", "redis", "endpoint.json"), "utf8")).url;

describe("a worker", () => {
  it("with --max-runs trains so many, on all its slots, and ends", async () => {
    await succeed(
      place,
      "submit",
      writeSweep(place, { name: "some", rates: "[0.01]", seeds: "{ count: 4 }" }),
    );
    const worker = await musweep(place, "worker", "--slots", "2", "--max-runs", "5");
    expect(worker).toMatchObject({ code: 0, stderr: expect.stringContaining("it has trained 5 runs") });
    // What it said last is stored a moment later.
    await until(() => expect(finished("some")).toBe(5));
    expect(attemptsOf("some").length).toBe(5);
  });

  it("with --until-empty trains what waits, and ends", async () => {
    const worker = await musweep(place, "worker", "--slots", "2", "--until-empty");
    expect(worker).toMatchObject({ code: 0, stderr: expect.stringContaining("nothing waits to be trained") });
    await until(() => expect(finished("some")).toBe(8));
  });

  it("checkpoints and gives back what it trains when its time ends, and another goes on from there", async () => {
    const file = writeSweep(place, { name: "long", sparsity: "[0]", rates: "[0.02]", steps: 1_000_000 });
    await succeed(place, "submit", file);
    onTestFinished(async () => void (await succeed(place, "cancel", "long")));
    // As Slurm says when a job's time ends; no run is taken in the last forty of these seconds, ten of them are for the checkpoint.
    const end = String(Math.round(Date.now() / 1000) + 65);
    const options = ["worker", "--slots", "1", "--checkpoint-seconds", "3600"];
    const first = await new Musweep(place, options, { SLURM_JOB_END_TIME: end }).ended;
    expect(first).toMatchObject({ code: 0, stderr: expect.stringContaining("its time ends") });
    await until(() => expect(attemptsOf("long")[0]).toMatchObject({ outcome: "released" }));
    expect(attemptsOf("long")[0]!.checkpoint).toMatch(/step-\d+/);

    for (const [i, signal] of (["SIGUSR1", "SIGUSR2"] as const).entries()) {
      const next = new Musweep(place, [...options, "--grace", "20"]);
      await until(() => expect(attemptsOf("long")[i + 1]?.resumed).toBeGreaterThan(0));
      expect(await next.signal(signal)).toMatchObject({ code: 0, stderr: expect.stringContaining(signal) });
      await until(() => expect(attemptsOf("long")[i + 1]).toMatchObject({ outcome: "released" }));
    }
  }, 240_000);

  it("when all processes of a job get its signal, and a wrapper passes it on: checkpoints, gives back, and ends in order", async () => {
    const file = writeSweep(place, { name: "group", sparsity: "[0]", rates: "[0.06]", steps: 1_000_000 });
    await succeed(place, "submit", file);
    onTestFinished(async () => void (await succeed(place, "cancel", "group")));
    const worker = new Musweep(place, ["worker", "--slots", "1", "--checkpoint-seconds", "3600"]);
    const trained = () =>
      sql<{ step: number }>(
        place,
        `SELECT max(m.step) AS step FROM metrics m JOIN run_results r ON r.run = m.run_id WHERE r.sweep = 'group'`,
      )[0]!.step;
    await until(() => expect(trained()).toBeGreaterThan(0));
    const all = [worker.child.pid!, processOf(place, /workers\/main/), processOf(place, /cpu\/main/)];
    for (const pid of all) process.kill(pid, "SIGUSR1");
    worker.child.kill("SIGTERM");
    expect(await worker.ended).toMatchObject({ code: 0 });
    await until(() => expect(attemptsOf("group")).toMatchObject([{ outcome: "released" }]));
    expect(attemptsOf("group")[0]!.checkpoint).toMatch(/step-\d+/);
  });

  it("on a host without the data fetches it from serve, believes it by its hash, and trains", async () => {
    const elsewhere = join(place.directory, "another-host");
    await succeed(place, "submit", writeSweep(place, { name: "fetched", sparsity: "[0]", rates: "[0.04]" }));
    const server = /http:\/\/\S+?(?=\/login|\s)/.exec(serve.stderr)![0];
    const token = join(place.directory, ".musweep", "token");
    const options = [
      "--redis",
      redisUrl(),
      "--dir",
      elsewhere,
      "--server",
      server,
      "--token-file",
      token,
      "--max-runs",
      "1",
    ];
    const worker = await musweep(place, "worker", ...options);
    expect(worker).toMatchObject({
      code: 0,
      stderr: expect.stringContaining("is here, and its bytes have that hash"),
    });
    await until(() => expect(finished("fetched")).toBe(1));
    expect(attemptsOf("fetched")).toMatchObject([{ outcome: "finished" }]);
  });

  it("with --until-empty ends where all that waits is nothing that this host can train", async () => {
    await succeed(place, "submit", writeSweep(place, { name: "not-here", sparsity: "[0]", rates: "[0.05]" }));
    onTestFinished(async () => void (await succeed(place, "cancel", "not-here")));
    const options = ["--redis", redisUrl(), "--dir", join(place.directory, "without-data"), "--until-empty"];
    const worker = await musweep(place, "worker", ...options);
    expect(worker).toMatchObject({
      code: 0,
      stderr: expect.stringContaining("it cannot train what waits: "),
    });
    // Given back, which costs it nothing: another worker trains it.
    expect(attemptsOf("not-here")).toMatchObject([{ outcome: "released", checkpoint: null }]);
  }, 150_000);

  it("takes no run that it could not checkpoint in time", async () => {
    await succeed(place, "submit", writeSweep(place, { name: "late", sparsity: "[0]", rates: "[0.03]" }));
    const worker = await musweep(place, "worker", "--max-time", "20s");
    expect(worker).toMatchObject({ code: 0, stderr: expect.stringContaining("its time ends") });
    expect(attemptsOf("late")).toEqual([]);
  });
});

it.each([
  [["--max-time", "soon"], `--max-time wants a time such as 45m, 1h30m or 12:00:00, not "soon"`],
  [["--max-time", "5x"], `not "5x"`],
  [["--grace", "2"], "--grace 2: a worker needs 5 s to stop in order"],
  [["--max-runs", "0"], `--max-runs wants a whole number above 0, not "0"`],
])("%s is refused", async (options, message) => {
  const ended = await musweep(place, "worker", ...options);
  expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining(message) });
});
