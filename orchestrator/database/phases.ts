/** The stored phases of a sweep: what each trains, what it took from earlier ones, how far it is. */
import { and, asc, eq, getTableColumns, inArray, sql } from "drizzle-orm";
import { OPEN_STATES, type PHASE_KINDS, type PhaseState } from "../../schema/database/states.ts";
import { cells, phases, runs, sweeps } from "../../schema/database/tables.ts";
import type { TakenName } from "../../schema/sweep/hyperparameters.ts";
import type { Parameterization } from "../../schema/sweep/rules.ts";
import type { Phase } from "../../schema/sweep/sweep.ts";
import { canonicalJson } from "../../schema/wire/plan.ts";
import type { SearchedQuestion } from "../analysis/search.ts";
import type { DataIdentity } from "../parameterization/resolve-plan.ts";
import { withValues } from "../sweep/taken-axes.ts";
import { type Database, given, prepared, proposed } from "./connection.ts";

/** Everything that decides what a phase trains, and where. */
export interface Definition {
  phase: Phase;
  data: DataIdentity;
  /** Of results that were trained elsewhere: the phase says nothing of how. */
  imported?: Imported;
}

export interface Imported {
  /** The file's name. */
  from: string;
  /** What is the same for all its rows, by name. */
  fixed: Record<string, string | number | boolean | null>;
  /** What its loss is: "loss", "error", "1 − score". */
  loss: string;
}

/** A value taken from an earlier phase. */
export interface TakenValue {
  name: TakenName;
  /** Where its axis stands in the phase, such as axes[0].learning_rate. */
  axis: string;
  parameterization: Parameterization;
  value: number;
  /** The earlier phase. */
  from: string;
  /** In words: which curve or configuration it is, and how it was found. */
  how: string;
}

/** How far a search is: kept for whoever shows it, never read to decide anything. */
export interface SearchState {
  questions: SearchedQuestion[];
  /** What it has added last, by why. */
  next: { reason: string; runs: number }[];
  /** Why no run is to be added; null while some are. */
  stopped: string | null;
  /** Runs that it has added, and that were trained before it began; what the added ones cost, as a share of the grid's FLOPs. */
  added: number;
  earlier: number;
  share: number;
  /** As the file has it. */
  budget: number | string;
}

export interface StoredPhase {
  id: number;
  name: string;
  state: PhaseState;
  /** Why it stopped. */
  reason: string | null;
  definition: Definition;
  taken: TakenValue[];
  /** What its curves are over. */
  tuned: TakenName;
  /** Null: it is a grid, or has not begun. */
  search: SearchState | null;
}

/** The phase as it is trained, once what it takes is known. */
export const startedPhase = ({ definition, taken }: Pick<StoredPhase, "definition" | "taken">): Phase => {
  const { phase } = definition;
  const valueFor = (axis: string, parameterization: Parameterization): number =>
    taken.find((v) => v.axis === axis && v.parameterization === parameterization)!.value;
  return { ...phase, axes: withValues(phase.axes, valueFor) };
};

const { id, name, state, reason, definition, taken, tuned, search } = getTableColumns(phases);

const ofSweep = prepared(({ orm }) =>
  orm
    .select({ id, name, state, reason, definition, taken, tuned, search })
    .from(phases)
    .where(eq(phases.sweep_id, given("sweep")))
    .orderBy(asc(phases.position))
    .prepare(),
);

/** In the order of the file. */
export const readPhases = (db: Database, sweep: number): StoredPhase[] =>
  ofSweep(db)
    .all({ sweep })
    .map((row) => ({
      ...row,
      definition: JSON.parse(row.definition) as Definition,
      taken: JSON.parse(row.taken) as TakenValue[],
      search: row.search === null ? null : (JSON.parse(row.search) as SearchState),
    }));

const one = prepared(({ orm }) =>
  orm
    .select({ kind: phases.kind, tuned, definition, taken })
    .from(phases)
    .where(eq(phases.id, given("phase")))
    .prepare(),
);

export function readPhase(
  db: Database,
  phase: number,
): Pick<StoredPhase, "tuned" | "definition" | "taken"> & { kind: (typeof PHASE_KINDS)[number] } {
  const row = one(db).get({ phase })!;
  return {
    ...row,
    definition: JSON.parse(row.definition) as Definition,
    taken: JSON.parse(row.taken) as TakenValue[],
  };
}

const kindOf = prepared(({ orm }) =>
  orm
    .select({ kind: phases.kind })
    .from(phases)
    .where(eq(phases.id, given("phase")))
    .prepare(),
);

/** The runs of a check are on no curve. */
export const isCoordinateCheck = (db: Database, phase: number): boolean =>
  kindOf(db).get({ phase })?.kind === "coordinate-check";

