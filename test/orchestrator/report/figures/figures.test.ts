/** The pictures say what the database says: every number, every bound as a bound, every name as text. */
import { describe, expect, test } from "vitest";
import { type FigureData, readFigureData } from "../../../../orchestrator/report/figures/data.ts";
import { standalone } from "../../../../orchestrator/report/figures/frame.ts";
import { htmlReport } from "../../../../orchestrator/report/figures/html.ts";
import { drawnPhases, PAGE } from "../../../../orchestrator/report/figures/report-figures.ts";
import { searchFigures } from "../../../../orchestrator/report/figures/search-figure.ts";
import { freshDatabase, sqliteOf } from "../../../support/database.ts";
import { mixedDatabase } from "./fixture.ts";
import { numberOf, type ParsedElement, parseXml } from "./parse.ts";
import { storeSynthetic, sweepYaml, valley } from "./synthetic.ts";

/** Every figure of a sweep as a file would hold it, by name. */
function pictures(data: FigureData): Map<string, string> {
  const drawn = drawnPhases(data).flatMap(({ figures }) =>
    figures.map(({ name, draw }) => [name, draw({ id: name, ...PAGE })] as const),
  );
  return new Map(drawn.flatMap(([name, figure]) => (figure ? [[name, standalone(figure, "both")]] : [])));
}

const has = (name: string) => (element: ParsedElement) => element.attributes[name] !== undefined;

interface OptimumRow {
  curve: string;
  flag: string;
  log2_lr: number | null;
  log2_lr_low: number | null;
  log2_lr_high: number | null;
  loss: number | null;
}

describe("the numbers are the database's", () => {
  const db = () => {
    const database = mixedDatabase();
    const optima = sqliteOf(database)
      .prepare<[], OptimumRow>("SELECT * FROM optima WHERE sweep = 'mixed' ORDER BY curve")
      .all();
    return { database, optima, shown: pictures(readFigureData(database, "mixed")) };
  };

  test("every mean loss is a point, or a mark above the axis", () => {
    const { database, shown } = db();
    const rows = sqliteOf(database)
      .prepare<[], { curve: string; log2_lr: number; mean_loss: number | null; diverged: number }>(
        "SELECT curve, log2_lr, mean_loss, diverged FROM curves WHERE sweep = 'mixed'",
      )
      .all();
    const elements = parseXml(shown.get("curves")!);
    const drawn = new Map<string, number>();
    for (const e of elements.filter(has("data-loss")).filter((e) => !has("data-optimum")(e))) {
      const rate = ["data-log2-lr", "data-above-log2-lr", "data-diverged-log2-lr"].flatMap(
        (n) => numberOf(e, n) ?? [],
      );
      expect(drawn.has(`${e.curve} ${rate[0]}`)).toBe(false);
      drawn.set(`${e.curve} ${rate[0]}`, numberOf(e, "data-loss")!);
    }
    const stored = rows.filter((r) => r.mean_loss !== null);
    expect(drawn.size).toBe(stored.length);
    for (const { curve, log2_lr, mean_loss } of stored)
      expect(drawn.get(`${curve} ${log2_lr}`)).toBeCloseTo(mean_loss!, 12);
    const crosses = elements.filter(has("data-diverged"));
    expect(
      crosses
        .map((e) => `${e.curve} ${numberOf(e, "data-diverged-log2-lr")} ${numberOf(e, "data-diverged")}`)
        .sort(),
    ).toEqual(
      rows
        .filter((r) => r.diverged > 0)
        .map((r) => `${r.curve} ${r.log2_lr} ${r.diverged}`)
        .sort(),
    );
    expect(crosses.length).toBeGreaterThan(3);
  });

  test.each(["curves", "optimum-by-sparsity"])(
    "%s: an estimate is a point, a bound an arrow or a bar, nothing else anything",
    (name) => {
      const { optima, shown } = db();
      const elements = parseXml(shown.get(name)!);
      const flags = new Set(optima.map((o) => o.flag));
      expect(flags).toContain("bracketed");
      expect(flags).toContain("at high edge");
      for (const o of optima) {
        const own = elements.filter((e) => e.curve === o.curve);
        const points = own.filter(has("data-optimum"));
        const bounds = own.filter(has("data-flag"));
        const interval = (e: ParsedElement) => [numberOf(e, "data-low"), numberOf(e, "data-high")];
        if (o.flag === "bracketed") {
          expect(points.map((e) => numberOf(e, "data-optimum"))).toEqual([o.log2_lr]);
          expect(points.map(interval)).toEqual([[o.log2_lr_low, o.log2_lr_high]]);
          expect(bounds).toEqual([]);
        } else {
          expect(points).toEqual([]);
          const known = o.log2_lr_low !== null || o.log2_lr_high !== null;
          expect(bounds.map(interval)).toEqual(known ? [[o.log2_lr_low, o.log2_lr_high]] : []);
        }
      }
    },
  );

  test("a picture says how many planned runs have no result", () => {
    const { database, shown } = db();
    const missing = sqliteOf(database)
      .prepare<[], { n: number }>("SELECT count(*) AS n FROM missing WHERE sweep = 'mixed'")
      .get()!.n;
    const texts = parseXml(shown.get("curves")!).map((e) => e.text);
    expect(missing).toBe(9);
    expect(texts).toContain("Incomplete: 9 planned runs without a result.");
  });

  test("the dashed line stands at the least sparse curve's optimum", () => {
    const { optima, shown } = db();
    const lines = parseXml(shown.get("curves")!).filter(has("data-base-log2-lr"));
    const dense = optima.filter((o) => JSON.parse(o.curve).sparsity === 0 && o.log2_lr !== null);
    expect(lines.map((e) => numberOf(e, "data-base-log2-lr")).sort()).toEqual(
      dense.map((o) => o.log2_lr).sort(),
    );
  });

  test("the page's tables agree too, and write bounds as bounds", () => {
    const { database, optima } = db();
    const cells = parseXml(htmlReport(readFigureData(database, "mixed"))).filter((e) => e.name === "td");
    for (const o of optima) {
      const [cell] = cells.filter((e) => e.attributes["data-curve"] === o.curve);
      expect(numberOf(cell!, "data-log2-lr")).toBe(o.log2_lr);
      expect(numberOf(cell!, "data-low")).toBe(o.log2_lr_low);
      expect(numberOf(cell!, "data-high")).toBe(o.log2_lr_high);
      if (o.flag === "bracketed") expect(cell!.text).toBe(o.log2_lr!.toFixed(2).replace("-", "−"));
      else expect(cell!.text).toMatch(/^(≥ |≤ |–$|−[\d.]+ to )/);
    }
  });
});

