/** Trainers that fail in every way, through the whole system: each leaves a clear attempt, and nothing stops for it. */
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  asOwner,
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
    ["crash mid run", "trainer-exited", "the trainer ended by exit code 7 in the middle of its work", 3],
    ["silent mid run", "trainer-silent", "the trainer said nothing for 1 s", 3],
    ["garbage", "trainer-protocol", 'is not JSON: "Epoch 1/10: loss 3.21"', 3],
    ["failed for good", "unsupported", "This engine knows no ALiBi.", 1],
    ["stops unasked", "trainer-protocol", "the trainer stopped without being asked to", 3],
  ])("%s: exit code 1, and attempts that say what happened", async (fault, code, message, tries) => {
    const name = fault.replaceAll(" ", "-");
    const rate = 0.01 + fault.length / 1000 + fault.charCodeAt(0) / 1e6;
    const file = writeSweep(place, { name, sparsity: "[0]", rates: `[${rate}]` });
    const trainer = ["--trainer", misbehavingTrainer(name)];
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

  it.each([
    [
      "crashes at the start",
      misbehavingTrainer("crash-at-start"),
      /misbehaving\.mjs crash-at-start does not start: the trainer ended by exit code 3 before it was ready: no usable device/,
      3,
    ],
    [
      "does not exist",
      "musweep=no-such-trainer a.py",
      /no-such-trainer a\.py does not start: cannot start/,
      1,
    ],
    [
      "says something else first",
      misbehavingTrainer("no-greeting"),
      /no-greeting does not start: the trainer's first line was "step"/,
      1,
    ],
  ])(
    "one that %s: exit code 3, its last words, and runs that wait as before",
    async (what, trainer, says, tries) => {
      const name = what.replaceAll(" ", "-");
      const rate = 0.03 + what.length / 1000;
      const file = writeSweep(place, {
        name,
        sparsity: "[0, 0.5]",
        rates: `[${rate}]`,
        seeds: "{ count: 3 }",
      });
      const { code, stdout, stderr } = await musweep(
        place,
        "run",
        file,
        "--trainer",
        trainer,
        "--slots",
        "1",
      );
      expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
      expect(stderr).toMatch(says);
      expect(stderr).toContain("No run has failed by it");
      const attempts = attemptsOf(name);
      expect(attempts.map(({ outcome }) => outcome)).toEqual(Array(tries).fill("released"));
      const { by_state } = JSON.parse((await succeed(place, "status", name, "--json")).stdout);
      expect([by_state.pending + by_state.queued, by_state.failed]).toEqual([6, 0]);
      await place.expectNoProcess();
      await succeed(place, "run", file);
    },
  );

  it("one that starts no more is tried as often as ever once it has been ready", async () => {
    const file = writeSweep(place, { name: "ready-once", sparsity: "[0]", rates: "[0.0041, 0.0031]" });
    const trainer = [
      "--trainer",
      `${misbehavingTrainer("ready-once")} ${join(place.directory, "was-ready")}`,
      "--slots",
      "1",
    ];
    expect((await musweep(place, "run", file, ...trainer)).code).toBe(1);
    expect(attemptsOf("ready-once").map(({ outcome }) => outcome)).toEqual(Array(6).fill("failed"));
  });

  it.each([
    ["aborted-after-its-end", "[0.004, 0.003]"],
    ["aborted-by-the-next-one", "[0.0042, 0.0032]"],
  ])("%s: each run is finished in its one attempt", async (fault, rates) => {
    const file = writeSweep(place, { name: fault, sparsity: "[0]", rates });
    await succeed(place, "run", file, "--trainer", misbehavingTrainer(fault), "--slots", "1");
    expect(attemptsOf(fault).map(({ outcome }) => outcome)).toEqual(["finished", "finished"]);
    await place.expectNoProcess();
  });

  it("requeued, is trained by a good one, beside what failed for others", async () => {
    const { stdout } = await succeed(place, "requeue", "garbage", "--failed", "--json");
    expect(JSON.parse(stdout)).toEqual({ sweep: "garbage", requeued: 1 });
    await succeed(place, "run", "garbage.yaml");
    expect(attemptsOf("garbage").map((a) => a.outcome)).toEqual(["failed", "failed", "failed", "finished"]);
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
    await trainWith(file, "mixed", [["--trainer", misbehavingTrainer("crash-mid-run")], []]);
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

  it.each([
    ["without the data", ["--shared", "another-host"], "data-missing", /data set [0-9a-f]+/],
    ["whose trainer does not exist", ["--trainer", "musweep=no-such-trainer"], "trainer-start", /anything/],
    [
      "whose trainer does not start",
      ["--trainer", misbehavingTrainer("crash-at-start")],
      "trainer-exited",
      /anything/,
    ],
  ])(
    "one %s takes no attempt, says so, and leaves the sweep to the other",
    async (what, options, code, kind) => {
      const name = what.replaceAll(" ", "-");
      // Of its own: what is trained already is not trained again.
      const rate = 0.02 + what.length / 1000 + what.charCodeAt(what.length - 2) / 1e6;
      const file = writeSweep(place, {
        name,
        sparsity: "[0, 0.25, 0.5]",
        rates: `[${rate}]`,
        seeds: "{ count: 4 }",
      });
      const port = await freePort();
      const serve = new Musweep(place, ["serve", "--port", String(port)]);
      await serve.says(/musweep is at/);
      const unable = new Musweep(place, ["worker", "--slots", "1", ...options]);
      await unable.says(/worker ready/);
      await succeed(place, "submit", file);
      const inabilities = await until(async () => {
        const { unable } = JSON.parse((await succeed(place, "status", name, "--json")).stdout).workers;
        expect(unable.length).toBe(1);
        return unable;
      });
      expect(inabilities).toMatchObject([{ code, what: expect.stringMatching(kind), workers: 1 }]);
      expect((await succeed(place, "status")).stdout).toContain(
        `1 worker cannot train ${inabilities[0].what}`,
      );
      const page = await fetch(`http://127.0.0.1:${port}/sweeps/${name}`, { headers: asOwner(place) });
      expect(await page.text()).toContain(`1 worker cannot train ${inabilities[0].what}`);
      const able = new Musweep(place, ["worker", "--slots", "1"]);
      await until(() =>
        expect(sql(place, `SELECT outcome FROM run_results WHERE sweep = '${name}'`)).toEqual(
          Array(12).fill({ outcome: "finished" }),
        ),
      );
      // One attempt at least was given back; none failed.
      const attempts = attemptsOf(name);
      expect(new Set(attempts.map((a) => `${a.outcome} ${a.code}`))).toEqual(
        new Set(["finished null", `released ${code}`]),
      );
      for (const command of [able, unable, serve])
        expect(await command.signal("SIGTERM")).toMatchObject({ code: 0 });
      await place.expectNoProcess();
    },
    120_000,
  );
});
