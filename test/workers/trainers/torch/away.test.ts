/** Where no queue can be reached: plans leave in a file, PyTorch trains them, events come back in another. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { musweep, sql, succeed, writeSweep } from "../../../support/musweep.ts";
import { type Scratch, scratch } from "../../../support/scratch.ts";
import { inTorch, PATIENT, python } from "../engines.ts";

/** What somebody does on the other machine. */
function trainAway(place: Scratch, jobs: string, events: string): void {
  const data = join(place.directory, ".musweep", "data");
  const { command, env } = inTorch("--jobs", jobs, "--data", data, "--events", events, "--cohort", "2");
  const [program, ...args] = command;
  execFileSync(program!, args, {
    cwd: place.directory,
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
}

const results = (place: Scratch) =>
  sql<{ run: string; outcome: string; val_loss: number; engine: string }>(
    place,
    "SELECT run, outcome, val_loss, engine FROM run_results ORDER BY run",
  );

/** Rates at which rounding stays rounding: nearer to divergence it grows within 30 steps, in either engine. */
const RATES = "{ log2: { from: -9, to: -7 } }";

describe.skipIf(python === undefined)("runs that are trained away", PATIENT, () => {
  test("come back as results, once however often their events are collected", async () => {
    const place = scratch();
    await succeed(place, "submit", writeSweep(place, { rates: RATES }));
    const written = await succeed(place, "jobs", "tiny", "--out", "jobs.jsonl");
    expect(written.stdout).toMatch(/^tiny: 6 runs in jobs\.jsonl\. To train them, take along/);
    expect((await succeed(place, "status")).stdout).toContain(
      "6 runs of tiny are away: `musweep collect FILE`",
    );
    expect((await musweep(place, "jobs", "tiny", "--out", "jobs.jsonl")).code).toBe(2);
    expect((await succeed(place, "jobs", "tiny", "--out", "more.jsonl")).stdout).toContain("no run waits");
    // Nothing here trains them meanwhile, and nobody waits for them for ever.
    const waiting = await musweep(place, "run", "tiny.yaml");
    expect([waiting.code, waiting.stderr]).toEqual([
      3,
      expect.stringMatching(/the 6 runs that are left of tiny are away[\s\S]*jobs tiny --take-back/),
    ]);

    trainAway(place, "jobs.jsonl", "events.jsonl");
    const text = readFileSync(join(place.directory, "events.jsonl"), "utf8");
    const lines = text.trimEnd().split("\n");
    // Half of a file, with its last line cut off, is what a copy in the middle of training looks like.
    const half = lines.slice(0, lines.length / 2).join("\n");
    writeFileSync(join(place.directory, "part.jsonl"), `${half}\n${lines.at(-1)!.slice(0, 40)}`);
    await succeed(place, "collect", "part.jsonl");
    const collected = JSON.parse((await succeed(place, "collect", "events.jsonl", "--json")).stdout);
    expect(collected).toMatchObject([
      { events: lines.length, duplicate: Math.floor(lines.length / 2), fenced: 0, refused: 0, unknown: 0 },
    ]);
    const once = results(place);
    const again = await succeed(place, "collect", "events.jsonl");
    expect(again.stdout).toMatch(/^events\.jsonl: 0 runs ended; 0 of \d+ events are new; \d+ were known\.$/m);
    expect(results(place)).toEqual(once);
    expect(once.map(({ outcome, engine }) => [outcome, engine.split(" ")[0]])).toEqual(
      Array(6).fill(["finished", "musweep-torch"]),
    );
    expect((await succeed(place, "report", "tiny")).stdout).toContain("6 runs finished");

    // As the embedded engine trains them.
    const here = scratch();
    await succeed(here, "run", writeSweep(here, { rates: RATES }), "--slots", "2");
    const losses = new Map(results(here).map(({ run, val_loss }) => [run, val_loss]));
    for (const { run, val_loss } of once) expect(Math.abs(val_loss - losses.get(run)!)).toBeLessThan(1e-3);

    for (const [wrong, message] of [
      ["not json\n", /wrong\.jsonl:1: no event of a worker; nothing was collected/],
      [`${lines[0]}\n{"run": 1}\n`, /wrong\.jsonl:2: no event of a worker/],
    ] as const) {
      writeFileSync(join(place.directory, "wrong.jsonl"), wrong);
      const refused = await musweep(place, "collect", "wrong.jsonl");
      expect([refused.code, refused.stderr]).toEqual([2, expect.stringMatching(message)]);
    }
    expect((await musweep(here, "collect", join(place.directory, "nowhere.jsonl"))).code).toBe(2);
  });

  test("are trained here once they are taken back, and what comes late of them is fenced", async () => {
    const place = scratch();
    await succeed(place, "submit", writeSweep(place, { sparsity: "[0]" }));
    await succeed(place, "jobs", "tiny", "--out", "jobs.jsonl", "--limit", "2");
    expect((await succeed(place, "jobs", "tiny", "--take-back")).stdout).toContain("2 runs will be trained");
    expect((await succeed(place, "jobs", "tiny", "--take-back")).stdout).toContain("nothing is away");
    await succeed(place, "run", "tiny.yaml", "--slots", "2");
    const before = results(place);
    expect(before.map(({ engine }) => engine.split(" ")[0])).toEqual(Array(3).fill("musweep-cpu"));
    trainAway(place, "jobs.jsonl", "late.jsonl");
    const late = JSON.parse((await succeed(place, "collect", "late.jsonl", "--json")).stdout);
    expect(late).toMatchObject([{ applied: 0, ended: 0, unknown: 0 }]);
    expect(results(place)).toEqual(before);
    // Of another database.
    const other = scratch();
    await succeed(other, "submit", writeSweep(other, { name: "other", rates: "[0.0123]" }));
    const foreign = await musweep(other, "collect", join(place.directory, "late.jsonl"));
    expect([foreign.code, foreign.stderr]).toEqual([2, expect.stringContaining("not in this database")]);
  });
});