test("in the page's tables a bound is rounded so that it holds", () => {
  const data = readFigureData(mixedDatabase(), "mixed");
  const nothing = { estimate: null, low: null, high: null, low_90: null, high_90: null };
  const curve = data.phases[0]!.curves.find(({ sparsity }) => sparsity > 0)!;
  const edge = { log2_tuned: null, log2_tuned_low: null, log2_tuned_high: -4.556, loss: null };
  curve.optimum = { ...curve.optimum, flag: "at low edge", ...edge, grid_loss: 2.9051 };
  curve.drift = { ...nothing, low: 0.586 };
  curve.regret = { state: "outside", nats: nothing, per_cent: { ...nothing, low: 0.81, low_90: 0.96 } };
  const texts = parseXml(htmlReport(data))
    .filter((e) => e.name === "td")
    .map((e) => e.text);
  expect(texts).toEqual(expect.arrayContaining(["≤ −4.55", "≤ 2.906", "≥ +0.58", "≥ 0.9%"]));
});

test("a random search's pictures have a run on the axes of what it has", () => {
  // Half of the runs are not clipped, and the other grid has no weight decay, as the first run shows.
  const points = Array.from({ length: 24 }, (_, i) => ({
    title: `run ${i}`,
    href: `/runs/${i}`,
    values: {
      learning_rate: 0.001 * (i + 1),
      ...(i % 2 === 0 ? {} : { clip_norm: i % 4 === 1 ? 0.5 : 1 }),
      ...(i < 12 ? {} : { weight_decay: 0.01 * i }),
    },
    loss: 3 + ((7 * i) % 24) / 100,
  }));
  const [scatter, lines] = searchFigures(points, "search", "").map(({ draw }) =>
    standalone(draw({ id: "search", ...PAGE })!, "both"),
  );
  for (const picture of [scatter!, lines!]) expect(picture).not.toContain("NaN");
  const texts = parseXml(scatter!).map((e) => e.text);
  for (const name of ["learning rate", "clip norm", "weight decay"])
    expect(texts).toContainEqual(expect.stringMatching(new RegExp(`^${name}: \\d+% alone$`)));
  expect(parseXml(scatter!).filter((e) => e.name === "a")).toHaveLength(24 + 12 + 12);
});

describe("names are data", () => {
  const HOSTILE = `</style></svg><script>alert("1")</script> & 'x' ]]> \u0000\u0008\ud800`;

  test("whatever a name holds, pages and pictures stay well-formed and hold no element of its making", () => {
    const db = mixedDatabase();
    sqliteOf(db).prepare("UPDATE phases SET name = ?").run(HOSTILE);
    sqliteOf(db).prepare("UPDATE runs SET error = ? WHERE state = 'failed'").run(HOSTILE);
    const data = readFigureData(db, "mixed");
    // As if axes of the sweep file had such names and values, and a second phase had the same name.
    for (const curve of data.phases[0]!.curves) curve.other = { [HOSTILE]: `${HOSTILE} ${curve.title}` };
    const hostile: FigureData = {
      ...data,
      answer: { ...data.answer, progress: { ...data.answer.progress, sweep: HOSTILE } },
      phases: [
        data.phases[0]!,
        {
          ...data.phases[0]!,
          curves: data.phases[0]!.curves.map((c) => ({
            ...c,
            other: { [HOSTILE]: c.sparsity + c.points.length, b: c.curve },
          })),
        },
      ],
    };
    const page = parseXml(htmlReport(hostile));
    expect(page.filter((e) => e.name === "script")).toEqual([]);
    expect(page.filter((e) => e.name === "style")).toHaveLength(1);
    expect(page.find((e) => e.name === "h1")!.text).toContain(`<script>alert("1")</script> & 'x' ]]>`);
    expect(page.find((e) => e.name === "li" && e.text.startsWith("2 runs: "))!.text).toContain("<script>");
    const drawn = pictures(hostile);
    expect(drawn.size).toBeGreaterThanOrEqual(3);
    for (const [name, svg] of drawn) {
      expect(name).toMatch(/^[A-Za-z0-9._-]+$/);
      expect(parseXml(svg).filter((e) => e.name === "script" || e.name === "foreignObject")).toEqual([]);
    }
  });
});

