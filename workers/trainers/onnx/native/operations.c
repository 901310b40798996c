/*
 * The operations of the model that are no matrix product, each in one pass over memory: ONNX Runtime would take a pass for
 * every addition and multiplication in them. They are nodes of the graph like any other; the files in
 * ../operations make the nodes.
 *
 * An operation works on rows, and every row is on its own (the gradients of gains aside, which are summed over chunks of rows
 * and then over chunks): threads may share the chunks, and the result does not depend on how.
 */
#include "operations.h"
#include "loops.h"

/* y = gain ∘ x·r, r = 1/√(mean x² + ε). x [N, C], gain [C] → y [N, C], r [N, 1] */
FOR_EACH_PROCESSOR
static void rms_norm(const Call *call, int64_t begin, int64_t end, float *partial) {
  (void)partial;
  const int64_t c = call->columns;
  const float *gain = call->in[1];
  for (int64_t row = begin; row < end; row++) {
    const float *x = (const float *)call->in[0] + row * c;
    float *y = call->out[0] + row * c;
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < c; i++) squares += x[i] * x[i];
    const float r = 1 / sqrtf(squares / c + call->epsilon);
    call->out[1][row] = r;
#pragma omp simd
    for (int64_t i = 0; i < c; i++) y[i] = x[i] * r * gain[i];
  }
}

/*
 * With x̂ = x·r and dx̂ = dy ∘ gain: dx = (dx̂ − x̂·mean(dx̂ ∘ x̂))·r + residual, dGain = Σ dy ∘ x̂ over rows.
 * dy [N, C], x [N, C], gain [C], r [N, 1], residual [N, C] or null → dx [N, C], dGain [C]
 */
FOR_EACH_PROCESSOR
static void rms_norm_gradient(const Call *call, int64_t begin, int64_t end, float *partial) {
  const int64_t c = call->columns;
  const float *gain = call->in[2], *inverse = call->in[3];
  for (int64_t row = begin; row < end; row++) {
    const float *dy = (const float *)call->in[0] + row * c, *x = (const float *)call->in[1] + row * c;
    const float *residual = call->in[4] ? (const float *)call->in[4] + row * c : 0;
    float *dx = call->out[0] + row * c;
    const float r = inverse[row];
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < c; i++) sum += dy[i] * gain[i] * x[i];
    const float mean = sum * r / c;
#pragma omp simd
    for (int64_t i = 0; i < c; i++) {
      const float normalized = x[i] * r, gradient = dy[i];
      partial[i] += gradient * normalized;
      dx[i] = (gradient * gain[i] - normalized * mean) * r;
    }
    if (residual) {
#pragma omp simd
      for (int64_t i = 0; i < c; i++) dx[i] += residual[i];
    }
  }
}

/*
 * y = gain ∘ (x − mean)·r + bias, r = 1/√(variance + ε).
 * x [N, C], gain [C], bias [C] → y [N, C], mean [N, 1], r [N, 1]
 */
FOR_EACH_PROCESSOR
static void layer_norm(const Call *call, int64_t begin, int64_t end, float *partial) {
  (void)partial;
  const int64_t c = call->columns;
  const float *gain = call->in[1], *bias = call->in[2];
  for (int64_t row = begin; row < end; row++) {
    const float *x = (const float *)call->in[0] + row * c;
    float *y = call->out[0] + row * c;
    float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < c; i++) sum += x[i];
    const float mean = sum / c;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < c; i++) squares += (x[i] - mean) * (x[i] - mean);
    const float r = 1 / sqrtf(squares / c + call->epsilon);
    call->out[1][row] = mean;
    call->out[2][row] = r;
#pragma omp simd
    for (int64_t i = 0; i < c; i++) y[i] = (x[i] - mean) * r * gain[i] + bias[i];
  }
}

/*
 * With x̂ = (x − mean)·r and dx̂ = dy ∘ gain: dx = (dx̂ − mean(dx̂) − x̂·mean(dx̂ ∘ x̂))·r + residual, and dGain = Σ dy ∘ x̂,
 * dBias = Σ dy over rows.
 * dy [N, C], x [N, C], gain [C], mean [N, 1], r [N, 1], residual [N, C] or null → dx [N, C], dGain [C], dBias [C]
 */
