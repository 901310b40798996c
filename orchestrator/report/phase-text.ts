/** A random search and the confirmation of a taken learning rate, as text for the terminal. */
import { lossText } from "../analysis/loss-text.ts";
import { plural } from "../terminal/format.ts";
import { type Column, textTable } from "../terminal/table.ts";
import type { Confirmation, ConfirmationPoint, Search } from "./phase-answers.ts";

export function searchLines(searches: readonly Search[]): string[] {
  return searches.flatMap(({ title, configurations, finished, best }) => {
    const heading = `Best of ${plural(configurations, "configuration")} of ${title} (${finished} finished), by validation loss`;
    if (best.length === 0) return ["", heading, "", "none has finished"];
    const varying = Object.keys(best[0]!.coordinates).filter(
      (name) => name !== "seed" && new Set(best.map((b) => shownValue(b, name))).size > 1,
    );
    const shown = varying.length > 0 ? varying : ["learning_rate"];
    return [
      "",
      heading,
      "",
      textTable<Search["best"][number]>(
        [
          { title: "loss", align: "right", value: (b) => lossText(b.loss, 3) },
          ...shown.map((name) => ({
            title: name,
            align: "right" as const,
            value: (b: Search["best"][number]) => shownValue(b, name),
          })),
        ],
        best,
      ),
    ];
  });
}

const shownValue = ({ coordinates }: Search["best"][number], name: string): string =>
  String((coordinates as Record<string, unknown>)[name]);

export function confirmationLines(rows: readonly Confirmation[]): string[] {
  if (rows.length === 0) return [];
  const sources = [...new Set(rows.map((r) => r.from))].join(", ");
  return [
    "",
    `Validation loss at multiples of the learning rate taken from ${sources} (* the lowest), and what the rate as taken costs beside it`,
    "",
    textTable(columns(rows), [...rows]),
    "",
    ...[...new Set(rows.map((r) => r.title))].map((title) =>
      sentence(
        title,
        rows.filter((r) => r.title === title),
      ),
    ),
  ];
}

function columns(rows: readonly Confirmation[]): Column<Confirmation>[] {
  const varying = (value: (row: Confirmation) => unknown): boolean =>
    new Set(rows.map((row) => JSON.stringify(value(row)))).size > 1;
  const others = [...new Set(rows.flatMap((row) => Object.keys(row.other)))].filter((name) =>
    varying((row) => row.other[name]),
  );
  const multiples = [...new Set(rows.flatMap((row) => row.points.map((p) => p.multiple)))].sort(
    (a, b) => a - b,
  );
  return [
    { title: "param.", value: (r) => r.title },
    { title: "width", align: "right", value: (r) => String(r.width) },
    ...(varying((r) => r.layers)
      ? [{ title: "layers", align: "right" as const, value: (r: Confirmation) => String(r.layers) }]
      : []),
    ...others.map((name) => ({
      title: name,
      align: "right" as const,
      value: (r: Confirmation) => String(r.other[name] ?? ""),
    })),
    { title: "sparsity", align: "right", value: (r) => String(r.sparsity) },
    { title: "log2 LR taken", align: "right", value: (r) => Math.log2(r.learning_rate).toFixed(2) },
    ...multiples.map((multiple) => ({
      title: times(multiple),
      align: "right" as const,
      value: (r: Confirmation) =>
        lossCell(
          r.points.find((p) => p.multiple === multiple),
          r.best,
        ),
    })),
    { title: "cost of ×1", align: "right", value: costCell },
  ];
}

/** "×½", "×1", "×2" */
const times = (multiple: number): string => `×${multiple === 0.5 ? "½" : Number(multiple.toPrecision(3))}`;

function lossCell(point: ConfirmationPoint | undefined, best: number | null): string {
  if (point === undefined) return "";
  if (point.diverged) return "diverged ";
  return `${point.loss === null ? "–" : lossText(point.loss, 3)}${point.loss !== null && point.multiple === best ? "*" : " "}`;
}

function costCell({ cost_per_cent, points }: Confirmation): string {
  if (cost_per_cent !== null) return `${cost_per_cent.toFixed(1)}%`;
  return points.some((p) => p.multiple === 1 && p.diverged) ? "diverges" : "?";
}

/** "SμPar: the rate taken from proxy is the best one tried in 3 of 4 cells; it costs at most 0.4%, at width 128, sparsity 0.75 (×2 is better)" */
function sentence(title: string, rows: readonly Confirmation[]): string {
  const diverging = rows.filter((r) => r.points.some((p) => p.multiple === 1 && p.diverged));
  const known = rows.flatMap((r) => (r.cost_per_cent === null ? [] : [{ ...r, cost: r.cost_per_cent }]));
  const best = known.filter((r) => r.cost === 0);
  const worst = known.toSorted((a, b) => b.cost - a.cost)[0];
  const parts = [`the rate taken is the best one tried in ${best.length} of ${plural(rows.length, "cell")}`];
  if (worst !== undefined && worst.cost > 0)
    parts.push(
      `it costs ${worst.cost.toFixed(1)}% loss ${known.length - best.length > 1 ? "at most, " : ""}at ${place(worst)}, where ${times(worst.best!)} is better`,
    );
  if (diverging.length > 0) parts.push(`it diverges at ${diverging.map(place).join("; ")}`);
  if (known.length + diverging.length < rows.length) parts.push("the rest is not known yet");
  return `${title}: ${parts.join("; ")}`;
}

const place = (r: Confirmation): string =>
  [
    `width ${r.width}`,
    ...Object.entries(r.other).map(([name, value]) => `${name} ${String(value)}`),
    `sparsity ${r.sparsity}`,
  ].join(", ");
