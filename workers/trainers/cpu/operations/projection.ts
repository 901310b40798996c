/** Products with the blocks' matrices, dense ones or those whose existing weights alone are kept. */
import type { patternValues } from "../sparse-matrix.ts";
import type { Tape, Value } from "../tape.ts";
import type { Sum } from "./operation.ts";
import { product } from "./product.ts";
import { panelRoom, panelsShape, Rows } from "./rows.ts";

/** A matrix [I, O]: all its numbers, or its patterns. */
export type Weight =
  | { readonly kind: "dense"; readonly value: Value }
  | { readonly kind: "sparse"; readonly patterns: ReturnType<typeof patternValues> };

/** What a projection's output is multiplied by, and then added to. */
interface Branch {
  readonly multiplier: number;
  readonly residual: Value;
}

export interface Projection {
  readonly out: Rows;
  readonly weight: Weight;
  readonly x: Rows;
  readonly multiplier: number;
}

type Layout = "tokens" | "panels";

/**
 * y = x·W, or residual + multiplier · x·W. x [N, I] → y [N, O]
 * @param layout that y is wanted in; a dense product gives tokens, as does one with a branch
 */
export function project(t: Tape, x: Rows, weight: Weight, layout: Layout, branch?: Branch): Projection {
  const multiplier = branch?.multiplier ?? 1;
  const onto = branch?.residual ?? null;
  if (weight.kind === "dense") {
    const out = t.value([x.n, weight.value.shape[1]!]);
    product(t, x.tokens(), weight.value, out, { alpha: multiplier, onto });
    return { out: Rows.tokens(t, out), weight, x, multiplier };
  }
  const out = { layout: branch === undefined ? layout : "tokens", scale: multiplier, onto } as const;
  return {
    out: sparseProduct(t, x.n, x.panels(), weight.patterns.forward, null, out),
    weight,
    x,
    multiplier,
  };
}

type SparsePattern = ReturnType<typeof patternValues>["forward"];

/** x·W + before, in panels; or in tokens scale · (x·W + before) + onto. `before` is written over. */
function sparseProduct(
  t: Tape,
  n: number,
  x: Value,
  { inner, outputs, blocks, begin, index, weights }: SparsePattern,
  before: Value | null,
  { layout, scale, onto }: { readonly layout: Layout; readonly scale: number; readonly onto: Value | null },
): Rows {
  const sizes = [n, inner, outputs, blocks, Number(before !== null)];
  const product = [x, begin, index, weights];
  if (layout === "panels") {
    const y = before ?? t.value(panelsShape(n, outputs));
    t.call("sparse_product", [...product, y, null, null, null], sizes, [1]);
    return Rows.panels(t, n, y);
  }
  const out = t.value([n, outputs]);
  const room = before === null ? panelRoom(t, outputs) : null;
  t.call("sparse_product", [...product, before, onto, out, room], sizes, [scale]);
  return Rows.tokens(t, out);
}

/** A projection on the way back: the gradient with respect to its output, and where that of its weights goes. */
export interface Back {
  readonly projection: Projection;
  readonly dy: Rows;
  readonly dw: Sum;
}

function weightGradient(t: Tape, { projection: { x, weight, multiplier: alpha }, dy, dw }: Back): void {
  const { value, add } = dw;
  if (weight.kind === "dense") {
    product(t, x.tokens(), dy.tokens(), value, { transA: true, alpha, onto: add ? value : null }); // [I, N]·[N, O]
    return;
  }
  const { inner, outputs, blocks, begin, index } = weight.patterns.forward;
  const sizes = [x.n, inner, outputs, blocks, Number(add)];
  t.call("sparse_gradient", [x.panels(), dy.panels(alpha), begin, index, value], sizes);
}

/**
 * The gradients of projections of the same x: those of their weights, and the sum dx [N, I] of what they send back.
 * @param layout that dx is wanted in; if any of them is dense, it comes in tokens
 */
export function projectBack(t: Tape, backs: readonly Back[], layout: Layout): Rows {
  let tokens: Value | null = null;
  for (const back of backs) {
    const { weight, x, multiplier: alpha } = back.projection;
    if (weight.kind !== "dense") continue;
    weightGradient(t, back);
    const out: Value = tokens ?? t.value([x.n, x.c]);
    tokens = product(t, back.dy.tokens(), weight.value, out, { transB: true, alpha, onto: tokens }); // [N, O]·[O, I]
  }
  let dx = tokens === null ? null : Rows.tokens(t, tokens);
  let before: Value | null = null;
  const sparse = backs.filter(({ projection }) => projection.weight.kind === "sparse");
  for (const [i, back] of sparse.entries()) {
    const { weight, x, multiplier } = back.projection;
    if (weight.kind !== "sparse") continue;
    weightGradient(t, back);
    const isLast = i === sparse.length - 1;
    const wanted = isLast && (layout === "tokens" || tokens !== null) ? "tokens" : "panels";
    const out = { layout: wanted, scale: 1, onto: tokens } as const;
    dx = sparseProduct(t, x.n, back.dy.panels(multiplier), weight.patterns.backward, before, out);
    before = wanted === "panels" ? dx.panels() : null;
  }
  return dx!;
}
