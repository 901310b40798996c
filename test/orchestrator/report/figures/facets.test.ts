/** Which curves share a panel. */
import { expect, test } from "vitest";
import { curvesFigure } from "../../../../orchestrator/report/figures/curves-figure.ts";
import { readFigureData } from "../../../../orchestrator/report/figures/data.ts";
import { facetsOf, widthFacets } from "../../../../orchestrator/report/figures/facets.ts";
import { optimaBySparsity, optimaByWidth } from "../../../../orchestrator/report/figures/optima-figure.ts";
import { drawnPhases } from "../../../../orchestrator/report/figures/report-figures.ts";
import { freshDatabase } from "../../../support/database.ts";
import { numberOf, parseXml } from "./parse.ts";
import { storeSynthetic, sweepYaml, valley } from "./synthetic.ts";

function dataOf(axes: string) {
  const db = freshDatabase();
  storeSynthetic(db, sweepYaml("sweep", axes), valley);
  return readFigureData(db, "sweep");
}
const facets = (axes: string) => facetsOf(dataOf(axes).phases[0]!);
const drawnNames = (axes: string) =>
  drawnPhases(dataOf(axes))[0]!.figures.flatMap(({ name, draw }) => (draw(OPTIONS) === null ? [] : [name]));

const RATES = "  learning_rate: { log2: { from: -10, to: -6 } }";
const OPTIONS = { id: "x", width: 1120, columns: 5 };

test("parameterizations stand side by side, another axis makes rows by size", () => {
  const { rows, varying } = facets(
    `  parameterization: [supar, sp]\n  sparsity: [0, 0.5]\n  init_std: [0.1, 0.02]\n${RATES}`,
  );
  expect(varying).toEqual(["init_std"]);
  expect(rows.map((r) => r.label)).toEqual(["init_std 0.02", "init_std 0.1"]);
  expect(rows.map((r) => r.panels.map((p) => [p!.title, p!.curves.map((c) => c.sparsity)]))).toEqual([
    [
      ["SμPar", [0, 0.5]],
      ["SP", [0, 0.5]],
    ],
    [
      ["SμPar", [0, 0.5]],
      ["SP", [0, 0.5]],
    ],
  ]);
});

test("a width tied to sparsity goes into the names, not into rows", () => {
  const f = facets(
    `  parameterization: [sp, supar]\n  together: [{width: 128, sparsity: 0}, {width: 256, sparsity: 0.75}]\n${RATES}`,
  );
  expect(f.rows).toHaveLength(1);
  expect(f.sparsityLabels).toEqual(["0 · width 128", "3/4 · width 256"]);
  expect(optimaByWidth(f, OPTIONS)).toBeNull();
});

test("what follows from the parameterization stands beside its name", () => {
  const f = facets(
    `  - { parameterization: sp, init_std: 0.02, sparsity: [0, 0.5], learning_rate: { log2: { from: -10, to: -6 } } }\n  - { parameterization: supar, init_std: 0.1, sparsity: [0, 0.5], learning_rate: { log2: { from: -10, to: -6 } } }`,
  );
  expect(f.rows.map((r) => r.panels.map((p) => p!.subtitle))).toEqual([["init_std 0.02", "init_std 0.1"]]);
});

test("where width varies freely there is a figure against width, each optimum once", () => {
  const f = facets(`  parameterization: [sp, supar]\n  width: [128, 256]\n  sparsity: [0, 0.5]\n${RATES}`);
  expect(f.rows.map((r) => r.label)).toEqual(["width 128", "width 256"]);
  const optima = f.rows
    .flatMap((r) => r.panels.flatMap((p) => p!.curves.flatMap((c) => c.optimum.log2_tuned ?? [])))
    .sort();
  expect(optima.length).toBeGreaterThan(4);
  for (const figure of [
    optimaByWidth(f, OPTIONS)!,
    optimaBySparsity(f, OPTIONS)!,
    curvesFigure(f, OPTIONS)!,
  ]) {
    const drawn = parseXml(figure.svg).flatMap((e) => numberOf(e, "data-optimum") ?? []);
    expect(drawn.sort()).toEqual(optima);
  }
});

