/** Phases as people read them: how far each is, what it took from another, what it added to its grid, why it stopped. */

import type { TakenValue } from "../database/phases.ts";
import type { PhaseProgress, SweepProgress } from "../database/progress.ts";
import { RULES } from "../parameterization/rules.ts";
import { plural } from "./format.ts";

/** A line per phase under the sweep's name; nothing for a sweep of one plain grid. */
export function phaseLines({ sweep, phases }: Pick<SweepProgress, "sweep" | "phases">): string[] {
  if (phases.length === 1 && phases[0]!.added.length === 0 && phases[0]!.state !== "stopped") return [];
  return [
    `Phases of ${sweep}:`,
    ...phases.flatMap((phase) => [`  ${phase.name}: ${stateText(phase)}`, ...detailLines(phase)]),
  ];
}

function stateText({ state, reason, points }: PhaseProgress): string {
  switch (state) {
    case "waiting":
      return "waiting for an earlier phase";
    case "stopped":
      return `STOPPED: ${reason}`;
    case "active":
    case "complete":
      return `${state}, ${plural(points, "grid point")}`;
  }
}

const detailLines = (phase: PhaseProgress): string[] =>
  [
    ...takenTexts(phase.taken),
    ...phase.added.map(({ reason, points }) => `${plural(points, "point")} added, ${reason}`),
  ].map((text) => `    ${text}`);

/** "SμPar learning_rate 0.0044 = 2^-7.83: optimum of …" */
export const takenTexts = (taken: readonly TakenValue[]): string[] =>
  taken.map(({ name, parameterization, value, how }) => {
    const power = name === "learning_rate" ? ` = 2^${Math.log2(value).toFixed(2)}` : "";
    return `${RULES[parameterization].title} ${name} ${Number(value.toPrecision(4))}${power}: ${how}`;
  });

/** What has happened to the phases between two looks, for a person who watches. */
export function phaseNews(before: SweepProgress, now: SweepProgress): string[] {
  return now.phases.flatMap((phase, i) => {
    const was = before.phases[i];
    if (was === undefined || (was.state === phase.state && was.points === phase.points)) return [];
    if (was.state === "waiting" && phase.state === "stopped")
      return [`Phase ${phase.name} stopped: ${phase.reason}`];
    if (was.taken.length === 0 && phase.taken.length > 0)
      return [`Phase ${phase.name} starts with`, ...takenTexts(phase.taken).map((text) => `  ${text}`)];
    const known = new Map(was.added.map(({ reason, points }) => [reason, points]));
    return phase.added
      .map(({ reason, points }) => ({ reason, points: points - (known.get(reason) ?? 0) }))
      .filter(({ points }) => points > 0)
      .map(({ reason, points }) => `Phase ${phase.name}: ${plural(points, "point")} added, ${reason}`);
  });
}
