/** The level: each parameterization's best loss on the same model, side by side. Transfer at a worse loss is no victory. */
import { leastOf } from "./extremes.ts";
import type { Optimum } from "./types.ts";

/** Loss at a curve's own optimum; where none is bracketed the best of its grid, a bound from above. */
const lossOf = ({ loss, grid_loss }: Optimum): number | null => loss ?? grid_loss;

/** @returns for each optimum, how far its loss lies above the lowest of them, per cent; null where nothing has trained */
export function aboveBest(optima: readonly Optimum[]): (number | null)[] {
  const losses = optima.map(lossOf);
  const best = leastOf(losses.filter((loss) => loss !== null));
  return losses.map((loss) => (loss === null ? null : 100 * (loss / best - 1)));
}
