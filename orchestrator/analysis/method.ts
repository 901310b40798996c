/** Grows when the same results give other optima, drifts, verdicts or regrets than before: stored ones are then made again. */
export const METHOD = 7;
