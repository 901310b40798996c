/** Speeds that trainers of this machine show, and how long what was measured beside other programs is believed. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isRunning } from "../../../orchestrator/machine/is-running.ts";
import { estimateSpeeds } from "../../../orchestrator/submission/estimate-speed.ts";
import { type Measuring, measureSpeeds, speedKey } from "../../../orchestrator/submission/speed.ts";
import { freshDatabase, sqliteOf } from "../../support/database.ts";
import { until } from "../../support/scratch.ts";
import { makePlan, type PlanOptions, temporaryDirectory, writeData } from "../../workers/trainers/support.ts";

/** One slot, and a plan whose data are there. */
function prepare(shape: NonNullable<PlanOptions["shape"]> = {}) {
  const dataDirectory = temporaryDirectory();
  const plan = makePlan({ hash: writeData(dataDirectory), shape });
  const options: Measuring = { slots: 1, threads: 1, trainer: null, dataDirectory };
  return { db: freshDatabase(), dataDirectory, plans: new Map([[speedKey(plan), plan]]), options };
}

test("what several ask for at once is measured once, one at a time", async () => {
  const { db, plans, options } = prepare();
  let measured = 0;
  const asked = { ...options, onMeasure: () => measured++ };
  await Promise.all([1, 2, 3].map(() => estimateSpeeds(db, plans, asked)));
  expect(measured).toBe(1);
});

test("a shape that does not fit into a slot's memory stays unmeasured, and why is said", async () => {
  const { db, plans, options } = prepare({ d_model: 1 << 17, d_head: 64, d_ffn: 1 << 17 });
  const reasons: string[] = [];
  const asked = { ...options, onUnfit: (why: string) => reasons.push(why) };
  expect((await estimateSpeeds(db, plans, asked)).size).toBe(0);
  expect((await measureSpeeds(db, plans, asked, 0.1)).size).toBe(0);
  expect(reasons).toEqual(
    new Array(2).fill(expect.stringMatching(/needs about \d+ MiB; this trainer may use/)),
  );
});

test("a speed that cannot be kept ends it with the reason", async () => {
  const { db, plans, options } = prepare();
  sqliteOf(db).exec(
    "CREATE TRIGGER full BEFORE INSERT ON settings BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
  );
  await expect(measureSpeeds(db, plans, options, 0.1)).rejects.toThrow("the disk is full");
});

test("when nobody waits for it any more, it and its trainers end", async () => {
  const { db, dataDirectory, plans, options } = prepare();
  const pid = join(dataDirectory, "pid");
  const program = `require("fs").writeFileSync(${JSON.stringify(pid)}, String(process.pid));
    process.on("SIGTERM", () => {}); setInterval(() => {}, 1000)`;
  const gone = new AbortController();
  const asked = { ...options, trainer: [process.execPath, "-e", program], signal: gone.signal };
  const work = measureSpeeds(db, plans, asked, 0.1);
  await until(() => expect(existsSync(pid) && readFileSync(pid, "utf8")).toMatch(/^\d+$/));
  gone.abort(new Error("the browser is gone"));
  await expect(work).rejects.toThrow("the browser is gone");
  expect(isRunning(Number(readFileSync(pid, "utf8")))).toBe(false);
  await expect(measureSpeeds(db, plans, asked, 0.1)).rejects.toThrow("the browser is gone");
});

test("measured once; on a busy machine again, but a plan's estimate holds for ten minutes", async () => {
  const db = freshDatabase();
  const dataDirectory = temporaryDirectory();
  const plan = makePlan({ hash: writeData(dataDirectory) });
  const plans = new Map([[speedKey(plan), plan]]);
  let measured = 0;
  const options: Measuring = {
    slots: 1,
    threads: 1,
    trainer: null,
    dataDirectory,
    onMeasure: () => measured++,
  };
  const count = async (work: Promise<unknown>): Promise<number> => {
    measured = 0;
    await work;
    return measured;
  };
  const estimate = () => estimateSpeeds(db, plans, options);
  const measure = () => measureSpeeds(db, plans, options, 0.1);
  /** As if all of it had been measured then, beside programs that used so much of the machine. */
  const pretend = (busy: number, at: number) =>
    sqliteOf(db)
      .prepare("UPDATE settings SET value = json_set(value, '$.busy', ?, '$.at', ?) WHERE key LIKE 'speed:%'")
      .run(busy, at);

  expect(await count(estimate())).toBe(1);
  expect([...(await estimate()).values()][0]!.tokens_per_second).toBeGreaterThan(0);
  pretend(0.9, Date.now() - 5 * 60_000);
  expect(await count(estimate())).toBe(0);
  pretend(0.9, Date.now() - 11 * 60_000);
  expect(await count(estimate())).toBe(1);

  expect(await count(measure())).toBe(1);
  pretend(0, 0);
  expect(await count(measure())).toBe(0);
  pretend(0.9, Date.now());
  expect(await count(measure())).toBe(1);
});
