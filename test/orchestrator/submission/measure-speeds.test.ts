/** Speeds that trainers of this machine show, and how long what was measured beside other programs is believed. */
import { expect, test } from "vitest";
import { estimateSpeeds } from "../../../orchestrator/submission/estimate-speed.ts";
import { type Measuring, measureSpeeds, speedKey } from "../../../orchestrator/submission/speed.ts";
import { freshDatabase, sqliteOf } from "../../support/database.ts";
import { makePlan, temporaryDirectory, writeData } from "../../workers/trainers/support.ts";

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
