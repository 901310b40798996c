/**
 * `musweep chaos`: a short one with every `npm test`; `npm run test:chaos` makes as many faults as MUSWEEP_CHAOS says. Where hosts can be
 * made, one is cut off in any case, and Ctrl-C in the middle of that leaves nothing.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { CUT } from "../../orchestrator/chaos/faults.ts";
import { whyNoHosts } from "../../orchestrator/chaos/hosts.ts";
import { Musweep, musweep, writeSweep } from "../support/musweep.ts";
import { scratch, until } from "../support/scratch.ts";

const why = whyNoHosts();
if (why !== undefined) console.warn(`NOT TESTED: chaos that cuts hosts off (${why})`);

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
    if (why !== undefined) expect(stderr).toContain(`no host is cut off: ${why}`);
    else expect(result.inflicted).toContainEqual(expect.objectContaining({ fault: CUT.name, hosts: true }));
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

it.runIf(why === undefined)(
  "leaves nothing behind when it is interrupted while a host is cut off",
  async () => {
    const place = scratch();
    const file = writeSweep(place, { name: "broken-off", sparsity: "[0.5]", rates: "[0.01]", steps: 8000 });
    // The seed of a long cut.
    const options = ["--seed", "13", "--minutes", "20", "--workers", "1"];
    const chaos = new Musweep(place, ["chaos", file, ...options], { TMPDIR: place.directory });
    const namespace = `musweep-${chaos.child.pid!.toString(36)}-`;
    const onSwitch = (): string => {
      const args = ["-n", `${namespace}0`, "link", "show", "master", "switch"];
      const { status, stdout } = spawnSync("ip", args, { encoding: "utf8" });
      expect(status).toBe(0);
      return stdout;
    };
    await until(() => expect(onSwitch()).toContain("port1"), 120_000);
    await until(() => expect(onSwitch()).toBe(""), 120_000);
    const ended = await chaos.signal("SIGINT");
    expect(ended).toMatchObject({ code: 130, stdout: expect.stringContaining("It was interrupted") });
    expect(execFileSync("ip", ["netns", "list"], { encoding: "utf8" })).not.toContain(namespace);
    expect(readdirSync(place.directory)).toEqual([file]);
    await place.expectNoProcess();
  },
  TIMEOUT_MS,
);
