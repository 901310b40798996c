/** `musweep serve` with two workers on one queue: submission, the queue's page, a worker killed mid-run, cancelling. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  asOwner,
  freePort,
  Musweep,
  musweep,
  pidOf,
  sql,
  stepsThatTake,
  succeed,
  writeSweep,
} from "../support/musweep.ts";
import { scratch, until } from "../support/scratch.ts";

/** Seconds that each run of `long` trains: enough for what is looked at while both do, and for the kill after it. */
const SECONDS = 5;
const LONG = { name: "long", sparsity: "[0.75]", rates: "{ log2: { from: -7, to: -6 } }" };

const undisturbed = scratch(afterAll);
const place = scratch(afterAll);
let url: string;
let serve: Musweep;
const workers: Musweep[] = [];

// What the last test has not ended.
afterAll(() => {
  for (const command of [...workers, serve]) command.child.kill("SIGKILL");
});

beforeAll(async () => {
  const long = { ...LONG, steps: await stepsThatTake(SECONDS, undisturbed) };
  writeSweep(place, long);
  const reference = musweep(undisturbed, "run", writeSweep(undisturbed, long), "--slots", "2");
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  serve = new Musweep(place, ["serve", "--port", String(port)]);
  await serve.says(/musweep is at/);
  expect(await reference).toMatchObject({ code: 0 });
  for (let i = 0; i < 2; i++)
    workers.push(
      new Musweep(place, ["worker", "--slots", "1", "--checkpoint-seconds", "1", "--lock-seconds", "2"]),
    );
  for (const worker of workers) await worker.says(/worker ready/);
});

const json = async (path: string) => {
  const response = await fetch(`${url}${path}`, { headers: asOwner(place) });
  expect(response.status).toBe(200);
  return (await response.json()) as unknown;
};

const finished = (sweep: string, runs: number) =>
  until(() => {
    const ended = sql(
      place,
      `SELECT DISTINCT run FROM run_results WHERE sweep = '${sweep}' AND outcome = 'finished'`,
    ).length;
    if (ended < runs) throw new Error(`${ended} of ${runs} runs of ${sweep} are finished`);
  });

