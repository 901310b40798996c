/** Results that exist, from the command line: imported they give what the same runs give natively. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "csv-parse/sync";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { withTable } from "../../../orchestrator/commands/imported-table.ts";
import { recommend } from "../../../orchestrator/report/recommend.ts";
import { suggestSearched } from "../../../orchestrator/report/suggest.ts";
import { musweep, sql, succeed, writeSweep } from "../../support/musweep.ts";
import { scratch } from "../../support/scratch.ts";

const place = scratch(afterAll);
const CLI = fileURLToPath(new URL("../../../dist/orchestrator/cli.js", import.meta.url));
const write = (name: string, text: string): string => {
  writeFileSync(join(place.directory, name), text);
  return name;
};

/** A parabola in log2 of the rate, with its lowest loss at 2^-7, and at 2^-6 at sparsity 0.5. */
const TABLE = `lr,val_loss,sparsity\n${[0, 0.5]
  .flatMap((sparsity) =>
    [-10, -9, -8, -7, -6, -5, -4].map(
      (x) => `${2 ** x},${3 + 0.1 * (x + 7 - (sparsity > 0 ? 1 : 0)) ** 2},${sparsity}`,
    ),
  )
  .join("\n")}\n`;

const READ_AS_IT_IS = { column: new Map<string, string>(), ignore: [], set: new Map<string, string>() };

describe("the same runs, trained here and imported", () => {
  beforeAll(async () => {
    const file = writeSweep(place, {
      name: "native",
      parameterization: "[sp, supar]",
      rates: "{ log2: { from: -10, to: -3 } }",
      seeds: "[1, 2]",
    });
    await succeed(place, "run", file);
    await succeed(place, "export", "native", "--output", "runs.csv");
    await succeed(place, "import", "runs.csv", "--name", "imported");
  });

  it.each(["optima", "transfer", "exponents", "level"])("%s", (view) => {
    const of = (sweep: string) =>
      sql(place, `SELECT * FROM ${view} WHERE sweep = '${sweep}'`)
        .map(({ sweep: _sweep, phase: _phase, ...row }) => row)
        .toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));
    expect(of("native").length).toBeGreaterThan(0);
    expect(of("imported")).toEqual(of("native"));
  });

  it("is exported as it was imported", async () => {
    const losses = (text: string): unknown[] =>
      (parse(text, { columns: true }) as Record<string, string>[]).map((row) => [
        row.parameterization,
        row.sparsity,
        row.learning_rate,
        row.seed,
        row.val_loss,
      ]);
    const { stdout } = await succeed(place, "export", "imported");
    expect(losses(stdout)).toEqual(losses(readFileSync(join(place.directory, "runs.csv"), "utf8")));
  });

  it("recommends a rate for another width, and the rest as multiples of what the table does not say", async () => {
    // Of a table: what is trained in a moment brackets its optimum on one processor, and not on another.
    writeFileSync(join(place.directory, "bracketed.csv"), TABLE);
    const set = ["--set", "parameterization=supar", "--set", "width=32"];
    await succeed(place, "import", "bracketed.csv", "--name", "bracketed", ...set);
    const { stdout } = await succeed(place, "recommend", "bracketed", "--width", "128", "--sparsity", "0");
    // SμPar at four times the width of the source: σ/2 and η/4.
    expect(stdout).toMatch(/hidden +1 +0\.5 .* 0\.25 /);
    expect(stdout).toContain("times your own at width 32");
    expect(await musweep(place, "recommend", "bracketed", "--width", "128", "--d-head", "64")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/--sparsity X/),
    });
    const shaped = ["--width", "128", "--sparsity", "0", "--d-head", "64"];
    expect(await musweep(place, "recommend", "bracketed", ...shaped)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^--d-head: imported results say nothing of that\n/),
    });
    expect(stdout).toMatch(
      /axes: \{ parameterization: \[supar\], width: \[128\], sparsity: \[0\], learning_rate: /,
    );
  });

  it.each([
    ["weight_decay", "0,0.1"],
    ["warmup_steps", "0,5000"],
    ["schedule", "linear,cosine"],
    ["init_std", "0.02,0.04"],
    ["alpha_output", "2,8"],
    ["batch_size", "8,32"],
  ])(
    "recommends from a table in which %s varies, in numbers that are times the user's own",
    async (name, two) => {
      const values = two.split(",");
      // The second value's valley is the deeper one, an octave higher.
      const rows = [-10, -9, -8, -7, -6, -5, -4].flatMap((x) =>
        values.map((value, i) => `${2 ** x},${3 - 0.5 * i + 0.1 * (x + 7 - i) ** 2},${value}`),
      );
      const set = new Map([
        ["parameterization", "supar"],
        ["width", "32"],
      ]);
      const file = join(place.directory, write("varied.csv", `lr,val_loss,${name}\n${rows.join("\n")}\n`));
      await withTable(file, { ...READ_AS_IT_IS, set }, (db, sweep) => {
        const r = recommend(db, sweep, { width: 128, sparsity: 0 });
        const hidden = r.resolved.rows.find(({ group }) => group === "hidden")!;
        expect([hidden.init_std, hidden.multiplier, hidden.decay_per_step]).toEqual([0.5, 0.25, 0]);
        expect(r.resolved.rows.find(({ group }) => group === "embedding")!.init_std).toBe(1);
        expect(r.resolved.forward.find((of) => of.name === "logits ×")!.value).toBe(0.25);
        expect(String(r.source.other[name])).toBe(values[1]);
        if (name !== "batch_size") return;
        const small = recommend(db, sweep, { width: 128, sparsity: 0, batch_size: 8 });
        expect(small.source.other[name]).toBe(8);
        expect(() => recommend(db, sweep, { width: 128, sparsity: 0, steps: 8 })).toThrow(/--steps/);
      });
    },
  );

  it("what was trained elsewhere is not trained again", async () => {
    expect((await succeed(place, "requeue", "imported", "--all")).stdout).toContain("nothing to train again");
  });

  it("a sweep that is trained here is not replaced", async () => {
    const { code, stderr } = await musweep(place, "import", "runs.csv", "--name", "native");
    expect(code).toBe(2);
    expect(stderr).toContain('there is a sweep "native" already');
  });
});

