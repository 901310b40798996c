/**
 * What several optima of a phase say together, stored beside them: drift, regret and verdict along every axis that the phase
 * asks about, exponents, and how far each loss lies above the best parameterization's. Part of refreshing the optima.
 */
import type Sqlite from "better-sqlite3";
import type { TakenName } from "../../schema/axes.ts";
import type { Parameterization } from "../../schema/hyperparameters.ts";
import { exponents } from "../analysis/exponents.ts";
import {
  AXES,
  type Axis,
  type CurveCoordinates,
  coordinatesOf,
  freeCoordinates,
  type Group,
  groupBy,
  groupsAlong,
  samePlaces,
} from "../analysis/groups.ts";
import { aboveBest } from "../analysis/level.ts";
import type { Bounded, Noise, Optimum } from "../analysis/types.ts";
import { verdict } from "../analysis/verdict.ts";
import { RULES } from "../parameterization/rules.ts";
import { isSearch } from "../sweep/taken-axes.ts";
import { readOptima, readSomeCurves } from "./curves.ts";
import type { Definition } from "./phases.ts";

interface Refit {
  /** Curves that have been fitted again. */
  changed: ReadonlySet<string>;
  /** The phase has other curves than before. */
  regroup: boolean;
  /** Pooled over the phase. */
  noise: Noise | null;
}

interface Fitted {
  curve: string;
  coordinates: CurveCoordinates;
  optimum: Optimum;
}

export function refreshTransfer(sqlite: Sqlite.Database, phase: number, refit: Refit): void {
  if (refit.regroup)
    for (const table of ["curve_transfer", "verdicts", "phase_exponents"])
      sqlite.prepare(`DELETE FROM ${table} WHERE phase_id = ?`).run(phase);
  const { tuned, definition } = sqlite
    .prepare<[number], { tuned: TakenName; definition: string }>(
      "SELECT tuned, definition FROM phases WHERE id = ?",
    )
    .get(phase)!;
  const axes = (JSON.parse(definition) as Partial<Definition>).phase?.axes;
  // The configurations of a random search have a single learning rate each: nothing to compare.
  if (axes !== undefined && isSearch(axes)) return;
  const curves = [...readOptima(sqlite, phase)].map(
    ([curve, optimum]): Fitted => ({ curve, coordinates: coordinatesOf(curve), optimum }),
  );
  const touched = ({ members }: { members: readonly Fitted[] }): boolean =>
    members.length > 1 && (refit.regroup || members.some(({ curve }) => refit.changed.has(curve)));

  const judge = judgement(sqlite, phase, tuned, refit.noise);
  for (const axis of AXES) for (const group of groupsAlong(axis, curves).filter(touched)) judge(axis, group);

  const writeExponents = exponentsWriter(sqlite, phase);
  const free = freeCoordinates(
    curves.map((c) => c.coordinates),
    ["width", "density"],
  );
  for (const group of groupBy(curves, ["parameterization", ...free]).filter(touched)) writeExponents(group);

  const setLevel = sqlite.prepare(
    "UPDATE curve_optima SET per_cent_above_best = ? WHERE phase_id = ? AND curve = ?",
  );
  const places = samePlaces(curves).filter(
    ({ members }) => refit.regroup || members.some(({ curve }) => refit.changed.has(curve)),
  );
  for (const { members } of places) {
    const above = aboveBest(members.map(({ optimum }) => optimum));
    for (const [i, { curve }] of members.entries()) setLevel.run(above[i], phase, curve);
  }
}

function judgement(sqlite: Sqlite.Database, phase: number, tuned: TakenName, noise: Noise | null) {
  const writeCell = sqlite.prepare(
    `INSERT OR REPLACE INTO curve_transfer VALUES (@phase, @axis, @curve, @base,
       @drift, @drift_low, @drift_high, @drift_low_90, @drift_high_90, @verdict,
       @regret_state, @regret_nats, @regret_nats_low, @regret_nats_high,
       @regret_per_cent, @regret_per_cent_low, @regret_per_cent_high)`,
  );
  const writeVerdict = sqlite.prepare(
    `INSERT OR REPLACE INTO verdicts (phase_id, axis, base, parameterization, place, verdict, margin, within, more_seeds,
       open, sentence)
     VALUES (@phase, @axis, @base, @parameterization, @place, @verdict, @margin, @within, @more_seeds, @open, @sentence)`,
  );
  return (axis: Axis, { members, tied, shared }: Group<Fitted>): void => {
    const read = readSomeCurves(
      sqlite,
      phase,
      members.map(({ curve }) => curve),
    );
    const cells = members.map((member) => ({ ...member, curve: read.get(member.curve)!.input }));
    const open = [...read.values()].reduce((sum, curve) => sum + curve.open, 0);
    const judged = verdict(cells, cells[0]!, { axis, tied, tuned, noise: noise ?? undefined, open });
    const base = members[0].curve;
    const { parameterization, ...place } = shared;
    const { cells: _, ...together } = judged;
    writeVerdict.run({ phase, axis, base, parameterization, place: JSON.stringify(place), ...together });
    for (const [i, { drift, regret, verdict }] of judged.cells.entries())
      writeCell.run({
        phase,
        axis,
        curve: members[i + 1]!.curve,
        base,
        verdict,
        ...columns("drift", drift),
        drift_low_90: drift.low_90,
        drift_high_90: drift.high_90,
        regret_state: regret.state,
        ...columns("regret_nats", regret.nats),
        ...columns("regret_per_cent", regret.per_cent),
      });
  };
}

function exponentsWriter(sqlite: Sqlite.Database, phase: number) {
  const write = sqlite.prepare(
    `INSERT OR REPLACE INTO phase_exponents (phase_id, parameterization, place, intercept, intercept_low, intercept_high,
       width, width_low, width_high, width_theory, density, density_low, density_high, density_theory, used, left_out)
     VALUES (@phase, @parameterization, @place, @intercept, @intercept_low, @intercept_high,
       @width, @width_low, @width_high, @width_theory, @density, @density_low, @density_high, @density_theory, @used, @left_out)`,
  );
  const unknown: Bounded = { estimate: null, low: null, high: null };
  return ({ members, shared }: Omit<Group<Fitted>, "tied">): void => {
    const { parameterization, ...place } = shared;
    const law = exponents(members);
    const { keeps } = RULES[parameterization as Parameterization];
    write.run({
      phase,
      parameterization,
      place: JSON.stringify(place),
      ...columns("intercept", law.intercept),
      ...columns("width", law.width ?? unknown),
      width_theory: keeps.includes("width") ? 0 : null,
      ...columns("density", law.density ?? unknown),
      density_theory: keeps.includes("density") ? 0 : null,
      used: law.used,
      left_out: law.left_out,
    });
  };
}

const columns = (name: string, { estimate, low, high }: Bounded): Record<string, number | null> => ({
  [name]: estimate,
  [`${name}_low`]: low,
  [`${name}_high`]: high,
});
