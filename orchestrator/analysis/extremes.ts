/** Math.min and Math.max of as many values as there may be: more arguments than some 120,000 do not fit on the stack. */

/** Infinity where there are none. */
export const leastOf = (values: readonly number[]): number =>
  values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);

/** -Infinity where there are none. */
export const mostOf = (values: readonly number[]): number =>
  values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
