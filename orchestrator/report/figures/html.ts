/**
 * The report as one HTML file: sentences, figures, tables. Nothing is fetched, nothing runs; it follows the reader's choice of
 * light or dark, narrow screens get the figures with their panels below one another, and paper gets the light colours.
 */
import { lineSentence } from "../../analysis/coordinate-lines.ts";
import { unfinished } from "../../database/progress.ts";
import { plural } from "../../terminal/format.ts";
import { type Answer, axesBesideDensity, sayings, tunedNames } from "../answer.ts";
import { BLIND_SPOTS } from "../coordinate-text.ts";
import type { Trained } from "../trained.ts";
import { checkFigures, seriesOf } from "./coordinates-figure.ts";
import type { LinkOf } from "./curve-marks.ts";
import type { FigureData } from "./data.ts";
import { element, type Markup, ownMarkup, text } from "./markup.ts";
import { type DrawnPhase, drawnPhases, leftOut, type NamedFigure, PAGE } from "./report-figures.ts";
import {
  axisExponentsTable,
  exponentsTable,
  levelTable,
  optimumTable,
  pointsTable,
  regretTable,
  slopesTable,
  transferTable,
} from "./tables.ts";
import { COLOURS, FONTS, styleSheet, type Theme } from "./theme.ts";

const NARROW = { width: 352, columns: 1 };
const FAILURES_SHOWN = 10;

