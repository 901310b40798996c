/** A coordinate check as text for the terminal: a row per module, a sentence per line, and what it cannot see. */

import { broken, type FittedLine, lineSentence, placeName } from "../analysis/coordinate-lines.ts";
import type { Slope } from "../analysis/coordinates.ts";
import { signed } from "../analysis/signed.ts";
import { textTable } from "../terminal/table.ts";
import type { CoordinateAnswer } from "./coordinate-answer.ts";

/** Printed wherever a verdict is. */
export const BLIND_SPOTS =
  "A coordinate check does not see weight decay that follows a wrong rule, nor anything after its last step: only curves of loss against learning rate do.";

/** A module on a line, with its slopes. */
export interface SlopeRow {
  line: FittedLine;
  slopes: Slope[];
}

/** The three judged slopes of a module. */
export const JUDGED = [
  { title: "initial", is: (s: Slope) => s.quantity === "size" && s.step === 0 },
  { title: "in training", is: (s: Slope) => s.quantity === "size" && s.step === null },
  { title: "change", is: (s: Slope) => s.quantity === "change" && s.step === null },
] as const;

export function coordinateLines(check: CoordinateAnswer): string[] {
  if (check.passed === null) return ["", "Coordinate check: slopes are known when every run has ended."];
  return [
    "",
    `Octaves of mean |activation| per octave of the axis, 95% interval: of the initial network, as the mean over steps 1 to ${check.steps}, and of what these steps have changed`,
    `(* not flat: beyond what theory allows by more than ${check.tolerance}; ? inconclusive)`,
    "",
    textTable<SlopeRow>(
      [
        { title: "param.", value: ({ line }) => line.title },
        { title: "along", value: ({ line }) => line.axis },
        { title: "module", value: ({ slopes }) => placeName(slopes[0]!) },
        ...JUDGED.map(({ title, is }) => ({
          title,
          align: "right" as const,
          value: ({ slopes }: SlopeRow) => slopeCell(slopes.find(is)),
        })),
        { title: "allowed", align: "right", value: ({ slopes }) => allowedCell(slopes) },
      ],
      slopeRows(check),
    ),
    "",
    ...check.lines.map(lineSentence),
    "",
    passedSentence(check),
    BLIND_SPOTS,
  ];
}

export const slopeRows = ({ lines }: CoordinateAnswer): SlopeRow[] =>
  lines.flatMap((line) => {
    const places = new Set(line.slopes.map(placeName));
    return [...places].map((place) => ({
      line,
      slopes: line.slopes.filter((slope) => placeName(slope) === place),
    }));
  });

/** "-0.05 ±0.09 ", "+1.60 ±0.01*" */
export function slopeCell(slope: Slope | undefined): string {
  if (slope?.slope == null) return "– ";
  const { slope: value, slope_high: high, verdict } = slope;
  const half = high === null ? "" : ` ±${(high - value).toFixed(2)}`;
  return `${signed(value, 2)}${half}${verdict === "not flat" ? "*" : verdict === "inconclusive" ? "?" : " "}`;
}

export function allowedCell(slopes: readonly Slope[]): string {
  const ranges = JUDGED.slice(0, 2).flatMap(({ is }) => slopes.find(is) ?? []);
  const texts = ranges.map(({ allowed_low: low, allowed_high: high }) =>
    low === high ? String(low) : `${low} to ${high}`,
  );
  return [...new Set(texts)].join(", then ");
}

function passedSentence({ lines, passed }: CoordinateAnswer): string {
  const claimed = lines.filter((line) => line.claimed);
  if (claimed.length === 0) return "Nothing here claims to be flat: there is nothing to pass.";
  if (passed) return "PASSED: flat wherever the parameterizations' rules say so.";
  const undecided = broken(lines).every((line) => line.verdict === "inconclusive");
  return undecided
    ? "NOT PASSED: inconclusive; more seeds would narrow the intervals, larger widths would lessen what few weights per neuron do."
    : "NOT PASSED: not flat where the rules say it would be.";
}
