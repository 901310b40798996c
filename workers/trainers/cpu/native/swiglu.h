/* The gated activation, and the sum of two arrays. Every number is on its own. */

/* y = silu(gate) ∘ up, silu(x) = x·σ(x). at: gate, up, y; size: numbers */
static void swiglu(const Call *call, Team team) {
  const float *gate = call->at[0], *up = call->at[1];
  float *y = call->at[2];
  const Range part = part_of(call->size[0], 64, team);
#pragma omp simd
  for (int64_t i = part.begin; i < part.end; i++) y[i] = gate[i] / (1 + exponential(-gate[i])) * up[i];
}

/* dGate = dy ∘ up ∘ σ ∘ (1 + gate ∘ (1 − σ)), over gate; dUp = dy ∘ silu(gate), over up. at: dy, gate, up; size: numbers */
static void swiglu_gradient(const Call *call, Team team) {
  const float *dy = call->at[0];
  float *gate = call->at[1], *up = call->at[2];
  const Range part = part_of(call->size[0], 64, team);
#pragma omp simd
  for (int64_t i = part.begin; i < part.end; i++) {
    const float gradient = dy[i], x = gate[i], sigmoid = 1 / (1 + exponential(-x)), silu = x * sigmoid;
    gate[i] = gradient * up[i] * (sigmoid + silu * (1 - sigmoid));
    up[i] = gradient * silu;
  }
}

/* out = x + multiplier · y. at: x, y, out; size: numbers; scalar: multiplier */
static void add(const Call *call, Team team) {
  const float *x = call->at[0], *y = call->at[1];
  float *out = call->at[2];
  const float multiplier = call->scalar[0];
  const Range part = part_of(call->size[0], 64, team);
#pragma omp simd
  for (int64_t i = part.begin; i < part.end; i++) out[i] = x[i] + multiplier * y[i];
}
