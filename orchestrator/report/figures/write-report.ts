/** Writes the report's files: HTML, SVG, PNG, CSV, whichever are asked for. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { MusweepError } from "../../../schema/wire/errors.ts";
import { checkFigures } from "./coordinates-figure.ts";
import { csvFiles } from "./csv.ts";
import type { FigureData } from "./data.ts";
import { type Figure, standalone } from "./frame.ts";
import { htmlReport } from "./html.ts";
import { renderPng } from "./png.ts";
import { drawnPhases, leftOut, type NamedFigure, PAGE } from "./report-figures.ts";

export interface ReportTargets {
  /** A file. */
  html?: string | undefined;
  /** Directories; made when missing, files of the same name replaced. */
  svg?: string | undefined;
  png?: string | undefined;
  csv?: string | undefined;
}

export interface Written {
  files: string[];
  /** What no figure shows, a sentence each. */
  notes: string[];
}

/** @throws MusweepError (unavailable) naming the file that cannot be written */
export async function writeReport(data: FigureData, targets: ReportTargets): Promise<Written> {
  const files: string[] = [];
  const write = (path: string, content: string | Uint8Array): void => {
    try {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, content);
    } catch (cause) {
      throw new MusweepError("report-file", `cannot write ${path}: ${(cause as Error).message}`, {
        kind: "unavailable",
        remedy: "Name a place that can be written; --html wants a file, --svg, --png and --csv a directory.",
        cause,
      });
    }
    files.push(path);
  };

  if (targets.html !== undefined) write(targets.html, htmlReport(data));
  const notes: string[] = [];
  if (targets.svg !== undefined || targets.png !== undefined) {
    const figures: { name: string; figure: Figure }[] = [];
    const add = ({ name, draw }: NamedFigure): void => {
      const figure = draw({ id: name.replace(/[^A-Za-z0-9-]/g, "-"), ...PAGE });
      if (figure !== null) figures.push({ name, figure });
    };
    checkFigures(data.answer.checks).forEach(add);
    for (const phase of drawnPhases(data)) {
      phase.figures.forEach(add);
      const missed = leftOut(phase);
      if (missed !== "") notes.push(missed);
    }
    if (figures.length === 0)
      notes.push("No figures: no curve of this sweep has more than one learning rate.");
    for (const { name, figure } of figures) {
      if (targets.svg !== undefined) write(join(targets.svg, `${name}.svg`), standalone(figure, "both"));
      if (targets.png !== undefined)
        write(join(targets.png, `${name}.png`), await renderPng(standalone(figure, "light")));
    }
  }
  if (targets.csv !== undefined)
    for (const { name, content } of csvFiles(data)) write(join(targets.csv, name), content);
  return { files, notes };
}