describe("serve", () => {
  it("trains what is submitted over HTTP on two workers, and answers in SQL", async () => {
    const file = writeSweep(place, { name: "short", rates: "{ log2: { from: -8, to: -4 } }" });
    const { stdout } = await succeed(place, "submit", file, "--server", url, "--json");
    expect(JSON.parse(stdout)).toMatchObject({ sweep: "short", points: 10, runs: 10, new_runs: 10, done: 0 });
    await finished("short", 10);
    // The sweep is complete once its phase has been judged, a moment after its last run.
    await expect
      .poll(() => json("/api/sweeps/short"), { timeout: 30_000 })
      .toMatchObject({ state: "complete", by_state: { finished: 10, failed: 0 } });
    // What a worker says of itself is up to 5 s old.
    expect((await succeed(place, "status")).stdout).toMatch(/^2 workers alive, [0-2] of 2 slots busy\.$/m);
    expect(JSON.parse((await succeed(place, "status", "short", "--json")).stdout)).toMatchObject({
      sweep: "short",
      workers: { alive: 2, lost: 0, slots: 2 },
    });
    const report = JSON.parse((await succeed(place, "report", "short", "--json")).stdout) as {
      rows: { sparsity: number; optimum: Record<string, unknown> }[];
    };
    const optima = sql<Record<string, unknown>>(
      place,
      "SELECT sparsity, flag, log2_lr AS log2_tuned, loss, grid_log2_lr AS grid_log2_tuned, grid_loss FROM optima WHERE sweep = 'short' ORDER BY sparsity",
    );
    expect(report.rows.map(({ sparsity, optimum }) => ({ sparsity, ...optimum }))).toMatchObject(optima);
    expect(await json("/api/sweeps/short/report")).toMatchObject({ rows: report.rows });
  });

  it("resubmitted, trains nothing", async () => {
    const { stdout } = await succeed(place, "submit", "short.yaml", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ added: 0, removed: 0, new_runs: 0, done: 10 });
    expect(sql(place, "SELECT count(*) AS n FROM attempts")).toEqual([{ n: 10 }]);
  });

  it("refuses a sweep file with a mistake, at its place, with exit code 2", async () => {
    const bad = "name: bad\ndata: { corpus: moby-dik }\n";
    writeFileSync(join(place.directory, "bad.yaml"), bad);
    const ended = await musweep(place, "submit", "bad.yaml", "--server", url);
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain("bad.yaml:2:17");
    // What the command would have found before sending, the server finds as well.
    const response = await fetch(`${url}/api/sweeps?file=bad.yaml`, {
      method: "POST",
      headers: { ...asOwner(place), "content-type": "application/yaml" },
      body: bad,
    });
    expect(response.status).toBe(422);
    expect(((await response.json()) as { message: string }).message).toContain("bad.yaml:2:17");
    expect(sql(place, "SELECT name FROM sweeps")).toEqual([{ name: "short" }]);
  });

  it("says over HTTP what is odd about a file, and by what name it was sent", async () => {
    writeSweep(place, { name: "odd", rates: "[0.0009765625, 0.00097656]" });
    const body = readFileSync(join(place.directory, "odd.yaml"), "utf8");
    const headers = { ...asOwner(place), "content-type": "application/yaml" };
    const response = await fetch(`${url}/api/sweeps?file=twins.yaml`, { method: "POST", headers, body });
    expect(response.status).toBe(201);
    const { warnings } = JSON.parse((await succeed(place, "validate", "odd.yaml", "--json")).stdout);
    expect(warnings).toHaveLength(1);
    expect(await response.json()).toMatchObject({ sweep: "odd", warnings });
    expect(sql(place, "SELECT file_name FROM sweeps WHERE name = 'odd'")).toEqual([
      { file_name: "twins.yaml" },
    ]);
    await expect.poll(() => json("/api/sweeps/odd")).toMatchObject({ state: "complete" });
    await succeed(place, "rm", "odd", "--yes");
  });

  it("holds its directory: another orchestrator is refused with exit code 4", async () => {
    for (const command of [["run", "short.yaml"], ["serve"]]) {
      const ended = await musweep(place, ...command);
      expect(ended).toMatchObject({ code: 4, stdout: "" });
      expect(ended.stderr).toMatch(/in use by another musweep \(process \d+\)/);
    }
  });

  it("shows each job by its run's title at /queues, read-only", async () => {
    await succeed(place, "submit", "long.yaml");
    await until(() =>
      expect(sql(place, "SELECT DISTINCT worker FROM attempts WHERE outcome IS NULL").length).toBe(2),
    );
    const headers = asOwner(place);
    const page = await fetch(`${url}/queues`, { headers });
    expect([page.status, page.headers.get("content-type")]).toEqual([200, expect.stringContaining("html")]);
    const asset = /(?:src|href)="([^"]+\.(?:js|css))"/.exec(await page.text())![1]!;
    expect((await fetch(new URL(asset, `${url}/queues/`), { headers })).status).toBe(200);

    const board = (await json(
      "/queues/api/queues?activeQueue=musweep-for-musweep&page=1&jobsPerPage=20",
    )) as {
      queues: { name: string; readOnlyMode: boolean; jobs: { id: string; name: string }[] }[];
    };
    const queue = board.queues.find((q) => q.name === "musweep-for-musweep")!;
    expect(queue.readOnlyMode).toBe(true);
    const titles = queue.jobs.map((job) => job.name);
    expect(titles).toContain("SμPar d32 L1 s0.75 lr 2^-7 seed 1");
    expect(titles).toContain("SμPar d32 L1 s0.75 lr 2^-6 seed 1");

    const { id } = queue.jobs.find((job) => job.name.includes("s0.75"))!;
    for (const action of [
      `/${id}/retry/failed`,
      `/${id}/promote`,
      `/${id}/clean`,
      "/clean/completed",
      "/retry/failed",
      "/pause",
      "/empty",
      "/obliterate",
      "/add",
    ]) {
      const response = await fetch(`${url}/queues/api/queues/musweep-for-musweep${action}`, {
        method: action === "/add" ? "POST" : "PUT",
        headers: { ...headers, "content-type": "application/json" },
        body: "{}",
      });
      expect([action, response.status]).toEqual([
        action,
        expect.toSatisfy((s: number) => s >= 400 && s < 500),
      ]);
    }
  });

  it("goes on when a worker is killed with -9: the other one takes its run, with the same bits and nothing twice", async () => {
    const training = () =>
      sql<{ worker: string }>(
        place,
        `SELECT a.worker FROM attempts a JOIN run_results r ON r.run = a.run_id
         WHERE r.sweep = 'long' AND a.outcome IS NULL AND r.step > 300`,
      );
    await until(() => expect(training().length).toBe(2));
    process.kill(pidOf(training()[0]!.worker), "SIGKILL");
    await finished("long", 2);
    const attempts = sql<{ outcome: string }>(
      place,
      `SELECT a.outcome FROM attempts a JOIN run_results r ON r.run = a.run_id
       WHERE r.sweep = 'long' ORDER BY a.outcome`,
    );
    expect(attempts.map((a) => a.outcome)).toEqual(["finished", "finished", "lost"]);
    const query =
      "SELECT run, val_loss, train_loss, tokens FROM run_results WHERE sweep = 'long' ORDER BY run";
    expect(sql(place, query)).toEqual(sql(undisturbed, query));
    const curve = `SELECT run_id, step, train_loss, validation_loss FROM metrics
      WHERE run_id IN (SELECT run FROM run_results WHERE sweep = 'long') ORDER BY run_id, step`;
    expect(sql(place, curve)).toEqual(sql(undisturbed, curve));
    // One of the two commands lost its worker process and ended.
    const ended = await Promise.race(workers.map((worker) => worker.ended));
    expect(ended.code).not.toBe(0);
  });

  it("cancels what is running: the trainer stops, the run is cancelled, its points are missing", async () => {
    await succeed(
      place,
      "submit",
      writeSweep(place, { name: "endless", sparsity: "[0]", steps: 10_000_000 }),
    );
    await until(() =>
      expect(
        sql(place, "SELECT 1 FROM run_results WHERE sweep = 'endless' AND outcome = 'running' AND step > 0")
          .length,
      ).toBe(1),
    );
    const { stdout } = await succeed(place, "cancel", "endless", "--json");
    expect(JSON.parse(stdout)).toEqual({ sweep: "endless", cancelled: 3 });
    await until(() => {
      expect(
        sql(
          place,
          `SELECT a.outcome FROM attempts a JOIN run_results r ON r.run = a.run_id WHERE r.sweep = 'endless'`,
        ),
      ).toEqual([{ outcome: "cancelled" }]);
      expect(sql(place, "SELECT 1 FROM runs WHERE on_queue = 1")).toEqual([]);
    });
    expect(sql(place, "SELECT state, count(*) AS n FROM missing GROUP BY state")).toEqual([
      { state: "cancelled", n: 3 },
    ]);
    const status = JSON.parse((await succeed(place, "status", "endless", "--json")).stdout) as {
      state: string;
    };
    expect(status.state).toBe("cancelled");
  });

  it("stopped, ends with exit code 0; a worker that is left without it still stops when asked", async () => {
    expect(await serve.signal("SIGTERM")).toMatchObject({ code: 0 });
    for (const worker of workers) worker.child.kill("SIGTERM");
    await Promise.all(workers.map((worker) => worker.ended));
    await place.expectNoProcess();
  });
});
