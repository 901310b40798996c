/**
 * What several optima of a phase say together, stored beside them: drift, regret and verdict along every axis that the phase
 * asks about, exponents, and how far each loss lies above the best parameterization's. Part of refreshing the optima.
 */
import { createHash } from "node:crypto";
import { and, asc, eq } from "drizzle-orm";
import { curveOptima, curveTransfer, phaseExponents, verdicts } from "../../schema/database/tables.ts";
import { type Parameterization, RULES } from "../../schema/sweep/rules.ts";
import { exponentAlong, exponents } from "../analysis/exponents.ts";
import {
  axesOf,
  type CurveCoordinates,
  coordinatesOf,
  freeCoordinates,
  type Group,
  groupBy,
  groupsAlong,
  samePlaces,
} from "../analysis/groups.ts";
import { aboveBest } from "../analysis/level.ts";
import type { Bounded, Cell, Noise, Optimum, Verdict } from "../analysis/types.ts";
import {
  type Question,
  questionOf,
  type VerdictOptions,
  verdict,
  verdictInTurns,
} from "../analysis/verdict.ts";
import { isRandomSearch } from "../sweep/taken-axes.ts";
import { type Database, given, prepared, putRow } from "./connection.ts";
import {
  type PhaseCurves,
  readOptima,
  readSomeCurves,
  readStoredFits,
  type StoredCurve,
  setLevel,
} from "./curves.ts";
import { readPhase } from "./phases.ts";
import { untrainedCurves } from "./untrained-curves.ts";

/** Of a phase's runs, by parameterization. */
export type PooledNoise = ReadonlyMap<string, Noise | null>;

interface Refit {
  /** Curves that have been fitted again, as they are now. */
  changed: ReadonlyMap<string, StoredCurve>;
  /** The phase has other curves than before. */
  regroup: boolean;
  noise: PooledNoise;
}

interface Fitted {
  curve: string;
  coordinates: CurveCoordinates;
  optimum: Optimum;
}

const removals = [curveTransfer, verdicts, phaseExponents].map((table) =>
  prepared(({ orm }) =>
    orm
      .delete(table)
      .where(eq(table.phase_id, given("phase")))
      .prepare(),
  ),
);
const [putTransfer, putVerdict, putExponents] = [
  putRow(curveTransfer),
  putRow(verdicts),
  putRow(phaseExponents),
];

/** Verdicts by what they were made of (`Asking.basis`). */
export type Verdicts = ReadonlyMap<string, Verdict>;

/** Told before each of what takes long, of so many of its kind. */
export type OnMade = (what: "fits" | "verdicts", done: number, of: number) => void;

/** @param ahead verdicts made ahead; what is not among them is judged now */
export function refreshTransfer(
  db: Database,
  phase: number,
  refit: Refit,
  ahead: Verdicts,
  onMade: OnMade,
): void {
  if (refit.regroup) for (const remove of removals) remove(db).run({ phase });
  // The configurations of a random search have a single learning rate each: nothing to compare.
  if (isRandomSearch(readPhase(db, phase).definition.phase.axes)) return;
  const curves = fittedOf(readOptima(db, phase));
  const touched = isTouched(refit);
  const asked = askings(db, phase, curves, refit, basesOf(db, phase));
  for (const [i, asking] of asked.entries()) {
    onMade("verdicts", i, asked.length);
    const { cells, options, basis } = asking;
    store(db, phase, asking, ahead.get(basis) ?? verdict(cells, cells[0]!, options));
  }

  const free = freeCoordinates(
    curves.map((c) => c.coordinates),
    ["width", "density"],
  );
  for (const group of groupBy(curves, ["parameterization", ...free]).filter(touched))
    fitExponents(db, phase, group);

  const places = samePlaces(curves).filter(
    ({ members }) => refit.regroup || members.some(({ curve }) => refit.changed.has(curve)),
  );
  for (const { members } of places) {
    const above = aboveBest(members.map(({ optimum }) => optimum));
    for (const [i, { curve }] of members.entries()) setLevel(db, phase, curve, above[i]!);
  }
}

/**
 * Judges ahead of the transaction what it will judge (`fitAhead`). Writes nothing; yields after every few milliseconds of work.
 * @param fitted optima that are not stored yet, and what they were made of
 */
