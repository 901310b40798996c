/** A script of one's own, from its sweep file to the answer: without PyTorch, so that it is looked at everywhere. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parquetReadObjects } from "hyparquet";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../schema/wire/package.ts";
import { CLI, musweep, sql, succeed } from "../support/musweep.ts";
import { scratch } from "../support/scratch.ts";
import { torchPython } from "../support/torch-python.ts";

const place = scratch(afterAll);
const write = (name: string, text: string): void => writeFileSync(join(place.directory, name), text);

/**
 * Its loss is a parabola in log2 of the hidden matrices' rate, lowest at 2^-5: what a model does whose parameterization is right.
 * It prints before it begins and while it trains, and `dropout` makes everything worse.
 */
const SCRIPT = `print("a script's own words")
import math
import musweep
print("more of them")


def train(run):
    s = run.settings
    run.without("embedding_multiplier", "attention_scale", "residual_multiplier", "logits_multiplier")
    rate = run.plan["roles"]["hidden"]["learning_rate"]
    best = math.log2(rate) + 5
    for step in run.steps(7):
        print("step", step)
        run.report(train_loss=10 if best > 3.5 and step > 1 else 5 - step / 10, accuracy=step / 10)
        if best > 3.5 and step == 3:
            run.report(train_loss=math.nan)
    run.evaluate(validation_loss=3 + 0.05 * best**2 + s.get("dropout", 0))


musweep.main(train)
`;

/** A number of its own every hundred steps, and after the last. */
const RARE = `import musweep


def train(run):
    run.without("embedding_multiplier", "attention_scale", "residual_multiplier", "logits_multiplier")
    for step in run.steps():
        run.report(train_loss=1, **({"probe": step} if step % 100 == 0 else {}))
    run.evaluate(validation_loss=1, probe=-1)


musweep.main(train)
`;

const SWEEP = `name: own
trainer: mine
model: { width: 64, layers: 1 }
settings: { dropout: 0.5 }
base: { width: 32 }
axes:
  parameterization: [sp, mup]
  width: [32, 64]
  settings: { dropout: [0, 0.25] }
  learning_rate: { log2: { from: -9, to: -1 } }
`;

beforeAll(async () => {
  write("train.py", SCRIPT);
  write("own.yaml", SWEEP);
  await succeed(place, "run", "own.yaml", "--trainer", "mine=python3 train.py", "--slots", "1");
}, 300_000);

const optima = () =>
  sql<{ parameterization: string; width: number; log2_lr: number; curve: string }>(
    place,
    "SELECT parameterization, width, log2_lr, curve FROM optima WHERE sweep = 'own' ORDER BY parameterization, width, curve",
  );

