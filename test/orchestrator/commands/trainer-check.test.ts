/** `musweep trainer check`: the trainer that ships passes; a script that lacks something is told what, and how to mend it. */
import { mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { Musweep, misbehavingTrainer, musweep, succeed, writeSweep } from "../../support/musweep.ts";
import { scratch, until } from "../../support/scratch.ts";

const place = scratch(afterAll);
const write = (name: string, text: string): void => writeFileSync(join(place.directory, name), text);
type Finding = { verdict: string; what: string; why?: string };
const verdicts = (stdout: string): string[] =>
  (JSON.parse(stdout) as Finding[]).map(({ verdict, what }) => `${verdict}: ${what}`);

const PASSED = [
  "passed: starts, and says that it is ready",
  "passed: trains a run to its end",
  "passed: gives the same run the same loss again",
  "passed: ends a run that is cancelled",
  "passed: stops, and goes on from its checkpoint",
  "passed: outlives a command that it does not know",
];

it("the trainer that ships keeps its part of the contract", async () => {
  const { stdout } = await succeed(place, "trainer", "check", writeSweep(place, { steps: 300 }), "--json");
  expect(verdicts(stdout)).toEqual(PASSED);
}, 300_000);

const SWEEP = `name: own
trainer: mine
model: { width: 64, layers: 1 }
training: { steps: 40 }
base: { width: 64 }
axes: { parameterization: sp, learning_rate: [0.01, 0.02] }
`;
const script = (body: string): string => `import random, time
import musweep


def train(run):
    run.without("embedding_multiplier", "attention_scale", "residual_multiplier", "logits_multiplier")
    run.settings.width
${body}    for step in run.steps():
        time.sleep(0.05)
        run.report(train_loss=3 - step / 100)
    run.evaluate(validation_loss=LOSS)


musweep.main(train)
`;

it("a script that saves its position passes; one without checkpoints, and one of chance, are remarked", async () => {
  write("own.yaml", SWEEP);
  write(
    "good.py",
    script("    run.checkpoint(save=lambda path: None, load=lambda path: None)\n").replace("LOSS", "2.5"),
  );
  write("odd.py", script("").replace("LOSS", "2 + random.SystemRandom().random()"));
  const good = await succeed(
    place,
    "trainer",
    "check",
    "own.yaml",
    "--trainer",
    "mine=python3 good.py",
    "--json",
  );
  expect(verdicts(good.stdout)).toEqual(PASSED);
  const odd = await succeed(
    place,
    "trainer",
    "check",
    "own.yaml",
    "--trainer",
    "mine=python3 odd.py",
    "--json",
  );
  expect(verdicts(odd.stdout).filter((text) => !text.startsWith("passed"))).toEqual([
    "remark: gives the same run the same loss again",
    "remark: stops, and goes on from its checkpoint",
  ]);
}, 300_000);

it("a fault ends it with exit code 1, with what the trainer said", async () => {
  write("broken.py", "import musweep\nrun = musweep.start()\nraise ValueError('no such file')\n");
  const broken = await musweep(place, "trainer", "check", "own.yaml", "--trainer", "mine=python3 broken.py");
  expect(broken.code).toBe(1);
  expect(broken.stdout).toMatch(
    /✗ trains a run to its end[\s\S]*no such file[\s\S]*docs\/trainer-protocol.md/,
  );
  const garbage = misbehavingTrainer("garbage").replace(/^musweep=/, "mine=");
  const { code, stdout } = await musweep(place, "trainer", "check", "own.yaml", "--trainer", garbage);
  expect(code).toBe(1);
  expect(stdout).toContain("is not JSON");
}, 300_000);

it.each(["SIGINT", "SIGTERM", "SIGKILL"] as const)(
  "%s to it ends the trainer as well",
  async (signal) => {
    const temporary = mkdtempSync(join(place.directory, "temporary-"));
    write("endless.py", script("").replace("time.sleep(0.05)", "time.sleep(1)").replace("LOSS", "2.5"));
    const args = ["trainer", "check", "own.yaml", "--trainer", "mine=python3 endless.py"];
    const check = new Musweep(place, args, { TMPDIR: temporary });
    await until(() => expect(place.processes().join("\n")).toMatch(/^\d+ \S*python3 endless\.py/m));
    const { code } = await check.signal(signal);
    await place.expectNoProcess();
    if (signal === "SIGKILL") return;
    expect(code).toBe(130);
    expect(readdirSync(temporary)).toEqual([]);
  },
  120_000,
);

it("a trainer that the command line does not name is asked for", async () => {
  const { code, stderr } = await musweep(place, "trainer", "check", "own.yaml");
  expect([code, stderr]).toEqual([2, expect.stringContaining("--trainer mine=")]);
});