const put = prepared(({ orm }) =>
  orm
    .insert(phases)
    .values({
      sweep_id: given("sweep"),
      name: given("name"),
      position: given("position"),
      definition: given("definition"),
      state: given("state"),
      taken: given("taken"),
      tuned: given("tuned"),
      kind: given("kind"),
      due: 1,
    })
    .onConflictDoUpdate({
      target: [phases.sweep_id, phases.name],
      set: {
        position: proposed("position"),
        definition: proposed("definition"),
        state: proposed("state"),
        taken: proposed("taken"),
        tuned: proposed("tuned"),
        kind: proposed("kind"),
        search: sql`CASE WHEN ${phases.definition} = ${proposed("definition")} THEN ${phases.search} END`,
        reason: sql`CASE WHEN ${proposed("state")} = 'stopped' THEN ${phases.reason} END`,
        due: 1,
      },
    })
    .returning({ id })
    .prepare(),
);

/** A phase as it is submitted now; it will be looked at. @returns its id */
export const putPhase = (
  db: Database,
  phase: {
    sweep: number;
    name: string;
    position: number;
    definition: string;
    state: PhaseState;
    taken: readonly TakenValue[];
    tuned: TakenName;
    kind: (typeof PHASE_KINDS)[number];
  },
): number => put(db).get({ ...phase, taken: JSON.stringify(phase.taken) }).id;

/** What a phase trains, wherever: two that are equal in this are one phase. */
export function trainingText({ phase, data, imported }: Definition): string {
  const { device: _device, engine: _engine, ...training } = phase;
  return canonicalJson({ phase: training, data, imported });
}

/** Without what is asked of a search's runs, and how many there may be. */
function withoutSearch({ phase, ...rest }: Definition): Definition {
  const { search: _, margin: _m, criterion: _c, noise: _n, pooling: _p, ...training } = phase;
  return { ...rest, phase: training };
}

/** Whether points that a phase has added to its grid stay when it becomes another. All that a search has are added. */
export function keepsAdded(before: Definition, now: Definition): boolean {
  const isSearch = before.phase.search !== undefined && now.phase.search !== undefined;
  const [was, is] = isSearch ? [withoutSearch(before), withoutSearch(now)] : [before, now];
  return trainingText(was) === trainingText(is);
}

const remove = prepared(({ orm }) =>
  orm
    .delete(phases)
    .where(eq(phases.id, given("phase")))
    .prepare(),
);

/** Its grid points have to be gone already. */
export const removePhase = (db: Database, phase: number): void => void remove(db).run({ phase });

const save = prepared(({ orm }) =>
  orm
    .update(phases)
    .set({
      state: given("state"),
      reason: given("reason"),
      taken: given("taken"),
      search: given("search"),
    })
    .where(eq(phases.id, given("id")))
    .prepare(),
);

/** How far it is, why it stopped, what it took. */
export const savePhase = (db: Database, phase: StoredPhase): void =>
  void save(db).run({
    ...phase,
    taken: JSON.stringify(phase.taken),
    search: phase.search === null ? null : JSON.stringify(phase.search),
  });

const markDue = prepared(({ orm }) =>
  orm
    .update(phases)
    .set({ due: 1 })
    .where(eq(phases.id, given("phase")))
    .prepare(),
);

/** Has it looked at: something about its runs has changed. */
export const markPhaseDue = (db: Database, phase: number): void => void markDue(db).run({ phase });

const due = prepared(({ orm }) =>
  orm
    .selectDistinct({ id: sweeps.id })
    .from(sweeps)
    .innerJoin(phases, eq(phases.sweep_id, sweeps.id))
    .where(and(eq(phases.due, 1), eq(sweeps.state, "active")))
    .prepare(),
);

/** The active sweeps that have a phase to be looked at. */
export const dueSweeps = (db: Database): number[] =>
  due(db)
    .all()
    .map((sweep) => sweep.id);

const seen = prepared(({ orm }) =>
  orm
    .update(phases)
    .set({ due: 0 })
    .where(eq(phases.sweep_id, given("sweep")))
    .prepare(),
);

export const markSweepSeen = (db: Database, sweep: number): void => void seen(db).run({ sweep });

/** Walks from the open runs, which are few when it matters: a cross join is what keeps SQLite from walking over the phase. */
const open = prepared(({ orm }) =>
  orm
    .select({ one: sql`1` })
    .from(runs)
    .crossJoin(cells)
    .where(
      and(
        eq(cells.run_id, runs.id),
        inArray(runs.state, [...OPEN_STATES]),
        eq(cells.phase_id, given("phase")),
      ),
    )
    .limit(1)
    .prepare(),
);

/** Whether any of its runs is still to be trained. */
export const hasOpenRuns = (db: Database, phase: number): boolean => open(db).get({ phase }) !== undefined;

const all = prepared(({ orm }) => orm.select({ id }).from(phases).prepare());

export const phaseIds = (db: Database): number[] =>
  all(db)
    .all()
    .map((row) => row.id);
