/**
 * Every closed list of words that a column holds, declared here alone: the tables, the views and the types follow, and a test
 * holds the CHECKs of the SQL files against them.
 */

export const SWEEP_STATES = ["active", "cancelled"] as const;

export const PHASE_STATES = ["waiting", "active", "complete", "stopped"] as const;
export type PhaseState = (typeof PHASE_STATES)[number];

export const PHASE_KINDS = ["grid", "coordinate-check"] as const;

/** Of a run that is still to be trained. */
export const OPEN_STATES = ["pending", "queued", "running"] as const;
/** Of a run that has a result. */
export const RESULT_STATES = ["finished", "diverged"] as const;
/** Of a run that has ended without one. */
export const LOST_STATES = ["failed", "cancelled"] as const;
export const RUN_STATES = [...OPEN_STATES, ...RESULT_STATES, ...LOST_STATES] as const;
export type RunState = (typeof RUN_STATES)[number];

export const ATTEMPT_OUTCOMES = [...RESULT_STATES, "failed", "released", "cancelled", "lost"] as const;
export type AttemptOutcome = (typeof ATTEMPT_OUTCOMES)[number];

/**
 * What a verdict on transfer may be about, by rank: where two move in step, the question is about the first of them. After these come
 * all other numbers that a phase varies, by the names of their coordinates.
 */
export const AXES = ["density", "width", "layers"] as const;
/** One of these, or the name of a coordinate: batch_size, settings.dropout. */
export type Axis = string;

/** Either criterion alone, then by the one that decides. costs: the base's optimum loses more than the margin, whatever the drift. */
export const DRIFT_VERDICTS = ["transfers", "drifts", "inconclusive"] as const;
export type DriftVerdict = (typeof DRIFT_VERDICTS)[number];
export const COST_VERDICTS = ["costs at most", "costs at least", "open"] as const;
export type CostVerdict = (typeof COST_VERDICTS)[number];
export const VERDICTS = ["transfers", "drifts", "costs", "inconclusive"] as const;
export type CellVerdict = (typeof VERDICTS)[number];

export const REGRET_STATES = ["known", "diverges", "outside", "unknown"] as const;
export type RegretState = (typeof REGRET_STATES)[number];

export const COORDINATE_AXES = ["width", "density", "layers"] as const;
export type CoordinateAxis = (typeof COORDINATE_AXES)[number];

/** Of a slope: size of the activations, or of what training has added to the initial network's. */
export const QUANTITIES = ["size", "change"] as const;

export const FLAT_VERDICTS = ["flat", "not flat", "inconclusive"] as const;
export type FlatVerdict = (typeof FLAT_VERDICTS)[number];
