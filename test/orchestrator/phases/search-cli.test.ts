/** A search as a user meets it: planned, trained by a fast trainer, killed in the middle, and gone on with. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { Musweep, sql, succeed } from "../../support/musweep.ts";
import { type Scratch, scratch } from "../../support/scratch.ts";

const VALLEY = fileURLToPath(new URL("../../fixtures/trainers/valley.mjs", import.meta.url));
const TRAINER = ["--trainer", `mine=${process.execPath} ${VALLEY}`, "--slots", "2", "--lock-seconds", "2"];

function write(place: Scratch, budget = "100%"): string {
  writeFileSync(
    join(place.directory, "sought.yaml"),
    `name: sought
trainer: mine
model: { layers: 1 }
training: { steps: 2 }
base: { width: 32 }
search: { until: decided, batch: 4, budget: ${budget} }
axes:
  parameterization: [sp, mup]
  width: [32, 64, 128]
  learning_rate: { log2: { from: -10, to: -4 } }
  seed: { count: 3 }
`,
  );
  return "sought.yaml";
}

it("expects no more runs than its budget pays", async () => {
  const place = scratch();
  const plan = async (budget: string) => (await succeed(place, "plan", write(place, budget))).stdout;
  // Runs cost 1, 4 and 16: the first 24 cost 60 of 882, a quarter of which leaves 160.5 for others at 7 on average.
  expect(await plan("25%")).toMatch(
    /It begins with 24 runs.*\n +To expect: about 27 runs .* 46 where it stays\./,
  );
  expect(await plan("0.01%")).toContain("is less than its first run costs: it trains nothing");
});

const told = (place: Scratch) =>
  sql(place, "SELECT run, reason, val_loss FROM run_results ORDER BY parameterization, width, seed, log2_lr");

it("says what to expect, decides with a part of the grid, and does the same when it is killed on the way", async () => {
  const [whole, torn] = [scratch(), scratch()];
  const file = write(whole);
  write(torn);
  const planned = await succeed(whole, "plan", file);
  expect(planned.stdout).toMatch(/Phase grid is a search: 6 curves, in place of a grid of 126 runs/);
  expect(planned.stdout).toMatch(
    /It begins with 24 runs.*\n +To expect: about 27 runs .* 60 where it stays\.\n +At most: .*100%/,
  );

  const { stdout, stderr } = await succeed(whole, "run", file, ...TRAINER);
  expect(stderr).toMatch(/Phase grid: \d+ points? added, search: start where width 64 suggests/);
  expect(stderr).toMatch(/Phase grid: search ended after \d+ runs, .*: decided/);
  expect(stdout).toMatch(/^SP: does not transfer by cost/m);
  expect(stdout).toMatch(/^μP: transfers by cost across width 32 to 128/m);
  const status = await succeed(whole, "status", "sought");
  expect(status.stdout).toMatch(/decided: μP across width: every cost is surely within the margin/);
  expect(told(whole).length).toBeLessThan(60);

  const first = new Musweep(torn, ["run", file, ...TRAINER]);
  await first.says(/added, search: /);
  await first.signal("SIGKILL");
  await torn.expectNoProcess();
  await succeed(torn, "run", file, ...TRAINER);
  expect(told(torn)).toEqual(told(whole));
});
