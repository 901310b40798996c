/** Matrix products, of which the operations are made. */
import type { Tape, Value } from "../tape.ts";

interface ProductOptions {
  /** a, b are stored transposed; that costs nothing. */
  readonly transA?: boolean;
  readonly transB?: boolean;
  readonly alpha?: number;
  /** Added to the product; of its shape, and may be `out`. */
  readonly onto?: Value | null;
}

/** out = alpha · a·b, plus onto. @throws Error when the shapes do not fit */
export function product(
  t: Tape,
  a: Value,
  b: Value,
  out: Value,
  { transA = false, transB = false, alpha = 1, onto = null }: ProductOptions = {},
): Value {
  const sides = ({ shape }: Value, swapped: boolean) => (swapped ? shape.toReversed() : shape);
  const [rows, inner] = sides(a, transA) as [number, number];
  const [innerB, columns] = sides(b, transB) as [number, number];
  const fits = (x: Value): boolean => String(x.shape) === String([rows, columns]);
  if (inner !== innerB || !fits(out) || (onto !== null && !fits(onto)))
    throw new Error(`cannot multiply [${a.shape}] by [${b.shape}] to [${out.shape}]`);
  t.call("product", [a, b, onto, out], [rows, inner, columns, Number(transA), Number(transB)], [alpha]);
  return out;
}
