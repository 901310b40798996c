/**
 * `musweep chaos`: a short one with every `npm test`; `npm run test:chaos` makes as many faults as MUSWEEP_CHAOS says. It also notices
 * where something does not hold.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { musweep, writeSweep } from "../support/musweep.ts";
import { scratch } from "../support/scratch.ts";

const FAULTS = Number(process.env.MUSWEEP_CHAOS ?? 4);
const SEED = process.env.MUSWEEP_CHAOS_SEED ?? "11";
/** A fault with its recovery, and the pauses around it, on a busy machine; the trainings; the rest. */
const TIMEOUT_MS = FAULTS * 60_000 + 300_000;

it(
  "whatever is killed and halted, every run has its one result, bit for bit, and nothing is left",
  async () => {
    const place = scratch();
    const file = writeSweep(place, { name: "chaos", rates: "{ log2: { from: -7, to: -6 } }", steps: 12_000 });
    const options = ["--seed", SEED, "--faults", String(FAULTS), "--minutes", String(FAULTS * 2)];
    const { code, stdout, stderr } = await musweep(
      place,
      "chaos",
      file,
      ...options,
      "--dir",
      "chaos",
      "--json",
    );
    expect(code, `${stdout}\n${stderr}`).toBe(0);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ held: true, problems: [], runs: 4, seed: Number(SEED) });
    expect(result.inflicted.length).toBe(FAULTS);
    expect(result.attempts).toBeGreaterThanOrEqual(4 * result.rounds);
    if (FAULTS >= 300) console.info(stderr);
    // The state directories stay, to be looked into; runs' checkpoints do not.
    expect(existsSync(join(place.directory, "chaos", "undisturbed", "musweep.db"))).toBe(true);
    const checkpoints = join(place.directory, "chaos", "round-1", "checkpoints");
    expect(existsSync(checkpoints) ? readdirSync(checkpoints) : []).toEqual([]);
  },
  TIMEOUT_MS,
);

it("refuses a file with a mistake before anything is started", async () => {
  const place = scratch();
  const file = writeSweep(place, { name: "wrong", rates: "[fast]" });
  const ended = await musweep(place, "chaos", file);
  expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining("wrong.yaml:") });
});
