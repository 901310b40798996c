/** Grows when the same results give other optima, drifts, verdicts, regrets or sentences than before: stored ones are then made again. */
export const METHOD = 12;
