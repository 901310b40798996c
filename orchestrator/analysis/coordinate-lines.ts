/** A fitted line of a coordinate check, whether it bears out its rules, and what that is in words. */
import type { Parameterization } from "../../schema/sweep/rules.ts";
import type { CoordinateAxis, FlatVerdict, Slope } from "./coordinates.ts";
import { signed } from "./signed.ts";

/** Networks of one parameterization that differ in one axis and in seed alone. */
export interface FittedLine {
  parameterization: Parameterization;
  /** The parameterization as people write it. */
  title: string;
  axis: CoordinateAxis;
  /** Whether its rules say that activations keep their size along the axis. */
  claimed: boolean;
  /** The coordinates that stay, such as {width: 256, layers: 2}. */
  at: Record<string, unknown>;
  slopes: Slope[];
  verdict: FlatVerdict;
}

/** Lines on which a parameterization's own rules are not borne out: a check passes when there is none. */
export const broken = (lines: readonly FittedLine[]): FittedLine[] =>
  lines.filter((line) => line.claimed && line.verdict !== "flat");

/** For sentences: "attention", "ffn 1". */
export const placeName = ({ module, layer }: { module: string; layer: number | null }): string =>
  `${module.replace("_", " ")}${layer === null ? "" : ` ${layer}`}`;

/** "SμPar along density (width 256, layers 2): flat" */
export function lineSentence(line: FittedLine): string {
  const at = Object.entries(line.at).map(([name, value]) => `${name} ${String(value)}`);
  const head = `${line.title} along ${line.axis} (${at.join(", ")}): ${line.verdict}`;
  const claim = line.claimed ? "" : "; its rules do not say that it would be flat";
  const off = worst(line);
  return off === undefined
    ? `${head}${line.verdict === "flat" ? "" : claim}`
    : `${head}, ${offText(off)}${claim}`;
}

/** Of those that are not flat, else of the undecided ones, the slope that is furthest from what is allowed. */
function worst({ slopes, verdict }: FittedLine): Slope | undefined {
  const distance = ({ slope, allowed_low: low, allowed_high: high }: Slope): number =>
    slope === null ? 0 : Math.max(low - slope, slope - high, 0);
  return verdict === "flat"
    ? undefined
    : slopes.filter((s) => s.verdict === verdict).toSorted((a, b) => distance(b) - distance(a))[0];
}

function offText(slope: Slope): string {
  const what = slope.quantity === "change" ? "change of " : "";
  const when = slope.step === 0 ? "in the initial network" : "in training";
  if (slope.slope === null) return `${placeName(slope)}: runs diverged or are missing`;
  const { slope_low: low, slope_high: high } = slope;
  const interval = low === null || high === null ? "one seed" : `${signed(low, 2)} to ${signed(high, 2)}`;
  return `${what}${placeName(slope)} ${when}: slope ${signed(slope.slope, 2)} (${interval})`;
}
