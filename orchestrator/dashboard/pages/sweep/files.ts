/** What can be taken away from a sweep's page: its numbers, its figures, its report. */

import { checkFigures } from "../../../report/figures/coordinates-figure.ts";
import { CSV_NAMES, csvFiles } from "../../../report/figures/csv.ts";
import type { FigureData } from "../../../report/figures/data.ts";
import { standalone } from "../../../report/figures/frame.ts";
import { htmlReport } from "../../../report/figures/html.ts";
import { renderPng } from "../../../report/figures/png.ts";
import { drawnPhases, type NamedFigure, PAGE } from "../../../report/figures/report-figures.ts";
import { sweepPath } from "../../components.ts";
import { type Html, html } from "../../html.ts";

export interface Download {
  type: string;
  content: string | Uint8Array<ArrayBuffer>;
}

const JSON_TYPE = "application/json; charset=utf-8";

const figuresOf = (data: FigureData): NamedFigure[] => [
  ...checkFigures(data.answer.checks),
  ...drawnPhases(data).flatMap((phase) => phase.figures),
];

/** @returns null when there is no such file */
export async function readDownload(name: string, data: FigureData): Promise<Download | null> {
  if (name === "report.html") return { type: "text/html; charset=utf-8", content: htmlReport(data) };
  if (name === "report.json") return { type: JSON_TYPE, content: JSON.stringify(data.answer, null, 2) };
  const csv = CSV_NAMES.some((known) => known === name)
    ? csvFiles(data).find((file) => file.name === name)
    : undefined;
  if (csv !== undefined) return { type: "text/csv; charset=utf-8", content: csv.content };
  for (const figure of figuresOf(data)) {
    const kind = name === `${figure.name}.svg` ? "svg" : name === `${figure.name}.png` ? "png" : undefined;
    if (kind === undefined) continue;
    const drawn = figure.draw({ id: figure.name.replace(/[^A-Za-z0-9-]/g, "-"), ...PAGE });
    if (drawn === null) return null;
    if (kind === "svg") return { type: "image/svg+xml; charset=utf-8", content: standalone(drawn, "both") };
    return { type: "image/png", content: new Uint8Array(await renderPng(standalone(drawn, "light"))) };
  }
  return null;
}

/** In turns: it has to draw what may turn out to be nothing. */
export function* fileList(sweep: string, data: FigureData): Generator<void, Html> {
  const figures: string[] = [];
  for (const { draw, name } of figuresOf(data)) {
    yield;
    if (draw({ id: "x", ...PAGE }) !== null) figures.push(name);
  }
  const link = (name: string): Html => html`<a href="${sweepPath(sweep)}/files/${name}" download>${name}</a>`;
  const group = (title: string, names: readonly string[]): Html | "" =>
    names.length === 0 ? "" : html`<div><dt>${title}</dt><dd>${names.map(link)}</dd></div>`;
  return html`<dl class="files">
${group("Report", ["report.html", "report.json"])}
${group("Tables", CSV_NAMES)}
${group(
  "Figures",
  figures.map((name) => `${name}.svg`),
)}
${group(
  "Pictures",
  figures.map((name) => `${name}.png`),
)}
${group("Sweep file", ["sweep.yaml"])}
</dl>`;
}
