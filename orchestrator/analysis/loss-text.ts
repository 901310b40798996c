/** Losses as people read them. */
import { atMost } from "./bounds.ts";

/** So many digits of a loss, more where they would be zeros: an error of some millionths is none of 0.000. */
export const lossDigits = (loss: number, digits: number): number =>
  loss > 0 ? Math.min(20, digits + Math.max(0, Math.ceil(-Math.log10(loss)) - 1)) : digits;

export const lossText = (loss: number, digits: number): string => loss.toFixed(lossDigits(loss, digits));

/** Of a loss that is known from above only. */
export const lossBound = (most: number, digits: number): string =>
  `≤ ${atMost(most, lossDigits(most, digits))}`;