test("with a line per width, sparsity makes the rows, and each optimum is drawn once", () => {
  const { phases } = dataOf(
    `  parameterization: [sp, supar]\n  width: [256, 128]\n  sparsity: [0, 0.5]\n${RATES}`,
  );
  const f = widthFacets(phases[0]!)!;
  expect(f.lines).toEqual({ name: "width", values: [128, 256], labels: ["128", "256"] });
  expect(f.rows.map((r) => [r.label, r.panels.map((p) => p!.curves.map((c) => c.width))])).toEqual([
    [
      "sparsity 0",
      [
        [128, 256],
        [128, 256],
      ],
    ],
    [
      "sparsity 0.5",
      [
        [128, 256],
        [128, 256],
      ],
    ],
  ]);
  const optima = phases[0]!.curves.flatMap((c) => c.optimum.log2_tuned ?? []).sort();
  const drawn = parseXml(curvesFigure(f, OPTIONS)!.svg).flatMap((e) => numberOf(e, "data-optimum") ?? []);
  expect(drawn.sort()).toEqual(optima);
});

test("lines are sparsities, widths, or both in turn, as the sweep varies them", () => {
  const both = `  parameterization: supar\n  width: [128, 256]\n  sparsity: [0, 0.5]\n${RATES}`;
  expect(drawnNames(both)).toEqual(["curves", "curves-by-width", "optimum-by-sparsity", "optimum-by-width"]);
  expect(drawnNames(`  parameterization: supar\n  sparsity: [0, 0.5]\n${RATES}`)).toEqual([
    "curves",
    "optimum-by-sparsity",
  ]);
  const dense = `  parameterization: supar\n  width: [128, 256]\n${RATES}`;
  expect(drawnNames(dense)).toEqual(["curves", "optimum-by-width"]);
  const curves = drawnPhases(dataOf(dense))[0]!.figures[0]!.draw(OPTIONS)!;
  expect(curves.svg).toContain("a line for each width (128, 256)");
});

test("a parameterization without a cell leaves a gap, and the rest is drawn", () => {
  const f = facets(
    `  - { parameterization: [sp, supar], width: 128, sparsity: [0, 0.5], learning_rate: { log2: { from: -10, to: -6 } } }\n  - { parameterization: supar, width: 256, sparsity: [0, 0.5], learning_rate: { log2: { from: -10, to: -6 } } }`,
  );
  expect(f.rows.map((r) => r.panels.map((p) => p?.title ?? null))).toEqual([
    ["SP", "SμPar"],
    [null, "SμPar"],
  ]);
  const titles = parseXml(curvesFigure(f, OPTIONS)!.svg)
    .filter((e) => e.name === "tspan")
    .map((e) => e.text);
  expect(titles).toEqual(["SP", "SμPar", "SμPar"]);
});

test("panels share the axes of their row, and narrow figures stack them", () => {
  const f = facets(`  parameterization: [sp, mup, supar]\n  sparsity: [0, 0.5]\n${RATES}`);
  const frames = (columns: number, width: number) =>
    parseXml(curvesFigure(f, { id: "x", width, columns })!.svg)
      .filter((e) => e.name === "rect" && e.path.includes("clipPath"))
      .map(({ attributes: a }) => [Number(a.x), Number(a.y)]);
  const wide = frames(5, 1120);
  expect(new Set(wide.map(([, y]) => y)).size).toBe(1);
  expect(new Set(wide.map(([x]) => x)).size).toBe(3);
  const narrow = frames(1, 360);
  expect(new Set(narrow.map(([x]) => x)).size).toBe(1);
  expect(new Set(narrow.map(([, y]) => y)).size).toBe(3);
});