export function* judgeAhead(
  db: Database,
  phase: number,
  refit: Refit,
  fitted: ReadonlyMap<string, { optimum: Optimum; basis: string }>,
): Generator<void, Verdicts> {
  const verdicts = new Map<string, Verdict>();
  if (isRandomSearch(readPhase(db, phase).definition.phase.axes)) return verdicts;
  const ahead = db.snapshot(() => {
    const optima = readOptima(db, phase);
    const bases = basesOf(db, phase);
    for (const [curve, { optimum, basis }] of fitted) {
      optima.set(curve, optimum);
      bases.set(curve, basis);
    }
    return askings(db, phase, fittedOf(optima), refit, bases);
  });
  for (const { cells, options, basis } of ahead)
    verdicts.set(basis, yield* verdictInTurns(cells, cells[0]!, options));
  return verdicts;
}

/** By curve, what its fit was made of. */
const basesOf = (db: Database, phase: number): Map<string, string> =>
  new Map(readStoredFits(db, phase).map(({ curve, basis }) => [curve, basis]));

const fittedOf = (optima: ReadonlyMap<string, Optimum>): Fitted[] =>
  [...optima].map(([curve, optimum]) => ({ curve, coordinates: coordinatesOf(curve), optimum }));

const isTouched =
  ({ regroup, changed }: Refit) =>
  ({ members }: { members: readonly Fitted[] }): boolean =>
    members.length > 1 && (regroup || members.some(({ curve }) => changed.has(curve)));

/** A verdict that has to be made: of a group's cells, the base first. */
interface Asking {
  group: Group<Fitted>;
  cells: Cell[];
  options: VerdictOptions;
  /** Equal for equal cells and options. */
  basis: string;
}

/** @param bases what every curve's fit was made of */
function askings(
  db: Database,
  phase: number,
  curves: readonly Fitted[],
  refit: Refit,
  bases: ReadonlyMap<string, string>,
): Asking[] {
  const read = readPhase(db, phase);
  const { tuned, definition } = read;
  const axes = axesOf(curves.map(({ coordinates }) => coordinates));
  const groups = axes.flatMap((axis) =>
    groupsAlong(axis, curves)
      .filter(isTouched(refit))
      .map((group) => ({ axis, group })),
  );
  if (groups.length === 0) return [];
  const untrained = untrainedCurves(read, curves);
  const known = withMembers(db, phase, refit.changed, groups);
  return groups.map(({ axis, group }) => {
    const stored = group.members.map(({ curve }) => known.get(curve)!);
    const options = {
      ...questionOf(definition.phase),
      axis,
      tied: group.tied,
      tuned,
      searched: definition.phase.search !== undefined,
      noise: refit.noise.get(group.shared.parameterization as string) ?? undefined,
      stated_noise: definition.phase.noise,
      open: stored.reduce((sum, curve) => sum + curve.open, 0),
      untrained: untrained(axis, group.members),
    };
    const made = group.members.map(({ curve }) => [curve, bases.get(curve)]);
    return {
      group,
      cells: group.members.map((member, i) => ({ ...member, curve: stored[i]!.input })),
      options,
      basis: createHash("sha1")
        .update(JSON.stringify([made, options]))
        .digest("base64"),
    };
  });
}

const question = prepared(({ orm }) =>
  orm
    .selectDistinct({
      criterion: verdicts.criterion,
      octaves: verdicts.margin_octaves,
      cost: verdicts.margin_cost,
      pooling: verdicts.pooling,
    })
    .from(verdicts)
    .where(eq(verdicts.phase_id, given("phase")))
    .prepare(),
);

/** Whether the sweep's file now asks otherwise than the stored verdicts answer. */
export function isAskedOtherwise(db: Database, phase: number): boolean {
  const asked = questionOf(readPhase(db, phase).definition.phase);
  return question(db)
    .all({ phase })
    .some(({ criterion, pooling, ...margin }) => !isEqual({ criterion, pooling, margin }, asked));
}

const isEqual = (a: Question, b: Question): boolean =>
  a.criterion === b.criterion &&
  a.pooling === b.pooling &&
  a.margin.octaves === b.margin.octaves &&
  a.margin.cost === b.margin.cost;

/** The curves that are known, and all others of these groups: a curve is read once, however many groups it is in. */
function withMembers(
  db: Database,
  phase: number,
  known: ReadonlyMap<string, StoredCurve>,
  groups: readonly { group: Group<Fitted> }[],
): PhaseCurves {
  const needed = new Set(groups.flatMap(({ group }) => group.members.map(({ curve }) => curve)));
  const unread = [...needed].filter((curve) => !known.has(curve));
  return new Map([...known, ...readSomeCurves(db, phase, unread)]);
}