FOR_EACH_PROCESSOR
static void layer_norm_gradient(const Call *call, int64_t begin, int64_t end, float *partial) {
  const int64_t c = call->columns;
  const float *gain = call->in[2];
  float *d_gain = partial, *d_bias = partial + c;
  for (int64_t row = begin; row < end; row++) {
    const float *dy = (const float *)call->in[0] + row * c, *x = (const float *)call->in[1] + row * c;
    const float *residual = call->in[5] ? (const float *)call->in[5] + row * c : 0;
    const float mean = ((const float *)call->in[3])[row], r = ((const float *)call->in[4])[row];
    float *dx = call->out[0] + row * c;
    float sum = 0, product = 0;
#pragma omp simd reduction(+ : sum, product)
    for (int64_t i = 0; i < c; i++) {
      sum += dy[i] * gain[i];
      product += dy[i] * gain[i] * (x[i] - mean);
    }
    const float mean_gradient = sum / c, mean_product = product * r / c;
#pragma omp simd
    for (int64_t i = 0; i < c; i++) {
      const float normalized = (x[i] - mean) * r, gradient = dy[i];
      d_gain[i] += gradient * normalized;
      d_bias[i] += gradient;
      dx[i] = (gradient * gain[i] - mean_gradient - normalized * mean_product) * r;
    }
    if (residual) {
#pragma omp simd
      for (int64_t i = 0; i < c; i++) dx[i] += residual[i];
    }
  }
}

/* y = silu(gate) ∘ up. gate [N, F], up [N, F] → y [N, F] */
FOR_EACH_PROCESSOR
static void swiglu(const Call *call, int64_t begin, int64_t end, float *partial) {
  (void)partial;
  const float *gate = call->in[0], *up = call->in[1];
  float *y = call->out[0];
#pragma omp simd
  for (int64_t i = begin * call->columns; i < end * call->columns; i++)
    y[i] = gate[i] / (1 + exponential(-gate[i])) * up[i];
}

/* dGate = dy ∘ up ∘ σ ∘ (1 + gate ∘ (1 − σ)), dUp = dy ∘ silu(gate). dy, gate, up [N, F] → dGate, dUp [N, F] */
FOR_EACH_PROCESSOR
static void swiglu_gradient(const Call *call, int64_t begin, int64_t end, float *partial) {
  (void)partial;
  const float *dy = call->in[0], *gate = call->in[1], *up = call->in[2];
  float *d_gate = call->out[0], *d_up = call->out[1];
#pragma omp simd
  for (int64_t i = begin * call->columns; i < end * call->columns; i++) {
    const float gradient = dy[i], x = gate[i], sigmoid = 1 / (1 + exponential(-x)), silu = x * sigmoid;
    d_gate[i] = gradient * up[i] * (sigmoid + silu * (1 - sigmoid));
    d_up[i] = gradient * silu;
  }
}

/* Keys that the query of this row may look at: those up to itself. */
INLINE int64_t seen(const Call *call, int64_t row) {
  const int64_t queries = call->shape[2];
  return call->start + row % queries + 1;
}

/*
 * P = softmax over keys j ≤ i of scores − slope·(i − j), 0 for later keys; query i of a block that begins at `start`.
 * scores [B, H, queries, keys], slopes [H] → P [B, H, queries, keys]
 */
FOR_EACH_PROCESSOR
static void causal_softmax(const Call *call, int64_t begin, int64_t end, float *partial) {
  (void)partial;
  const int64_t keys = call->columns;
  for (int64_t row = begin; row < end; row++) {
    const float *scores = (const float *)call->in[0] + row * keys;
    const float slope = ((const float *)call->in[1])[row / call->shape[2] % call->shape[1]];
    float *p = call->out[0] + row * keys;
    const int32_t count = (int32_t)seen(call, row);
    float largest = -INFINITY, sum = 0;
#pragma omp simd reduction(max : largest)
    for (int32_t j = 0; j < count; j++) {
      const float biased = scores[j] - slope * (float)(count - 1 - j);
      p[j] = biased;
      largest = biased > largest ? biased : largest;
    }
#pragma omp simd reduction(+ : sum)
    for (int32_t j = 0; j < count; j++) {
      p[j] = exponential(p[j] - largest);
      sum += p[j];
    }
    const float factor = 1 / sum;
#pragma omp simd
    for (int32_t j = 0; j < count; j++) p[j] *= factor;
    for (int64_t j = count; j < keys; j++) p[j] = 0;
  }
}

