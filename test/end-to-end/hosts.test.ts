/**
 * Three hosts, as network namespaces: Redis and `serve` on one, a worker on each of the others, which are cut off and come back. A cut
 * network says nothing: connections look as if they were there.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Hosts, whyNoHosts } from "../../orchestrator/chaos/hosts.ts";
import { HEARTBEAT_LOST_MS } from "../../schema/wire/worker.ts";
import { Musweep, musweep, sql, stepsThatTake, writeSweep } from "../support/musweep.ts";
import { scratch, until } from "../support/scratch.ts";

const why = whyNoHosts();
if (why !== undefined) console.warn(`NOT TESTED: hosts that are cut off (${why})`);

/** Longer than it takes until a worker is missed; `npm run test:chaos` cuts for longer, too. */
const LONG_CUTS = process.env.MUSWEEP_CHAOS ? [20, 90, 120] : [12];
/** Longer than the first cut: what is cut off goes on training meanwhile. */
const SECONDS_PER_RUN = LONG_CUTS[0]! + 8;
const MINUTES = 60_000 * (2 + LONG_CUTS.reduce((sum, seconds) => sum + seconds, 0) / 20);

describe.runIf(why === undefined)("workers on other hosts", () => {
  const undisturbed = scratch(afterAll);
  const place = scratch(afterAll);
  let hosts: Hosts;
  let redis: ChildProcess;
  let url: string;
  let steps: number;
  const commands: Musweep[] = [];
  /** A command on a host. */
  const on = (host: number, ...args: string[]): Musweep => {
    const command = new Musweep(
      place,
      args,
      { REDIS_URL: url, MUSWEEP_TOKEN: "t".repeat(32) },
      hosts.on(host),
    );
    commands.push(command);
    return command;
  };
  const worker = (host: number, ...args: string[]): Musweep =>
    on(host, "worker", "--slots", "1", "--checkpoint-seconds", "1", ...args);

  beforeAll(async () => {
    hosts = new Hosts(3);
    url = `redis://${hosts.address}:6379`;
    const directory = join(place.directory, "redis");
    mkdirSync(directory);
    const options = [
      "--bind",
      hosts.address,
      "--protected-mode",
      "no",
      "--appendonly",
      "yes",
      "--dir",
      directory,
    ];
    const [ip, ...rest] = [...hosts.on(0), "redis-server", ...options] as [string, ...string[]];
    redis = spawn(ip, rest, { stdio: "ignore", env: place.env });

    // One for the first cut and one for the end; two for every long one: the one that is cut off with its worker, which may have
    // come near its end when another takes it, and the one in its place.
    const seeds = `{ count: ${2 + 2 * LONG_CUTS.length} }`;
    steps = await stepsThatTake(SECONDS_PER_RUN, undisturbed);
    const sweep = { name: "cut", sparsity: "[0.5]", rates: "[0.01]", seeds, steps };
    const file = writeSweep(undisturbed, sweep);
    expect(await musweep(undisturbed, "run", file, "--slots", "2")).toMatchObject({ code: 0 });
    await on(0, "serve", "--host", "127.0.0.1", "--port", "4242").says(/musweep is at/);
    expect(await on(0, "submit", writeSweep(place, sweep)).ended).toMatchObject({ code: 0 });
  }, 240_000);

  afterAll(async () => {
    for (const { child } of commands) child.kill("SIGKILL");
    redis.kill("SIGKILL");
    hosts.remove();
  });

  /** Attempts that are under way and far from their end, with the step that their runs have reached. */
  const underWay = () =>
    sql<{ run: string; attempt: number; worker: string; step: number }>(
      place,
      `SELECT a.run_id AS run, a.attempt, a.worker, r.step FROM attempts a JOIN runs r ON r.id = a.run_id
       WHERE a.outcome IS NULL AND a.resumed_from_step IS NOT NULL AND r.step > a.resumed_from_step + 50
       AND r.step < ${steps / 2}`,
    );
  const finished = () => sql(place, "SELECT 1 FROM runs WHERE state = 'finished'").length;
  const attemptOf = ({ run, attempt }: { run: string; attempt: number }) =>
    sql(place, `SELECT outcome, error FROM attempts WHERE run_id = '${run}' AND attempt = ${attempt}`)[0];

  it(
    "keep their runs through a cut that is shorter than a worker's silence may be",
    async () => {
      const first = worker(1);
      const [before] = await until(() => {
        const found = underWay();
        expect(found.length).toBe(1);
        return found;
      });
      hosts.cut(1);
      // TCP tries again after pauses that double: what is cut off for half of that silence may be heard of only after all of it.
      await sleep(HEARTBEAT_LOST_MS / 4);
      hosts.mend(1);
      await until(() => expect(finished()).toBe(1));
      expect(attemptOf(before!)).toEqual({ outcome: "finished", error: null });
      expect(await first.signal("SIGTERM")).toMatchObject({ code: 0 });
    },
    MINUTES,
  );

  it.each(LONG_CUTS)(
    "lose them to others in a cut of %i s, and stop in order a second after it",
    async (seconds) => {
      const before = finished();
      const cut = worker(1);
      const [held] = await until(() => {
        const found = underWay();
        expect(found.length).toBe(1);
        return found;
      });
      // One run: in a long cut it would train all that the next cuts need.
      const spare = worker(2, "--max-runs", "1");
      hosts.cut(1);
      const mended = sleep(seconds * 1000).then(() => hosts.mend(1));
      await until(() =>
        expect(attemptOf(held!)).toEqual({
          outcome: "lost",
          error: expect.stringMatching(/^its worker \S+ was not heard of for \d+ s$/),
        }),
      );
      await mended;
      await sleep(1000);
      const ended = await cut.signal("SIGTERM");
      expect(ended, ended.stderr).toMatchObject({ code: 0 });
      await until(() => expect(finished()).toBeGreaterThan(before), 120_000);
      expect(await spare.ended).toMatchObject({ code: 0 });
    },
    MINUTES,
  );

  it(
    "stop within their grace while they are cut off, and everything ends as undisturbed",
    async () => {
      const cut = worker(1);
      await cut.says(/worker ready/);
      hosts.cut(1);
      expect(await cut.signal("SIGTERM")).toMatchObject({ code: 0 });
      hosts.mend(1);
      const rest = [worker(1), worker(2)];
      for (const command of rest) await command.says(/worker ready/);
      const all = sql(undisturbed, "SELECT 1 FROM runs").length;
      await until(() => expect(finished()).toBe(all), 180_000);
      const results = (where: typeof place) => ({
        runs: sql(
          where,
          "SELECT id, state, step, validation_loss, train_loss, tokens, flops FROM runs ORDER BY id",
        ),
        curves: sql(
          where,
          "SELECT run_id, step, train_loss, validation_loss FROM metrics ORDER BY run_id, step",
        ),
      });
      expect(results(place)).toEqual(results(undisturbed));
      for (const command of rest) expect(await command.signal("SIGTERM")).toMatchObject({ code: 0 });
    },
    MINUTES,
  );
});