const UNKNOWN: Bounded = { estimate: null, low: null, high: null };

function store(
  db: Database,
  phase: number,
  { group: { members, shared }, options: { axis, tuned } }: Asking,
  judged: Verdict,
): void {
  const base = members[0].curve;
  const { parameterization, ...place } = shared;
  const { cells: _, margin, ...together } = judged;
  const { exponent, theory } = exponentAlong(axis, members, tuned);
  putVerdict(db, {
    phase_id: phase,
    axis,
    base,
    parameterization: parameterization as Parameterization,
    place: JSON.stringify(place),
    margin_octaves: margin.octaves,
    margin_cost: margin.cost,
    ...columns("exponent", exponent ?? UNKNOWN),
    exponent_theory: JSON.stringify(theory),
    ...together,
  });
  for (const [i, { cell: _, drift, regret, ...said }] of judged.cells.entries())
    putTransfer(db, {
      phase_id: phase,
      axis,
      curve: members[i + 1]!.curve,
      base,
      ...said,
      ...columns("drift", drift),
      drift_low_90: drift.low_90,
      drift_high_90: drift.high_90,
      regret_state: regret.state,
      ...columns("regret_nats", regret.nats),
      ...columns("regret_per_cent", regret.per_cent),
      regret_per_cent_low_90: regret.per_cent.low_90,
      regret_per_cent_high_90: regret.per_cent.high_90,
    });
}

function fitExponents(db: Database, phase: number, { members, shared }: Omit<Group<Fitted>, "tied">): void {
  const { parameterization: name, ...place } = shared;
  const parameterization = name as Parameterization;
  const law = exponents(members);
  const { keeps } = RULES[parameterization];
  putExponents(db, {
    phase_id: phase,
    parameterization,
    place: JSON.stringify(place),
    ...columns("intercept", law.intercept),
    ...columns("width", law.width ?? UNKNOWN),
    width_theory: keeps.includes("width") ? 0 : null,
    ...columns("density", law.density ?? UNKNOWN),
    density_theory: keeps.includes("density") ? 0 : null,
    used: law.used,
    left_out: law.left_out,
  });
}

/** The curves that a verdict is about. */
const ofVerdict = and(
  eq(curveTransfer.phase_id, verdicts.phase_id),
  eq(curveTransfer.axis, verdicts.axis),
  eq(curveTransfer.base, verdicts.base),
);

const undecided = prepared(({ orm }) =>
  orm
    .select({ base: verdicts.base, curve: curveTransfer.curve, more_seeds: verdicts.more_seeds })
    .from(verdicts)
    .innerJoin(curveTransfer, ofVerdict)
    .innerJoin(
      curveOptima,
      and(eq(curveOptima.phase_id, curveTransfer.phase_id), eq(curveOptima.curve, curveTransfer.curve)),
    )
    .where(
      and(
        eq(verdicts.phase_id, given("phase")),
        eq(verdicts.verdict, "inconclusive"),
        eq(curveTransfer.verdict, "inconclusive"),
      ),
    )
    .orderBy(asc(verdicts.axis), asc(curveOptima.position))
    .prepare(),
);

/** Curves whose drift is what leaves a verdict open, each with its base and the seeds that would settle it. */
export const undecidedPairs = (
  db: Database,
  phase: number,
): { base: string; curve: string; more_seeds: number | null }[] => undecided(db).all({ phase });

const together = prepared(({ orm }) =>
  orm
    .select({ base: verdicts.base, curve: curveTransfer.curve, verdict: verdicts.verdict })
    .from(verdicts)
    .innerJoin(curveTransfer, ofVerdict)
    .where(eq(verdicts.phase_id, given("phase")))
    .prepare(),
);

/** Curves that verdicts are about, all of which are decided. */
export function decidedCurves(db: Database, phase: number): Set<string> {
  const pairs = together(db).all({ phase });
  const open = new Set(
    pairs.flatMap(({ base, curve, verdict }) => (verdict === "inconclusive" ? [base, curve] : [])),
  );
  return new Set(pairs.flatMap(({ base, curve }) => [base, curve]).filter((curve) => !open.has(curve)));
}

type Columns<Name extends string> = Record<Name | `${Name}_low` | `${Name}_high`, number | null>;

const columns = <Name extends string>(name: Name, { estimate, low, high }: Bounded): Columns<Name> =>
  ({ [name]: estimate, [`${name}_low`]: low, [`${name}_high`]: high }) as Columns<Name>;