describe("a table by itself", () => {
  it("analyze finds the optima that the table was made with, and stores nothing", async () => {
    const { stdout } = await succeed(place, "analyze", write("table.csv", TABLE), "--json");
    const { rows, notes } = JSON.parse(stdout);
    const optima: number[] = rows.map((row: { optimum: { log2_tuned: number } }) => row.optimum.log2_tuned);
    expect(optima.length).toBe(2);
    for (const [i, true_optimum] of [-7, -6].entries())
      expect(Math.abs(optima[i]! - true_optimum)).toBeLessThan(0.1);
    expect(notes.join(" ")).toContain("learning_rate from lr");
    expect((await succeed(place, "status", "--json")).stdout).not.toContain('"sweep": "results"');
  });

  it("says which of two losses it has taken", async () => {
    const [heading, ...rows] = TABLE.trimEnd().split("\n");
    const both = [`${heading},loss`, ...rows.map((row) => `${row},0.5`)].join("\n");
    const { stdout } = await succeed(place, "analyze", write("two-losses.csv", both), "--json");
    expect(JSON.parse(stdout).notes).toContain("The loss is val_loss, and not loss (--column loss=NAME).");
  });

  it("standard input, and importing again replaces", async () => {
    for (const rows of [TABLE, TABLE.split("\n").slice(0, 8).join("\n")]) {
      const { status, stderr } = spawnSync(process.execPath, [CLI, "import", "-", "--name", "piped"], {
        cwd: place.directory,
        env: place.env,
        input: rows,
        encoding: "utf8",
      });
      expect([status, stderr]).toEqual([0, expect.stringContaining("Read: loss from val_loss")]);
    }
    expect(sql(place, "SELECT count(*) AS n FROM run_results WHERE sweep = 'piped'")).toEqual([{ n: 7 }]);
  });

  it("no name of a column breaks out of the comment that is stored in place of a sweep file", async () => {
    const table = `lr,val_loss,"a\nname: x"\n0.1,3,1\n0.2,4,2\n`;
    await succeed(place, "import", write("a\nname: y.csv", table), "--name", "odd", "--ignore", "a\nname: x");
    const [{ file }] = sql<{ file: string }>(place, "SELECT file FROM sweeps WHERE name = 'odd'") as [
      { file: string },
    ];
    expect(file).toContain("a\\u000aname: x");
    for (const line of file.trim().split("\n")) expect(line).toMatch(/^# /);
  });

  it("suggests the rate beyond the edge, as text, CSV and YAML, of a file and of a sweep", async () => {
    const cut = `${TABLE.split("\n").slice(0, 4).join("\n")}\n`;
    const file = write("edge.csv", cut);
    expect((await succeed(place, "suggest", file)).stdout).toMatch(
      /: 1 run would decide more\.\n[\s\S]*learning_rate: \[0\.0078125\]/,
    );
    // 2^-9 has more digits than most would print: a rounded one would be another run.
    const low = write("low.csv", "lr,val_loss\n0.00390625,1\n0.0078125,1.5\n0.015625,2\n0.03125,2.6\n");
    expect((await succeed(place, "suggest", low)).stdout).toContain("learning_rate: [0.001953125]");
    expect((await succeed(place, "analyze", low)).stderr).toContain(
      "No column says: parameterization (taken as sp; --set parameterization=NAME); width (--set width=N); layers; sparsity (taken as 0).\n",
    );
    const rows = parse((await succeed(place, "suggest", file, "--csv")).stdout, { columns: true });
    expect(rows).toEqual([expect.objectContaining({ learning_rate: "0.0078125", sparsity: "0", seed: "1" })]);
    await succeed(place, "import", file, "--name", "edge");
    expect((await succeed(place, "suggest", "edge", "--yaml")).stdout).toMatch(
      /learning_rate:\s+- 0.0078125/,
    );
    expect((await succeed(place, "suggest", "table.csv")).stdout).toContain("no run would decide more");
  });

  it("goes on as a search from results that exist, until what is asked is decided", async () => {
    // Optima at 2^-7 and 2^-4 by construction, so that the base's rate costs 27% in the wider model; scatter of 0.2% or so.
    const optimum: Record<number, number> = { 64: -7, 256: -4 };
    const lossOf = (width: number, x: number, seed: number): number =>
      3 * (1 + 0.03 * (x - optimum[width]!) ** 2 + 0.003 * Math.sin(7 * x + 5 * seed + width));
    const row = (width: number, lr: number, seed: number): string =>
      `${lr},${width},${seed},${lossOf(width, Math.log2(lr), seed)}\n`;
    let table = "lr,width,seed,val_loss\n";
    for (const width of [64, 256])
      for (const x of [-8, -7, -6]) for (const seed of [1, 2]) table += row(width, 2 ** x, seed);
    const ask = () =>
      withTable(join(place.directory, write("sought.csv", table)), READ_AS_IT_IS, (db, name) =>
        suggestSearched(db, name, 8),
      );
    const reasons: string[] = [];
    for (;;) {
      const { suggestions, questions } = await ask();
      expect(questions).toEqual([
        expect.objectContaining({ says: expect.stringMatching(/^SP across width/) }),
      ]);
      if (suggestions.length === 0) break;
      for (const { coordinates, values, seeds, reason } of suggestions) {
        reasons.push(reason);
        table += row(coordinates.width!, values[0]!, seeds[0]!);
      }
      expect(reasons.length).toBeLessThan(30);
    }
    expect(reasons[0]).toBe("search: the optimum may lie above the rates tried");
    expect((await succeed(place, "suggest", "sought.csv", "--until-decided")).stdout).toMatch(
      /decided: SP across width: the cost at width 256 is surely beyond the margin\n.*no run would decide more/,
    );
    expect((await succeed(place, "analyze", "sought.csv")).stdout).toMatch(
      /SP: does not transfer by cost: the optimum of width 64 costs at least [12]\d/,
    );
  });

  it("suggests as a search only when told so", async () => {
    const { code, stderr } = await musweep(place, "suggest", "table.csv", "--batch", "2");
    expect([code, stderr]).toEqual([2, expect.stringContaining("--batch is given without --until-decided")]);
  });

  it.each<[string, string, RegExp, ...string[]]>([
    ["no loss", "lr,wall\n1,2\n", /no column that is known to be the loss/],
    ["a mistake in a row", "lr,loss\n0.1,2\n0.2,low\n", /bad\.csv:3: loss is "low"/],
    ["options that contradict", "lr,loss\n0.1,2\n", /--maximize/, "--maximize", "--loss-is", "error"],
    ["a pair that is none", "lr,loss\n0.1,2\n", /--column wants NAME=VALUE/, "--column", "loss"],
  ])("refuses %s with exit code 2", async (_what, text, message, ...options) => {
    const { code, stderr } = await musweep(place, "analyze", write("bad.csv", text), ...options);
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
  });
});
