/** Bounds as they are said: rounded so that what is said holds, a bound from above up and one from below down. */

/** What arithmetic leaves in the last bits is no part of a number: 0.1 + 0.2 rounds up to 0.3. */
const LAST_BITS = 1e-9;
/** Beyond so many digits a bound and its limit are the same. */
const MOST_DIGITS = 6;

export const roundUp = (value: number, digits: number): number =>
  Math.ceil(value * 10 ** digits - LAST_BITS) / 10 ** digits;
export const roundDown = (value: number, digits: number): number =>
  Math.floor(value * 10 ** digits + LAST_BITS) / 10 ** digits;

/** @param limit which a bound that keeps it is not said to exceed: it has another digit then */
export function atMost(value: number, digits: number, limit = Number.POSITIVE_INFINITY): string {
  const said = roundUp(value, digits);
  return value <= limit && said > limit && digits < MOST_DIGITS
    ? atMost(value, digits + 1, limit)
    : said.toFixed(digits);
}

export function atLeast(value: number, digits: number, limit = Number.NEGATIVE_INFINITY): string {
  const said = roundDown(value, digits);
  return value >= limit && said < limit && digits < MOST_DIGITS
    ? atLeast(value, digits + 1, limit)
    : said.toFixed(digits);
}
