/** Trainers that fail in every way, through the whole system: each leaves a clear attempt, and nothing stops for it. */
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  freePort,
  Musweep,
  misbehavingTrainer,
  musweep,
  sql,
  succeed,
  writeSweep,
} from "../support/musweep.ts";
import { scratch, until } from "../support/scratch.ts";

const place = scratch(afterAll);

interface AttemptRow {
  outcome: string;
  code: string;
  error: string;
}
const attemptsOf = (sweep: string) =>
  sql<AttemptRow>(
    place,
    `SELECT a.outcome, a.code, a.error FROM attempts a JOIN run_results r ON r.run = a.run_id
     WHERE r.sweep = '${sweep}' ORDER BY a.run_id, a.attempt`,
  );

describe("run with a broken trainer", () => {
  // Each sweep has a rate of its own: a run that failed in one is not another's.
  it.each([
    ["crash mid run", "trainer-exited", "the trainer ended by exit code 7 in the middle of its work", 2],
    ["crash at start", "trainer-exited", "the trainer ended by exit code 3 before it was ready", 2],
    ["silent mid run", "trainer-silent", "the trainer said nothing for 1 s", 2],
    ["garbage", "trainer-protocol", 'is not JSON: "Epoch 1/10: loss 3.21"', 2],
    ["failed for good", "unsupported", "This engine knows no ALiBi.", 1],
    ["stops unasked", "trainer-protocol", "the trainer stopped without being asked to", 2],
  ])("%s: exit code 1, and attempts that say what happened", async (fault, code, message, tries) => {
    const name = fault.replaceAll(" ", "-");
    const rate = 0.01 + fault.length / 1000 + fault.charCodeAt(0) / 1e6;
    const file = writeSweep(place, { name, sparsity: "[0]", rates: `[${rate}]` });
    const trainer = ["--trainer-command", misbehavingTrainer(name)];
    const silence = fault.startsWith("silent") ? ["--silence-seconds", "1"] : [];
    const ended = await musweep(place, "run", file, ...trainer, ...silence);
    expect(ended.code).toBe(1);
    expect(ended.stdout).toContain("0 runs finished, 0 diverged, 1 FAILED");
    expect(ended.stdout).toContain(message);
    expect(ended.stdout).toContain(`musweep requeue ${name} --missing`);
    const attempts = attemptsOf(name);
    expect(attempts.length).toBe(tries);
    for (const attempt of attempts)
      expect(attempt).toEqual({ outcome: "failed", code, error: expect.stringContaining(message) });
    await place.expectNoProcess();
  });

  it("requeued, is trained by a good one, beside what failed for others", async () => {
    const { stdout } = await succeed(place, "requeue", "garbage", "--failed", "--json");
    expect(JSON.parse(stdout)).toEqual({ sweep: "garbage", requeued: 1 });
    await succeed(place, "run", "garbage.yaml");
    expect(attemptsOf("garbage").map((a) => a.outcome)).toEqual(["failed", "failed", "finished"]);
    expect(sql(place, "SELECT outcome, error FROM run_results WHERE sweep = 'garbage'")).toEqual([
      { outcome: "finished", error: null },
    ]);
  });
});

describe("serve with workers that cannot train", () => {
  /** Starts serve and these workers, submits, and waits until everything of the sweep has ended. */
  async function trainWith(file: string, sweep: string, workers: string[][]): Promise<void> {
    const serve = new Musweep(place, ["serve", "--port", String(await freePort())]);
    const commands = [serve];
    try {
      await serve.says(/musweep is at/);
      for (const options of workers)
        commands.push(new Musweep(place, ["worker", "--slots", "1", ...options]));
      await Promise.all(commands.slice(1).map((worker) => worker.says(/worker ready/)));
      await succeed(place, "submit", file);
      const going = `SELECT 1 FROM missing WHERE sweep = '${sweep}' AND state <> 'failed'`;
      await until(() => expect(sql(place, going).length).toBe(0));
    } finally {
      for (const command of commands.reverse())
        expect(await command.signal("SIGTERM")).toMatchObject({ code: 0 });
    }
  }

  it("goes on with those that can: a broken worker fails its own runs and no others", async () => {
    const file = writeSweep(place, {
      name: "mixed",
      sparsity: "[0, 0.5, 0.75]",
      rates: "{ log2: { from: -9, to: -4 } }",
    });
    await trainWith(file, "mixed", [["--trainer-command", misbehavingTrainer("crash-mid run")], []]);
    const outcomes = Object.fromEntries(
      sql<{ outcome: string; n: number }>(
        place,
        "SELECT outcome, count(*) AS n FROM run_results WHERE sweep = 'mixed' GROUP BY outcome",
      ).map(({ outcome, n }) => [outcome, n]),
    );
    expect(outcomes.finished).toBeGreaterThan(0);
    expect(outcomes.finished! + (outcomes.failed ?? 0)).toBe(18);
    const attempts = attemptsOf("mixed");
    // A run that the broken worker lost once may have found the other one on its second try.
    expect(attempts.map((a) => a.outcome)).toContain("failed");
    for (const { code, outcome } of attempts)
      expect([outcome, code]).toEqual(
        outcome === "failed" ? ["failed", "trainer-exited"] : ["finished", null],
      );
  });

  it("names data that the worker's host does not have, and tries it once", async () => {
    const elsewhere = join(place.directory, "another-host");
    const file = writeSweep(place, { name: "dataless", sparsity: "[0.25]", rates: "[0.01]" });
    await trainWith(file, "dataless", [["--shared", elsewhere]]);
    const attempts = attemptsOf("dataless");
    expect(attempts).toMatchObject([{ outcome: "failed", code: "data-missing" }]);
    expect(attempts[0]!.error).toContain(join(elsewhere, "data"));
  });
});
