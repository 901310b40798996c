/** Phases as people read them: how far each is, what it took from another, what it added to its grid, why it stopped. */

import { type Parameterization, RULES } from "../../schema/sweep/rules.ts";
import type { SearchState, TakenValue } from "../database/phases.ts";
import type { PhaseProgress, SweepProgress } from "../database/progress.ts";
import { plural } from "../terminal/format.ts";

/** A line per phase under the sweep's name; nothing for a sweep of one plain grid. A search has its lines before its first run. */
export function phaseLines({ sweep, phases }: Pick<SweepProgress, "sweep" | "phases">): string[] {
  const [only] = phases;
  const isPlain = only?.added.length === 0 && only.search === null && only.state !== "stopped";
  if (phases.length === 1 && isPlain) return [];
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
  [...takenTexts(phase.taken), ...additionTexts(phase)].map((text) => `    ${text}`);

/** What a grid has added to itself; of a search, which adds all that it has, how far it is. */
export const additionTexts = ({ search, added }: Pick<PhaseProgress, "search" | "added">): string[] =>
  search === null
    ? added.map(({ reason, points }) => `${plural(points, "point")} added, ${reason}`)
    : searchTexts(search);

/** How far a search is: what it has cost, what is decided or open, what it trains next. */
function searchTexts(search: SearchState): string[] {
  const { questions, next, stopped } = search;
  return [
    `search: ${searchSpent(search)}`,
    ...questions.map((question) => `${question.state}: ${questionText(question)}`),
    ...(stopped === null
      ? next.map(({ reason, runs }) => `next: ${plural(runs, "run")}, ${reason.replace("search: ", "")}`)
      : [`no more runs: ${stopped}`]),
  ];
}

/** "24 runs, 13% of the grid's FLOPs (budget 100%)" */
function searchSpent({ added, earlier, share, budget }: SearchState): string {
  const most = typeof budget === "number" ? plural(budget, "run") : budget;
  const before = earlier === 0 ? "" : `, ${earlier} more trained before`;
  return `${plural(added, "run")}, ${percent(share)} of the grid's FLOPs (budget ${most})${before}`;
}

/** "SμPar across width: cost at width 512" */
export const questionText = ({ axis, parameterization, says }: SearchState["questions"][number]): string =>
  `${RULES[parameterization as Parameterization].title}${axis === null ? "" : ` across ${axis}`}: ${says}`;

const percent = (share: number): string => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}%`;

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
    if (was?.search?.stopped == null && phase.search?.stopped != null)
      return [
        `Phase ${phase.name}: search ended after ${searchSpent(phase.search)}: ${phase.search.stopped}`,
      ];
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
