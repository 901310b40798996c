/** The two norms over the last axis, each with a gain; LayerNorm also centres and has a bias. */
import type { Tape, Value } from "../tape.ts";
import type { Sum } from "./operation.ts";

/** Numbers in a chunk of rows, over which the gradients of gains are summed first. */
const CHUNK = 16_384;

/** Rows of such a chunk, and how many chunks there are. */
function chunksOf(n: number, c: number): { rows: number; count: number } {
  const rows = Math.max(1, Math.floor(CHUNK / c));
  return { rows, count: Math.ceil(n / rows) };
}

function sumOfChunks(t: Tape, chunks: Value, out: Sum): void {
  t.call("column_sums", [chunks, out.value], [...chunks.shape, Number(out.add)]);
}

/** y = gain ∘ x·r, r = 1/√(mean x² + ε) per row. x [N, C], gain [C] → y [N, C] */
export function rmsNorm(t: Tape, x: Value, gain: Value, epsilon: number) {
  const [n, c] = x.shape as [number, number];
  const [out, r] = [t.value([n, c]), t.value([n])];
  t.call("rms_norm", [x, gain, out, r], [n, c], [epsilon]);
  return {
    out,
    /**
     * With x̂ = x·r and dx̂ = dy ∘ gain: dx = (dx̂ − x̂·mean(dx̂ ∘ x̂))·r, and dGain = Σ dy ∘ x̂ over tokens.
     * @param residual what else reaches x, past the block that the norm begins: added to dx
     * @returns dx, which takes the place of dy
     */
    backward: (dy: Value, residual: Value | null, dGain: Sum): Value => {
      const chunks = chunksOf(n, c);
      const sums = t.value([chunks.count, c]);
      t.call("rms_norm_gradient", [dy, x, gain, r, residual, sums], [n, c, chunks.rows]);
      sumOfChunks(t, sums, dGain);
      return dy;
    },
  };
}

/** y = gain ∘ (x − mean)·r + bias, r = 1/√(variance + ε) per row. x [N, C], gain [C], bias [C] → y [N, C] */
export function layerNorm(t: Tape, x: Value, gain: Value, bias: Value, epsilon: number) {
  const [n, c] = x.shape as [number, number];
  const [out, mean, r] = [t.value([n, c]), t.value([n]), t.value([n])];
  t.call("layer_norm", [x, gain, bias, out, mean, r], [n, c], [epsilon]);
  return {
    out,
    /** As for RMSNorm, and dBias = Σ dy; centring x takes the mean of dx̂ away as well. */
    backward: (dy: Value, residual: Value | null, dGain: Sum, dBias: Sum): Value => {
      const chunks = chunksOf(n, c);
      const [gains, biases] = [t.value([chunks.count, c]), t.value([chunks.count, c])];
      const sizes = [n, c, chunks.rows];
      t.call("layer_norm_gradient", [dy, x, gain, mean, r, residual, gains, biases], sizes);
      sumOfChunks(t, gains, dGain);
      sumOfChunks(t, biases, dBias);
      return dy;
    },
  };
}
