/** Tables of results as people and tools have them: what is recognized, what is told, what is refused and where. */
import { describe, expect, it } from "vitest";
import { type ImportOptions, readResults } from "../../../orchestrator/import/read-results.ts";
import { readTable } from "../../../orchestrator/import/read-table.ts";
import { MusweepError } from "../../../schema/wire/errors.ts";

const read = (text: string, options: Partial<ImportOptions> = {}, file = "r.csv") =>
  readResults(readTable(text, file), {
    file,
    columns: new Map(),
    ignored: [],
    constants: new Map(),
    measure: "loss",
    repeatsAreSeeds: false,
    ...options,
  });

function refusal(act: () => unknown): MusweepError {
  try {
    act();
  } catch (error) {
    if (error instanceof MusweepError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("columns", () => {
  it("a hand-written table", () => {
    const { results, recognized } = read(
      "lr,width,sparsity,parameterization,seed,val_loss,comment\n0.001,128,0.5,supar,1,3.25,good\n0.002,128,0.5,supar,1,nan,\n",
    );
    const place = { width: 128, layers: 0, sparsity: 0.5, parameterization: "supar", seed: 1 };
    expect(results).toEqual([
      { line: 2, coordinates: { ...place, learning_rate: 0.001 }, loss: 3.25 },
      { line: 3, coordinates: { ...place, learning_rate: 0.002 }, loss: null },
    ]);
    expect(recognized.ignored).toEqual(["comment"]);
  });

  it("a parameterization is known by its title too", () => {
    const table = "lr,parametrization,loss\n0.001,SμPar,3.25\n0.002,muP,3.5\n";
    expect(read(table).results.map((r) => r.coordinates.parameterization)).toEqual(["supar", "mup"]);
    const constants = new Map([["parameterization", "standard"]]);
    const [first] = read("lr,loss\n0.001,3.25\n0.002,3.5\n", { constants }).results;
    expect(first!.coordinates.parameterization).toBe("sp");
  });

  it("a Weights & Biases export", () => {
    const { results, unfinished } = read(
      '"Name","State","Runtime","config.n_embd","config.learning_rate","seed","final/val_loss"\n' +
        '"swift-1","finished","120","256","0.004","1","2.5"\n"calm-2","running","3","256","0.008","1",""\n' +
        '"odd-3","crashed","9","256","0.016","1","NaN"\n',
      { columns: new Map([["loss", "final/val_loss"]]) },
    );
    expect(results.map((r) => [r.coordinates.learning_rate, r.loss, r.coordinates.width])).toEqual([
      [0.004, 2.5, 256],
      [0.016, null, 256],
    ]);
    expect(unfinished).toEqual(new Map([["running", 1]]));
  });

  it("an Optuna export: trials_dataframe().to_csv()", () => {
    const { results } = read(
      ",number,value,datetime_start,params_lr,params_width,state\n0,0,1.5,2026-01-01,0.01,64,COMPLETE\n1,1,1.25,2026-01-01,0.02,64,COMPLETE\n2,2,,2026-01-01,0.04,64,FAIL\n3,3,9.0,2026-01-01,0.05,64,PRUNED\n",
    );
    expect(results.map((r) => [r.coordinates.learning_rate, r.loss])).toEqual([
      [0.01, 1.5],
      [0.02, 1.25],
      [0.04, null],
    ]);
  });

  it("an MLflow export: search_runs().to_csv()", () => {
    const { results, recognized } = read(
      "run_id,status,metrics.val_loss,params.lr,params.density,tags.mlflow.user\na,FINISHED,2.0,0.1,0.25,me\nb,FINISHED,2.5,0.2,0.25,me\n",
    );
    expect(results[0]).toMatchObject({ coordinates: { sparsity: 0.75 }, loss: 2 });
    expect(recognized.ignored).toEqual(["run_id", "tags.mlflow.user"]);
  });

  it("JSON lines with nested settings, and Python's NaN", () => {
    const { results, fixed } = read(
      '{"config": {"lr": 0.1, "dropout": 0.2}, "summary": {"val_loss": 1.0}}\n{"config": {"lr": 0.2, "dropout": 0.2}, "summary": {"val_loss": NaN}}\n',
      { columns: new Map([["dropout", "config.dropout"]]) },
      "runs.jsonl",
    );
    expect(results.map((r) => r.loss)).toEqual([1, null]);
    expect(fixed).toEqual({ "settings.dropout": 0.2 });
  });

  it("semicolons, a byte order mark, and values that hold for all rows", () => {
    const { results, fixed, assumed } = read("\uFEFFlr;loss\n0.1;2\n0.2;3\n", {
      constants: new Map([
        ["parameterization", "mup"],
        ["width", "512"],
        ["note", "first try"],
      ]),
    });
    expect(results[1]!.coordinates).toMatchObject({ parameterization: "mup", width: 512 });
    expect(fixed).toEqual({ "settings.note": "first try" });
    expect(assumed).toEqual(["layers", "sparsity"]);
  });
});

describe("losses", () => {
  it.each([
    ["loss", "val_loss"],
    ["metrics.loss", "metrics.eval_loss"],
    ["train_loss", "loss"],
    ["test_loss", "valid/loss"],
  ])("%s is not taken where %s is there", (other, taken) => {
    for (const heading of [`lr,${other},${taken}`, `lr,${taken},${other}`]) {
      const { recognized } = read(`${heading}\n0.1,2,3\n0.2,3,4\n`);
      expect([recognized.columns.get("loss"), recognized.other_losses]).toEqual([taken, [other]]);
      const asked = read(`${heading}\n0.1,2,3\n0.2,3,4\n`, { columns: new Map([["loss", other]]) });
      expect([asked.recognized.columns.get("loss"), asked.recognized.other_losses]).toEqual([other, []]);
    }
  });

  it("a nested configuration as W&B's API gives it", () => {
    const row = (lr: number, loss: number) =>
      `${JSON.stringify({ config: { lr: { value: lr, desc: null }, d_model: { value: 128 } }, summary: { loss } })}\n`;
    const { results } = read(row(0.1, 3) + row(0.2, 2.5), {}, "runs.jsonl");
    expect(results.map((r) => [r.coordinates.learning_rate, r.coordinates.width, r.loss])).toEqual([
      [0.1, 128, 3],
      [0.2, 128, 2.5],
    ]);
  });

  it("decimal commas are refused with what to write, and an accuracy alone with how it is read", () => {
    expect(refusal(() => read("lr;loss\n0.1;3,25\n"))).toMatchObject({
      message: 'r.csv:2: loss is "3,25"; expected a number, or nothing for a run that diverged',
      remedy: "Write decimal points, not commas. Nothing was stored.",
    });
    expect(refusal(() => read("lr;loss\n0,1;3.25\n")).remedy).toMatch(/^Write decimal points/);
    expect(refusal(() => read("lr,val_accuracy\n0.1,0.9\n")).remedy).toBe(
      "Say which: --column loss=NAME; a score to be made large: --column loss=val_accuracy --maximize",
    );
  });

  it("an accuracy is made small: 1 − it, or 100 − it", () => {
    const table = (values: number[]) =>
      `lr,accuracy\n${values.map((v, i) => `0.${i + 1},${v}`).join("\n")}\n`;
    const columns = new Map([["loss", "accuracy"]]);
    const options = { columns, measure: "score" as const };
    const fractions = read(table([0.75, 0.5]), options);
    expect([fractions.results.map((r) => r.loss), fractions.turned]).toEqual([[0.25, 0.5], "1 − score"]);
    expect(read(table([75, 50]), options).results.map((r) => r.loss)).toEqual([25, 50]);
    expect(read(table([-3, -2.5]), options).results.map((r) => r.loss)).toEqual([3, 2.5]);
  });

  it("a run that failed says nothing of its learning rate, unless its loss was no number", () => {
    const { results, unfinished } = read(
      "lr,loss,status\n0.1,2,finished\n0.2,2.5,crashed\n0.3,,failed\n0.4,nan,failed\n",
    );
    expect(results.map((r) => [r.coordinates.learning_rate, r.loss])).toEqual([
      [0.1, 2],
      [0.4, null],
    ]);
    expect(unfinished).toEqual(
      new Map([
        ["crashed", 1],
        ["failed", 1],
      ]),
    );
  });

  it("a run whose state says that it diverged did, whatever number stands beside it", () => {
    const { results } = read("lr,loss,state\n0.1,2,finished\n0.2,1.5,Diverged\n0.3,2.2,NaN\n");
    expect(results.map((r) => r.loss)).toEqual([2, null, null]);
  });

  it.each("canceled error paused stopped aborted timeout interrupted preempted odd".split(" "))(
    "a run that is %s says nothing without a loss",
    (state) => {
      const { results, unfinished } = read(
        `lr,loss,state\n0.1,2,finished\n0.2,,${state}\n0.3,,finished\n0.4,None,${state}\n0.5,inf,${state}\n`,
      );
      expect(results.map((r) => [r.coordinates.learning_rate, r.loss])).toEqual([
        [0.1, 2],
        [0.3, null],
        [0.5, null],
      ]);
      expect(unfinished).toEqual(new Map([[state, 2]]));
    },
  );

  it("a number counts where the state says nothing against it", () => {
    const { results } = read("lr,loss,state\n0.1,2,stopped\n0.2,1.5,early stop\n0.3,1.6,error\n");
    expect(results.map((r) => r.loss)).toEqual([2, 1.5]);
  });

  it("rows that are alike are refused, or seeds where that is said", () => {
    const text = "lr,loss\n0.1,2.0\n0.1,2.1\n0.2,2.2\n";
    const error = refusal(() => read(text));
    expect(error.message).toBe("r.csv:3: this row is alike to line 2 in everything that is read");
    expect(error.remedy).toContain("--repeats-are-seeds");
    expect(read(text, { repeatsAreSeeds: true }).results.map((r) => r.coordinates.seed)).toEqual([1, 2, 1]);
  });
});

describe("what is refused, with its line", () => {
  it.each<[string, string, Partial<ImportOptions>, RegExp]>([
    [
      "no learning rate",
      "rate_of_joy,val_loss\n1,2\n",
      {},
      /no column that is known to be the learning rate/,
    ],
    ["no loss", "lr,wall\n1,2\n2,3\n", {}, /no column that is known to be the loss/],
    ["a loss that is no number", "lr,loss\n0.1,2\n0.2,low\n", {}, /^r\.csv:3: loss is "low"/],
    [
      "a learning rate that is none",
      "lr,loss\n0.1,2\n,2\n",
      {},
      /^r\.csv:3: lr is ""; expected a learning rate/,
    ],
    ["a negative learning rate", "lr,loss\n-0.1,2\n0.1,2\n", {}, /^r\.csv:2: lr is "-0\.1"/],
    [
      "one learning rate only",
      "lr,loss,seed\n0.1,2,1\n0.1,3,2\n",
      {},
      /all rows have the learning rate 0\.1/,
    ],
    [
      "a loss that is not positive",
      "lr,loss\n0.1,-2\n0.2,3\n",
      {},
      /^r\.csv:2: loss is -2; expected a loss above 0/,
    ],
    [
      "a width that is none",
      "lr,loss,width\n0.1,2,wide\n0.2,2,64\n",
      {},
      /^r\.csv:2: width is "wide", which width cannot be/,
    ],
    ["a ragged row", "lr,loss\n0.1,2\n0.2\n", {}, /^r\.csv:3: not valid CSV/],
    ["a column twice", "lr,loss,lr\n0.1,2,3\n", {}, /the column "lr" is there twice/],
    ["nothing", "lr,loss\n", {}, /there are no rows/],
    ["two columns for one thing", "lr,eval/loss,loss_eval\n0.1,2,3\n", {}, /could both be the loss/],
    [
      "a mapped column that is not there",
      "lr,loss\n0.1,2\n",
      { columns: new Map([["loss", "los"]]) },
      /there is no column "los"; did you mean "loss"\?/,
    ],
    ["a width in some rows alone", "lr,loss,width\n0.1,2,64\n0.2,2,\n", {}, /^r\.csv:3: it has no width/],
    [
      "a perfect score",
      "lr,loss\n0.1,1\n0.2,0.5\n",
      { measure: "score" },
      /^r\.csv:2: loss is 1; expected less/,
    ],
    ...[
      [150, 120],
      [-1, 2],
    ].map((scores): [string, string, Partial<ImportOptions>, RegExp] => [
      `scores of ${scores.join(" and ")}`,
      `lr,loss\n${scores.map((score, i) => `0.${i + 1},${score}`).join("\n")}\n`,
      { measure: "score" },
      /^r\.csv:[23]: loss is (150|2); expected scores from 0 to 1, from 0 to 100, or all below 0$/,
    ]),
    [
      "a value that cannot be",
      "lr,loss\n0.1,1\n0.2,0.5\n",
      { constants: new Map([["width", "wide"]]) },
      /--set width=wide/,
    ],
    ["no finite loss", "lr,loss\n0.1,nan\n0.2,\n", {}, /no row has a loss/],
  ])("%s", (_what, text, options, message) => {
    const error = refusal(() => read(text, options));
    expect(error).toMatchObject({ kind: "usage" });
    expect(error.message).toMatch(message);
    expect(error.remedy).toBeTruthy();
  });

  it("JSON that is none", () => {
    expect(refusal(() => read('{"lr": 1}\n{"lr":', {}, "r.jsonl")).message).toMatch(
      /^r\.jsonl:2: not valid JSON/,
    );
  });
});

describe("what is large or odd", () => {
  it("a score in more rows than a call takes arguments", () => {
    const rows = Array.from({ length: 150_000 }, (_, i) => `${1 + (i % 9)},0.5,${i}`);
    const { results, turned } = read(`lr,accuracy,seed\n${rows.join("\n")}\n`, {
      columns: new Map([["loss", "accuracy"]]),
      measure: "score",
    });
    expect(results.length).toBe(150_000);
    expect(turned).toBe("1 − score");
  });

  it("a text that has the words for no number, beside a NaN, and spaces without end", () => {
    const spaces = " ".repeat(300_000);
    const note = 'x, NaN, \\" -Infinity,';
    const line = (rate: number, loss: string) =>
      `{"lr": ${rate}, "val_loss": ${loss},${spaces}"settings.note": ${JSON.stringify(note)}}\n`;
    const columns = new Map([["settings.note", "settings.note"]]);
    const { results, fixed } = read(
      line(1, "2") + line(2, "NaN") + line(3, "-Infinity"),
      { columns },
      "r.jsonl",
    );
    expect(results.map(({ loss }) => loss)).toEqual([2, null, null]);
    expect(fixed).toEqual({ "settings.note": note });
  });

  it("seeds of its own beside --repeats-are-seeds: rows that differ in nothing else are numbered", () => {
    const text = "lr,seed,val_loss\n1,7,2\n1,8,3\n2,7,4\n1,9,5\n";
    const { results } = read(text, { repeatsAreSeeds: true });
    expect(results.map(({ coordinates }) => coordinates.seed)).toEqual([1, 2, 1, 3]);
  });
});

describe("a table beyond measure", () => {
  const deep = (levels: number): string => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;
  const many = (n: number): string[] => Array.from({ length: n }, (_, i) => `c${i}`);

  it.each([
    ["objects within each other", `{"lr":1}\n${deep(30_000)}`, /^r\.jsonl:2: .*more than 20 levels deep/],
    [
      "an object of many columns",
      `{"lr":1}\n${JSON.stringify(Object.fromEntries(many(60_000).map((name) => [name, 1])))}`,
      /^r\.jsonl:2: there are more than 4096 columns/,
    ],
    [
      "other columns on every line",
      many(5000)
        .map((name) => `{"${name}":1}`)
        .join("\n"),
      /^r\.jsonl:4097: there are more than 4096 columns/,
    ],
    ["a name without end", `{"${"x".repeat(5000)}":{"y":1}}`, /^r\.jsonl:1: a column's name is longer/],
  ])("%s is refused at its line", (_, text, says) => {
    expect(refusal(() => read(text, {}, "r.jsonl")).message).toMatch(says);
  });

  it("a heading of many columns is refused, and one of fewer is told with the first of them", () => {
    const table = (n: number): string => `${many(n).join(",")}\n${many(n).fill("1").join(",")}\n`;
    expect(refusal(() => read(table(60_000))).message).toMatch(/^r\.csv:1: there are more than 4096 columns/);
    const { message } = refusal(() => read(table(4000)));
    expect(message).toMatch(/it has c0, .*, c19 and 3980 more$/);
    const unknown = { columns: new Map([["loss", "what"]]) };
    expect(refusal(() => read(table(4000), unknown)).message).toMatch(/there are c0, .*, c19 and 3980 more$/);
  });

  it("columns at several levels keep their order", () => {
    const { columns } = readTable('{"a":1,"b":{"c":2,"d":{"e":3}},"f":[1],"g":null}', "r.jsonl");
    expect(columns).toEqual(["a", "b.c", "b.d.e", "g"]);
  });
});