export function htmlReport(data: FigureData): string {
  const phases = drawnPhases(data);
  const { sweep } = data.answer.progress;
  const page = element(
    "html",
    { lang: "en" },
    element(
      "head",
      {},
      element("meta", { charset: "utf-8" }),
      element("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }),
      element("meta", { name: "color-scheme", content: "light dark" }),
      // The browser itself refuses whatever would be fetched or run.
      element("meta", {
        "http-equiv": "Content-Security-Policy",
        content: "default-src 'none'; style-src 'unsafe-inline'",
      }),
      element("title", {}, text(`${sweep} – musweep report`)),
      element(
        "style",
        {},
        ownMarkup(
          `\n${PAGE_STYLE}\n${styleSheet(
            [...phases.flatMap((p) => p.series), ...data.answer.checks.map(seriesOf)],
            "both",
          )}\n`,
        ),
      ),
    ),
    element(
      "body",
      {},
      element(
        "main",
        {},
        element("h1", {}, text(sweep)),
        summary(data.answer),
        checks(data.answer),
        phases.length === 0 ? [] : verdicts(data.answer),
        phases.flatMap((phase, i) => section(phase, data.answer, i, phases.length > 1)),
        trained(data.trained),
        failures(data.answer),
        element(
          "footer",
          {},
          text(
            `Learning rates are base rates, before the parameterization's multipliers; differences are octaves (factors of 2). ${lossText(phases.map(({ phase }) => phase.unit))}A bound is not an estimate: the optimum lies beyond it. Diverged runs are results and are shown.`,
          ),
        ),
      ),
    ),
  );
  return `<!DOCTYPE html>\n${page}\n`;
}

/** Who has only this page knows by it what the numbers are of. */
export const trained = (lists: readonly Trained[]): Markup[] => [
  element("h2", { id: "trained" }, text("What was trained")),
  ...lists.flatMap(({ phase, facts }) => [
    ...(phase === null ? [] : [element("h3", {}, text(`Phase ${phase}`))]),
    element(
      "dl",
      { class: "trained" },
      facts.flatMap(({ name, value }) =>
        element("div", {}, element("dt", {}, text(name)), element("dd", {}, text(value))),
      ),
    ),
  ]),
];

/** What all losses are in, where that is known. */
const lossText = (units: readonly string[]): string =>
  units.includes("") ? "" : "Losses are nats per token. ";

function summary({ progress }: Answer): Markup {
  const { by_state: states } = progress;
  const parts = [
    plural(progress.points, "grid point"),
    `${plural(states.finished, "run")} finished`,
    `${states.diverged} diverged`,
    ...(states.failed > 0 ? [`${states.failed} failed`] : []),
    ...(states.cancelled > 0 ? [`${states.cancelled} cancelled`] : []),
  ];
  const left = unfinished(progress);
  return element(
    "p",
    { class: "summary" },
    text(`${parts.join(", ")}.`),
    left === 0
      ? []
      : [text(" "), element("strong", {}, text(`Incomplete: ${plural(left, "run")} still to train.`))],
  );
}

function verdicts({ verdicts, rows }: Answer): Markup {
  return element(
    "section",
    { "aria-labelledby": "verdicts" },
    element("h2", { id: "verdicts" }, text(`Does the optimal ${tunedNames(rows)} transfer?`)),
    verdicts.length === 0
      ? element("p", {}, text("Nothing to compare: no two curves differ in sparsity, width or layers alone."))
      : element(
          "ul",
          { class: "verdicts" },
          sayings(verdicts).map((v) =>
            element(
              "li",
              { class: v.verdict },
              element("strong", {}, text(v.title)),
              text(`${v.place}: ${v.sentence}.`),
            ),
          ),
        ),
  );
}

function section(drawn: DrawnPhase, answer: Answer, i: number, named: boolean): Markup[] {
  const { phase, facets, figures } = drawn;
  const id = (name: string): string => `${name}-${i}`;
  const missed = leftOut(drawn);
  const tables = [
    optimumTable(id("optima"), facets, phase.curves),
    regretTable(id("regret"), facets),
    ...axesBesideDensity(answer.transfer, phase.name).flatMap((axis, j) => {
      const rows = answer.transfer.filter((t) => t.phase === phase.name && t.axis === axis);
      return [
        transferTable(id(`axis-${j}`), axis, rows, facets),
        axisExponentsTable(id(`axis-${j}-exponents`), axis, rows, facets),
      ];
    }),
    exponentsTable(
      id("exponents"),
      answer.exponents.filter((e) => e.phase === phase.name),
      facets,
    ),
    levelTable(id("level"), facets),
  ].filter((t) => t !== null);
  const points = pointsTable(id("points"), facets, phase.curves);
  return [
    element("h2", {}, text(named ? `Figures: ${phase.name}` : "Figures")),
    ...figures.flatMap((figure) => drawTwice(figure, id(figure.name.replace(/[^a-z-]/g, "")))),
    ...(missed === "" ? [] : [element("p", { class: "note" }, text(missed))]),
    element("h2", {}, text(named ? `Tables: ${phase.name}` : "Tables")),
    ...tables,
    element("details", {}, element("summary", {}, text("Every point of the curves")), points),
  ];
}

function checks({ checks }: Answer): Markup[] {
  if (checks.length === 0) return [];
  return [
    element("h2", {}, text("Do activations keep their size?")),
    ...checks.flatMap((check) => [
      element(
        "ul",
        { class: "verdicts" },
        check.lines.map((one) => element("li", {}, text(`${lineSentence(one)}.`))),
      ),
      element("p", { class: "note" }, text(BLIND_SPOTS)),
    ]),
    ...checkFigures(checks).flatMap((figure) => drawTwice(figure, figure.name)),
    ...checks.map((check, i) => slopesTable(`slopes-${i}`, check)),
  ];
}

/** For wide and for narrow screens; the style sheet shows one of them. */
export function drawTwice({ caption, draw }: NamedFigure, id: string, linkOf?: LinkOf): Markup[] {
  const wide = draw({ id, ...PAGE, linkOf });
  const narrow = draw({ id: `${id}-narrow`, ...NARROW, linkOf });
  if (wide === null || narrow === null) return [];
  return [
    element(
      "figure",
      {},
      element("div", { class: "scroll wide" }, wide.svg),
      // One that is wider than its page can be scrolled by keyboard.
      element(
        "div",
        { class: "scroll narrow", tabindex: narrow.width > NARROW.width ? 0 : null },
        narrow.svg,
      ),
      element("figcaption", {}, text(caption)),
    ),
  ];
}

function failures({ failures }: Answer): Markup[] {
  if (failures.length === 0) return [];
  return [
    element("h2", {}, text("Failed runs")),
    element(
      "ul",
      {},
      failures
        .slice(0, FAILURES_SHOWN)
        .map(({ error, runs }) => element("li", {}, text(`${plural(runs, "run")}: ${error}`))),
    ),
  ];
}

const variables = (theme: Theme): string => {
  const { background, text: ink, muted, grid, axis } = COLOURS[theme];
  return `--paper: ${background}; --ink: ${ink}; --muted: ${muted}; --line: ${grid}; --edge: ${axis};`;
};

const PAGE_STYLE = `:root { ${variables("light")} }
@media screen and (prefers-color-scheme: dark) { :root { ${variables("dark")} } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 ${FONTS}; }
main { max-width: 1168px; margin: 0 auto; padding: 24px; }
h1 { font-size: 24px; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 32px 0 8px; }
.summary, figcaption, footer, .note, caption { color: var(--muted); }
.verdicts { padding-left: 20px; margin: 0; overflow-wrap: anywhere; }
.verdicts li { margin: 4px 0; max-width: 90ch; }
figure { margin: 0 0 28px; }
figcaption { font-size: 13px; max-width: 90ch; margin-top: 4px; }
.trained { margin: 8px 0; display: grid; gap: 4px; max-width: 90ch; }
.trained div { display: grid; grid-template-columns: 12ch 1fr; gap: 12px; }
.trained dt { color: var(--muted); }
.trained dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid var(--edge); outline-offset: 2px; }
svg { display: block; }
.narrow { display: none; }
table { border-collapse: collapse; font-size: 13px; margin: 8px 0 24px; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 4px 0 8px; }
caption span { display: block; position: sticky; left: 0; max-width: min(90ch, calc(100vw - 40px)); }
th, td { padding: 4px 10px; text-align: left; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child { padding-left: 0; }
thead th { border-bottom-color: var(--edge); font-weight: bold; }
tbody th { font-weight: normal; }
.number { text-align: right; }
td.words { white-space: normal; min-width: 24ch; }
details { margin: 8px 0; }
summary { cursor: pointer; }
footer { margin-top: 32px; font-size: 13px; max-width: 90ch; border-top: 1px solid var(--line); padding-top: 12px; }
@media screen and (max-width: 720px) {
  main { padding: 16px; }
  .wide { display: none; }
  .narrow { display: block; }
}
@media print {
  @page { margin: 12mm; }
  main { max-width: none; padding: 0; }
  body { font-size: 10pt; }
  svg { max-width: 100%; height: auto; }
  figure, tr, li { break-inside: avoid; }
  h2 { break-after: avoid; }
  thead { display: table-header-group; }
  table { font-size: 7.5pt; }
  figcaption, footer { font-size: 8.5pt; }
  th, td { padding: 2px 6px; }
  .scroll { overflow: visible; }
}`;