/* dS = P ∘ (dP − Σ P ∘ dP) in every row. dP, P [B, H, queries, keys] → dS [B, H, queries, keys] */
FOR_EACH_PROCESSOR
static void causal_softmax_gradient(const Call *call, int64_t begin, int64_t end, float *partial) {
  (void)partial;
  const int64_t keys = call->columns;
  for (int64_t row = begin; row < end; row++) {
    const float *dp = (const float *)call->in[0] + row * keys, *p = (const float *)call->in[1] + row * keys;
    float *ds = call->out[0] + row * keys;
    const int64_t count = seen(call, row);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < count; j++) sum += p[j] * dp[j];
#pragma omp simd
    for (int64_t j = 0; j < count; j++) ds[j] = p[j] * (dp[j] - sum);
    for (int64_t j = count; j < keys; j++) ds[j] = 0;
  }
}

/*
 * nll = log Σ exp(logits) − logits[target], and unless nobody reads it dLogits = softmax(logits) − 1 at the target.
 * logits [N, V], targets [N] int32 → dLogits [N, V] or null, nll [N, 1]
 */
FOR_EACH_PROCESSOR
static void cross_entropy(const Call *call, int64_t begin, int64_t end, float *partial) {
  (void)partial;
  const int64_t v = call->columns;
  for (int64_t row = begin; row < end; row++) {
    const float *logits = (const float *)call->in[0] + row * v;
    float *gradient = call->out[0] ? call->out[0] + row * v : 0; /* may be logits */
    const int32_t target = ((const int32_t *)call->in[1])[row];
    const float of_target = logits[target];
    float largest = -INFINITY, sum = 0;
#pragma omp simd reduction(max : largest)
    for (int64_t i = 0; i < v; i++) largest = logits[i] > largest ? logits[i] : largest;
    if (gradient) {
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < v; i++) {
        gradient[i] = exponential(logits[i] - largest);
        sum += gradient[i];
      }
      const float factor = 1 / sum;
#pragma omp simd
      for (int64_t i = 0; i < v; i++) gradient[i] *= factor;
      gradient[target] -= 1;
    } else {
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < v; i++) sum += exponential(logits[i] - largest);
    }
    call->out[1][row] = largest + logf(sum) - of_target;
  }
}

const Operation operations[] = {
    {"RmsNorm", rms_norm, 2, 2, {FLOATS, FLOATS}, 2, {AS_INPUT, ROWS}},
    {"RmsNormGradient", rms_norm_gradient, 5, 4, {FLOATS, FLOATS, FLOATS, FLOATS, FLOATS}, 2, {AS_INPUT, COLUMN_SUMS}},
    {"LayerNorm", layer_norm, 3, 3, {FLOATS, FLOATS, FLOATS}, 3, {AS_INPUT, ROWS, ROWS}},
    {"LayerNormGradient",
     layer_norm_gradient,
     6,
     5,
     {FLOATS, FLOATS, FLOATS, FLOATS, FLOATS, FLOATS},
     3,
     {AS_INPUT, COLUMN_SUMS, COLUMN_SUMS}},
    {"Swiglu", swiglu, 2, 2, {FLOATS, FLOATS}, 1, {AS_INPUT}},
    {"SwigluGradient", swiglu_gradient, 3, 3, {FLOATS, FLOATS, FLOATS}, 2, {AS_INPUT, AS_INPUT}},
    {"CausalSoftmax", causal_softmax, 2, 2, {FLOATS, FLOATS}, 1, {AS_INPUT}},
    {"CausalSoftmaxGradient", causal_softmax_gradient, 2, 2, {FLOATS, FLOATS}, 1, {AS_INPUT}},
    {"CrossEntropy", cross_entropy, 2, 2, {FLOATS, INTEGERS}, 2, {AS_INPUT, ROWS}},
};
const int operation_count = sizeof operations / sizeof operations[0];