describe("a page that stands alone", () => {
  test("fetches nothing, runs nothing, and forbids both", () => {
    const source = htmlReport(readFigureData(mixedDatabase(), "mixed"));
    const page = parseXml(source);
    for (const e of page) {
      expect(["script", "link", "img", "iframe", "object", "embed", "base", "form"]).not.toContain(e.name);
      for (const [name, value] of Object.entries(e.attributes)) {
        expect(name).not.toMatch(/^on|^src|href$/);
        if (value.includes("url(")) expect(value).toMatch(/^url\(#[\w-]+\)$/);
      }
    }
    const styles = page.filter((e) => e.name === "style").map((e) => e.text);
    expect(styles.join()).not.toMatch(/url\(|@import|https?:/);
    expect(page.filter((e) => e.attributes["http-equiv"] === "Content-Security-Policy")).toHaveLength(1);
    const ids = page.flatMap((e) => e.attributes.id ?? []);
    expect(new Set(ids).size).toBe(ids.length);
    for (const e of page.filter(has("aria-labelledby")))
      for (const id of e.attributes["aria-labelledby"]!.split(" ")) expect(ids).toContain(id);
  });

  test("every table has a caption, and every heading a scope", () => {
    const page = parseXml(htmlReport(readFigureData(mixedDatabase(), "mixed")));
    const count = (name: string) => page.filter((e) => e.name === name).length;
    expect(count("table")).toBe(5);
    expect(count("caption")).toBe(count("table"));
    for (const e of page.filter((e) => e.name === "th")) expect(["row", "col"]).toContain(e.attributes.scope);
  });

  test("says which sentences hold, and that runs are missing", () => {
    const data = readFigureData(mixedDatabase(), "mixed");
    const text = parseXml(htmlReport(data))[0]!.text;
    expect(data.answer.verdicts).toHaveLength(3);
    for (const v of data.answer.verdicts) expect(text).toContain(`${v.title}: ${v.verdict.sentence}.`);
    expect(text).toContain("Incomplete: 7 runs still to train.");
    expect(text).toContain("2 runs: out of luck");
  });
});

describe("sweeps without an answer yet", () => {
  const nothing = () => {
    const db = freshDatabase();
    storeSynthetic(
      db,
      sweepYaml(
        "new",
        "  parameterization: [sp, supar]\n  sparsity: [0, 0.5]\n  learning_rate: { log2: { from: -8, to: -6 } }",
      ),
      () => "pending",
    );
    return readFigureData(db, "new");
  };

  test("panels say that there are no results, and no optimum is drawn", () => {
    const drawn = pictures(nothing());
    expect([...drawn.keys()]).toEqual(["curves"]);
    const elements = parseXml(drawn.get("curves")!);
    expect(elements.filter((e) => e.name === "text" && e.text === "no results yet")).toHaveLength(2);
    expect(
      elements.filter((e) => has("data-optimum")(e) || has("data-flag")(e) || has("data-loss")(e)),
    ).toEqual([]);
  });

  test("the page says how much is to come", () => {
    expect(parseXml(htmlReport(nothing()))[0]!.text).toContain("still to train");
  });

  test("a sweep of one learning rate has tables but no figure, and says why", () => {
    const db = freshDatabase();
    storeSynthetic(
      db,
      sweepYaml("single", "  parameterization: [supar]\n  init_std: [0.01, 0.1]\n  learning_rate: [0.01]"),
      valley,
    );
    const data = readFigureData(db, "single");
    expect(pictures(data).size).toBe(0);
    const text = parseXml(htmlReport(data))[0]!.text;
    expect(text).toContain("Not drawn: 2 combinations of init_std with a single learning rate.");
    expect(text).toContain("too few LRs to fit");
  });

  test("a single run is said to have no curve, in words that end", () => {
    const db = freshDatabase();
    storeSynthetic(db, sweepYaml("one", "  parameterization: [supar]\n  learning_rate: [0.01]"), valley);
    const text = parseXml(htmlReport(readFigureData(db, "one")))[0]!.text;
    expect(text).toContain("Not drawn: curves with a single learning rate.");
  });
});
