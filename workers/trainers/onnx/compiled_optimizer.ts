/** The optimizer's loops as optimizer.c has them, if they were built: `npm run build` does, where it finds a C compiler. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { packageRoot } from "../../../schema/package.ts";
import koffi from "./foreign.ts";
import type { Block, UpdateScalars } from "./optimizer.ts";

export interface CompiledLoops {
  /** Writes Σ g² of each block. */
  sumOfSquares(squares: Float64Array): Promise<void>;
  adamw(scalars: UpdateScalars): Promise<void>;
}

const path = join(packageRoot(), "dist", "native", "optimizer.so");
const library = existsSync(path) ? koffi.load(path) : null;
type LoopFunction = ReturnType<ReturnType<typeof koffi.load>["func"]>;
const functions = library && {
  sumOfSquares: library.func("void sum_of_squares(void*, int64_t, int64_t, void*)"),
  adamw: library.func("void adamw(void*, int64_t, int64_t, void*, float, float, float, float)"),
};

/** Below this, waking a second thread takes longer than it helps. */
const NUMBERS_PER_THREAD = 2 ** 17;

/** null where they were not built */
export function compiledLoops(blocks: readonly Block[], threads: number): CompiledLoops | null {
  if (functions === null) return null;
  // struct Block of optimizer.c: six pointers, count, group. The arrays stay where they are: their memory is outside of the garbage collector's, and the blocks keep them alive.
  const table = BigInt64Array.from(
    blocks.flatMap(({ parameter, start, count, group }) => {
      const { weight, first, second, mask, sums } = parameter;
      const arrays = [weight, first, second, mask, sums[0], sums[1]];
      const pointers = arrays.map((a) => (a ? koffi.address(a) + BigInt(start * a.BYTES_PER_ELEMENT) : 0n));
      return [...pointers, BigInt(count), BigInt(group)];
    }),
  );
  const total = blocks.reduce((sum, b) => sum + b.count, 0);
  const parts = Math.max(1, Math.min(threads, Math.floor(total / NUMBERS_PER_THREAD)));

  /** Calls a loop on all blocks, by several threads where that pays: every block is on its own. */
  async function onAll(loop: LoopFunction, ...rest: unknown[]): Promise<void> {
    const bound = (part: number): number => Math.round((part * blocks.length) / parts);
    const aside = Array.from({ length: parts - 1 }, (_, i) =>
      promisify(loop.async)(table, bound(i + 1), bound(i + 2), ...rest),
    );
    loop(table, 0, bound(1), ...rest);
    await Promise.all(aside);
  }
  const { sumOfSquares, adamw } = functions;
  return {
    sumOfSquares: (squares) => onAll(sumOfSquares, squares),
    adamw: ({ rates, beta1, beta2, eps, factor }) => onAll(adamw, rates, beta1, beta2, eps, factor),
  };
}
