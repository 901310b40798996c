/** The stored phases of a sweep: what each trains, what it took from earlier ones, how far it is. */
import type Sqlite from "better-sqlite3";
import type { TakenName } from "../../schema/axes.ts";
import type { Parameterization } from "../../schema/hyperparameters.ts";
import { canonicalJson } from "../../schema/plan.ts";
import type { Capability } from "../../schema/queue.ts";
import type { Phase } from "../../schema/sweep.ts";
import type { PhaseState } from "../../schema/tables.ts";
import type { DataIdentity } from "../parameterization/resolve-plan.ts";
import { withValues } from "../sweep/taken-axes.ts";

/** Everything that decides what a phase trains. */
export interface Definition {
  phase: Phase;
  data: DataIdentity;
  capability: Capability;
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

export interface StoredPhase {
  id: number;
  name: string;
  state: PhaseState;
  /** Why it stopped. */
  reason: string | null;
  /** Null for a phase that was stored before phases had one: nothing is added to it. */
  definition: Definition | null;
  taken: TakenValue[];
  /** What its curves are over. */
  tuned: TakenName;
}

/** The phase as it is trained, once what it takes is known. */
export const startedPhase = ({ definition, taken }: StoredPhase): Phase => {
  const phase = definition!.phase;
  const valueFor = (axis: string, parameterization: Parameterization): number =>
    taken.find((v) => v.axis === axis && v.parameterization === parameterization)!.value;
  return { ...phase, axes: withValues(phase.axes, valueFor) };
};

export const definitionOf = (definition: Definition): string => canonicalJson(definition);

/** In the order of the file. */
export function readPhases(sqlite: Sqlite.Database, sweepId: number): StoredPhase[] {
  return sqlite
    .prepare<[number], Omit<StoredPhase, "definition" | "taken"> & { definition: string; taken: string }>(
      "SELECT id, name, state, reason, definition, taken, tuned FROM phases WHERE sweep_id = ? ORDER BY position",
    )
    .all(sweepId)
    .map((row) => {
      const definition = JSON.parse(row.definition) as Partial<Definition>;
      return {
        ...row,
        definition: definition.phase === undefined ? null : (definition as Definition),
        taken: JSON.parse(row.taken) as TakenValue[],
      };
    });
}
