/** What the cores' multipliers can do: sums of products in registers, by the kernels of this processor. */
import { Region } from "../workers/trainers/cpu/region.ts";
import { BoundTape, runTapes, Tape } from "../workers/trainers/cpu/tape.ts";

/** Some milliseconds' work. */
const ROUNDS = 20_000;

/** @returns does it on as many threads, and says how many floating-point operations that were */
export function multiplier(threads: number): () => number {
  const regions = Array.from(
    { length: threads },
    () =>
      new Region(
        new Map([
          ["x", 64],
          ["operations", 8],
        ]),
      ),
  );
  const tapes = regions.map((region) => {
    const t = new Tape(1);
    t.call("fused_multiply_adds", [t.outside("x", [16]), t.outside("operations", [2])], [ROUNDS]);
    return new BoundTape(t.finish(), 0n, region.address);
  });
  return () => {
    runTapes(tapes, { teams: threads, members: 1 });
    return regions.reduce((sum, region) => sum + region.doubles("operations")[0]!, 0);
  };
}
