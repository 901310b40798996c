/**
 * What a phase takes from an earlier one that is decided: the fitted optimum of a curve over what is taken, or the best
 * configuration of a random search.
 */
import type { TakenName } from "../../schema/sweep/hyperparameters.ts";
import { type Parameterization, RULES } from "../../schema/sweep/rules.ts";
import type { Phase } from "../../schema/sweep/sweep.ts";
import { explainFlag } from "../analysis/flags.ts";
import { lossText } from "../analysis/loss-text.ts";
import type { Optimum } from "../analysis/types.ts";
import { rankConfigurations } from "../database/configurations.ts";
import { readOptima } from "../database/curves.ts";
import type { Database } from "../database/open.ts";
import type { StoredPhase, TakenValue } from "../database/phases.ts";
import { conditions, matches } from "../sweep/check-taken.ts";
import { type Coordinates, tunedOf } from "../sweep/expand-sweep.ts";
import { showPath } from "../sweep/problems.ts";
import { isRandomSearch, type TakenAxis, takenAxes } from "../sweep/taken-axes.ts";

/** A value, or in words why there is none. */
type Found = { value: number; how: string } | { problem: string };

/**
 * Every value that the phase takes, from sources whose runs have all ended.
 * @returns the problem in words when one of them cannot be taken
 */
export function takeValues(
  db: Database,
  phase: Phase,
  sources: ReadonlyMap<string, StoredPhase>,
): TakenValue[] | { problem: string } {
  const values: TakenValue[] = [];
  for (const axis of takenAxes(phase.axes)) {
    const source = sources.get(axis.taken.from)!;
    for (const parameterization of axis.parameterizations) {
      const found = findValue(db, axis, parameterization, source, phase.allow_unbracketed);
      if ("problem" in found) return found;
      values.push({
        name: axis.name,
        axis: showPath(axis.path),
        parameterization,
        from: source.name,
        ...found,
      });
    }
  }
  return values;
}

function findValue(
  db: Database,
  axis: TakenAxis,
  parameterization: Parameterization,
  source: StoredPhase,
  allowUnbracketed: boolean,
): Found {
  const wanted = { parameterization, ...conditions(axis.taken.at) };
  const place = [
    `${RULES[wanted.parameterization].title} in phase ${source.name}`,
    ...Object.entries(wanted)
      .filter(([name]) => name !== "parameterization")
      .map(([name, value]) => `${name} ${value}`),
  ].join(", ");
  return axis.name === tunedOf(source.definition.phase) && !isRandomSearch(source.definition.phase.axes)
    ? optimalValue(db, source, wanted, place, allowUnbracketed)
    : bestConfiguration(db, source.id, wanted, place, axis.name);
}

/** To be readable and to copy. */
const rounded = (value: number): number => Number(value.toPrecision(6));

function optimalValue(
  db: Database,
  { id, tuned, definition }: StoredPhase,
  wanted: Partial<Coordinates>,
  place: string,
  allowUnbracketed: boolean,
): Found {
  // The sweep file was checked to name one curve.
  const found = [...readOptima(db, id)].find(([curve]) => matches(JSON.parse(curve) as Coordinates, wanted));
  const optimum: Optimum | undefined = found?.[1];
  if (optimum?.log2_tuned != null) {
    const { log2_tuned, log2_tuned_low: low, log2_tuned_high: high } = optimum;
    return {
      value: rounded(2 ** log2_tuned),
      how: `optimum of ${place}: 2^${log2_tuned.toFixed(2)} (2^${low!.toFixed(2)} to 2^${high!.toFixed(2)})`,
    };
  }
  const searched = definition.phase.search !== undefined;
  const flag =
    optimum === undefined
      ? "it has no runs"
      : `${optimum.flag}: ${explainFlag(optimum, { tuned, searched })}`;
  if (allowUnbracketed && optimum?.grid_log2_tuned != null)
    return {
      value: 2 ** optimum.grid_log2_tuned,
      how: `best of the grid of ${place}: 2^${optimum.grid_log2_tuned.toFixed(2)}, NOT BRACKETED (${flag})`,
    };
  return {
    problem: `the optimum of ${place} is not bracketed (${flag}); give that phase ${searched ? "a larger budget" : "a wider grid or `extend`"}, or this one \`allow_unbracketed: true\`, and submit the file again`,
  };
}

/** The lowest validation loss among configurations all of whose seeds have finished. */
function bestConfiguration(
  db: Database,
  phaseId: number,
  wanted: Partial<Coordinates> & { parameterization: Parameterization },
  place: string,
  name: TakenName,
): Found {
  const among = rankConfigurations(db, phaseId, wanted.parameterization).filter((c) =>
    matches(c.coordinates, wanted),
  );
  const best = among[0];
  const value = best?.coordinates[name];
  if (best === undefined || best.loss === null || typeof value !== "number")
    return { problem: `no configuration of ${place} has finished` };
  return { value, how: `best of ${among.length} configurations of ${place}: loss ${lossText(best.loss, 3)}` };
}