describe("a sweep of a script's own model", () => {
  it("finds the base rate whose hidden rate is best: under μP twice as high at twice the width", () => {
    const found = optima();
    expect(found).toHaveLength(8);
    for (const { parameterization, width, log2_lr } of found) {
      const expected = -5 + (parameterization === "mup" ? Math.log2(width / 32) : 0);
      expect(Math.abs(log2_lr - expected)).toBeLessThan(0.15);
    }
    expect(new Set(found.map(({ curve }) => JSON.parse(curve)["settings.dropout"]))).toEqual(
      new Set([0, 0.25]),
    );
  });

  it("a loss that is no number is divergence, a result", () => {
    const outcomes = sql<{ outcome: string; n: number }>(
      place,
      "SELECT outcome, count(*) AS n FROM run_results WHERE sweep = 'own' GROUP BY outcome ORDER BY outcome",
    );
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(["diverged", "finished"]);
  });

  it("a number beside its losses is kept with the run, and exported", async () => {
    const kept = sql<{ own_metrics: string }>(
      place,
      "SELECT DISTINCT own_metrics FROM run_results WHERE sweep = 'own'",
    );
    // Diverged at step 3, or finished after step 7.
    expect(kept.map(({ own_metrics }) => own_metrics).sort()).toEqual([
      '{"accuracy":0.3}',
      '{"accuracy":0.7}',
    ]);
    const { stdout } = await succeed(place, "export", "own");
    expect(stdout.split("\r\n")[0]).toMatch(/,metrics\.accuracy$/);
  });

  it("and is a curve: in SQL and as a table, also where it is reported now and then", async () => {
    const curve = (sweep: string, metric: string) =>
      sql<{ step: number; value: number }>(
        place,
        `SELECT step, value FROM measurements WHERE run =
           (SELECT run FROM run_results WHERE sweep = '${sweep}' AND outcome = 'finished' LIMIT 1)
         AND sweep = '${sweep}' AND metric = '${metric}' ORDER BY step`,
      ).map(({ step, value }) => [step, value]);
    expect(curve("own", "accuracy")).toEqual([1, 2, 3, 4, 5, 6, 7].map((step) => [step, step / 10]));
    expect(curve("own", "train_loss")).toHaveLength(7);

    // A point of the loss every third step: steps 100, 200 and 400 are none of them.
    write("rare.py", RARE);
    write(
      "rare.yaml",
      `name: rare\ntrainer: mine\nmodel: { width: 32, layers: 1 }\ntraining: { steps: 401 }\nbase: { width: 32 }
axes: { parameterization: sp, learning_rate: 0.1 }\n`,
    );
    await succeed(place, "run", "rare.yaml", "--trainer", "mine=python3 rare.py");
    expect(curve("rare", "probe")).toEqual([...[100, 200, 300, 400].map((step) => [step, step]), [401, -1]]);
    const steps = curve("rare", "train_loss").map(([step]) => step);
    expect(steps).toEqual([1, ...Array.from({ length: 133 }, (_, i) => 3 * (i + 1)), 401]);

    const { stdout } = await succeed(place, "export", "rare", "--curves", "--to", "jsonl");
    const rows = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(rows.map(({ step }) => step)).toEqual([...steps, 100, 200, 400].toSorted((a, b) => a! - b!));
    expect(rows.filter((row) => row["metrics.probe"] !== null).map(({ step }) => step)).toEqual([
      100, 200, 300, 400, 401,
    ]);
    await succeed(place, "export", "rare", "--curves", "--to", "parquet", "--output", "curves.parquet");
    const { buffer, byteOffset, byteLength } = readFileSync(join(place.directory, "curves.parquet"));
    const file = buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
    expect(await parquetReadObjects({ file })).toEqual(rows);
  });

  it("what it prints is its log; it says nothing of steps in the file, and all of them are reported", () => {
    const [attempt] = sql<{ log_tail: string; step: number; engine: string }>(
      place,
      "SELECT log_tail, step, engine FROM attempts WHERE outcome = 'finished' LIMIT 1",
    );
    expect(attempt).toMatchObject({ step: 7, engine: expect.stringContaining("train ") });
    expect(attempt!.log_tail).toContain("step 7");
  });

  it("the page's lines of Python write TensorBoard's files of them", async ({ skip }) => {
    const python = existsSync(torchPython) ? torchPython : "python3";
    if (spawnSync(python, ["-c", "import tensorboardX"]).status !== 0) {
      console.warn(
        `SKIPPED: TensorBoard's files of the page's lines, because ${python} has no tensorboardX.`,
      );
      skip("tensorboardX is not there");
    }
    const page = readFileSync(join(packageRoot(), "docs", "from-python.md"), "utf8");
    const [, program] = /```python\n((?:(?!```)[\s\S])*SummaryWriter[\s\S]*?)```/.exec(page)!;
    const command = JSON.stringify([process.execPath, CLI, "export", "own", "--curves"]);
    write("board.py", program!.replace('["npx", "musweep", "export", "quickstart", "--curves"]', command));
    const { status, stderr } = spawnSync(python, ["board.py"], {
      cwd: place.directory,
      env: { ...process.env, ...place.env },
    });
    expect([status, String(stderr)]).toEqual([0, expect.anything()]);
    const written = readdirSync(join(place.directory, "tensorboard"));
    expect(written.toSorted()).toEqual(
      sql<{ run: string }>(
        place,
        "SELECT DISTINCT run FROM run_results WHERE sweep = 'own' ORDER BY run",
      ).map(({ run }) => run),
    );
    // Names stand in the files as they are.
    const [file] = readdirSync(join(place.directory, "tensorboard", written[0]!));
    expect(readFileSync(join(place.directory, "tensorboard", written[0]!, file!)).includes("accuracy")).toBe(
      true,
    );
  });

  it("report, recommend and suggest work on it", async () => {
    expect((await succeed(place, "report", "own")).stdout).toContain("settings.dropout");
    const { stdout } = await succeed(place, "recommend", "own", "--width", "128", "--sparsity", "0");
    expect(stdout).toMatch(/hidden +1 /);
    expect(stdout).toContain('"residual_output": dict(lr=');
    // Every curve is bracketed: what is suggested is for the verdicts that are open, and for all of them.
    const { suggestions } = JSON.parse((await succeed(place, "suggest", "own", "--json")).stdout);
    const open = sql<{ curve: string; base_curve: string }>(
      place,
      "SELECT curve, base_curve FROM transfer WHERE sweep = 'own' AND verdict = 'inconclusive'",
    ).flatMap(({ curve, base_curve }) => [curve, base_curve]);
    expect(
      new Set(suggestions.map(({ coordinates }: { coordinates: unknown }) => JSON.stringify(coordinates))),
    ).toEqual(new Set(open));
  });

  it("a run again trains nothing, and a new revision everything", async () => {
    await succeed(place, "run", "own.yaml", "--trainer", "mine=python3 train.py");
    expect(sql(place, "SELECT count(*) AS n FROM attempts WHERE attempt % 1000 > 1")).toEqual([{ n: 0 }]);
    write("new.yaml", SWEEP.replace("name: own\n", 'name: new\nrevision: "2"\n'));
    const { stdout } = await succeed(place, "plan", "new.yaml", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ done: 0 });
  });

  it("a mistake of the script fails its run at once, with the script's words", async () => {
    write("bad.py", "import musweep\nrun = musweep.start()\nrun.settings.widht\n");
    write(
      "bad.yaml",
      SWEEP.replace("name: own\n", 'name: bad\nrevision: "3"\n')
        .replace("[sp, mup]", "sp")
        .replace("[32, 64]", "32")
        .replace("to: -1", "to: -9"),
    );
    const { code, stdout } = await musweep(place, "run", "bad.yaml", "--trainer", "mine=python3 bad.py");
    expect(code).toBe(1);
    expect(stdout).toContain("did you mean 'width'?");
  });

  it("no worker without the trainer takes it", async () => {
    const { code, stderr } = await musweep(place, "run", "new.yaml");
    expect(code).toBe(3);
    expect(stderr).toContain("trainer mine");
  });
});
