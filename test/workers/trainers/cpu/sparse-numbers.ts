/** Sparse matrices for tests: with masks of one's own, and what a tape reads of them. */
import { Region } from "../../../../workers/trainers/cpu/region.ts";
import {
  patternPieces,
  type SparseMatrix,
  sparseMatrix,
  writePattern,
} from "../../../../workers/trainers/cpu/sparse-matrix.ts";

export interface MaskedMatrix {
  readonly sparse: SparseMatrix;
  /** Contents of the patterns by the names that tapes ask for. */
  readonly numbers: Record<string, Int32Array>;
  /** Places of the existing weights among all numbers, row by row, in the order in which they are kept. */
  readonly places: readonly number[];
}

/** @param mask [rows, columns], 1 where a weight exists and 0 elsewhere */
export function maskedMatrix(
  name: string,
  shape: readonly [number, number],
  mask: Float32Array,
): MaskedMatrix {
  const [rows, columns] = shape;
  const count = mask.reduce((sum, m) => sum + m, 0);
  const sparse = sparseMatrix(name, shape, count);
  const pieces = patternPieces(sparse);
  const region = new Region(new Map(pieces));
  writePattern(sparse, mask.slice(), region);
  const numbers = Object.fromEntries(pieces.map(([piece]) => [piece, region.integers(piece).slice()]));
  region.release();
  // As sparse-matrix.ts says it: by blocks of the inner axis, the rows; within one by columns; within those by rows.
  const places: number[] = [];
  for (let start = 0; start < rows; start += sparse.forward.block)
    for (let column = 0; column < columns; column++)
      for (let row = start; row < Math.min(rows, start + sparse.forward.block); row++)
        if (mask[row * columns + column] !== 0) places.push(row * columns + column);
  return { sparse, numbers, places };
}
