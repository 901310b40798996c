/* Between tokens and numbers: the embedding's rows at one end of the model, the loss at the other. */

/* x = multiplier · W[token]. at: tokens int32 [N], W [V, C], x [N, C]; size: N, C; scalar: multiplier */
static void embed(const Call *call, Team team) {
  const int64_t c = call->size[1];
  const int32_t *tokens = call->at[0];
  const float multiplier = call->scalar[0];
  const Range rows = part_of(call->size[0], 1, team);
  for (int64_t row = rows.begin; row < rows.end; row++) {
    const float *w = (const float *)call->at[1] + tokens[row] * c;
    float *x = (float *)call->at[2] + row * c;
#pragma omp simd
    for (int64_t i = 0; i < c; i++) x[i] = multiplier * w[i];
  }
}

/*
 * dW[token] += multiplier · dx, token by token: one that comes more than once is added up in order. Threads share the columns.
 * at: tokens int32 [N], dx [N, C], dW [V, C]; size: N, C; scalar: multiplier
 */
static void embed_gradient(const Call *call, Team team) {
  const int64_t c = call->size[1];
  const int32_t *tokens = call->at[0];
  const float multiplier = call->scalar[0];
  const Range columns = part_of(c, 16, team);
  for (int64_t row = 0; row < call->size[0]; row++) {
    const float *dx = (const float *)call->at[1] + row * c;
    float *dw = (float *)call->at[2] + tokens[row] * c;
#pragma omp simd
    for (int64_t i = columns.begin; i < columns.end; i++) {
      const float scaled = multiplier * dx[i];
      dw[i] += scaled;
    }
  }
}

/* x = 0. at: x [rows, C]; size: rows, C */
static void zero(const Call *call, Team team) {
  const int64_t c = call->size[1];
  const Range rows = part_of(call->size[0], 1, team);
  memset((float *)call->at[0] + rows.begin * c, 0, sizeof(float) * (rows.end - rows.begin) * c);
}

/* Logits whose exponentials are summed before the sum is added to the others': of 50,000 one by one, half the digits are lost. */
enum { LOGITS = 1024 };

/* Σ exp(logits − largest); and if `keep`, the exponentials in the places of the logits. */
INLINE float sum_exponentials(float *logits, int64_t v, float largest, int keep) {
  float sum = 0;
  for (int64_t begin = 0; begin < v; begin += LOGITS) {
    const int64_t end = least(begin + LOGITS, v);
    float part = 0;
#pragma omp simd reduction(+ : part)
    for (int64_t i = begin; i < end; i++) {
      const float raised = exponential(logits[i] - largest);
      if (keep) logits[i] = raised;
      part += raised;
    }
    sum += part;
  }
  return sum;
}

/*
 * nll = log Σ exp(logits) − logits[target]; and if `gradient`, over the logits, that of the sum of all nll:
 * softmax(logits) − 1 at the target. at: logits [N, V], targets int32 [N], nll [N]; size: N, V, gradient
 */
static void cross_entropy(const Call *call, Team team) {
  const int64_t v = call->size[1];
  const Range rows = part_of(call->size[0], 1, team);
  for (int64_t row = rows.begin; row < rows.end; row++) {
    float *logits = (float *)call->at[0] + row * v;
    const int32_t target = ((const int32_t *)call->at[1])[row];
    const float of_target = logits[target];
    float largest = -INFINITY, sum;
    SIMD_LARGEST(largest)
    for (int64_t i = 0; i < v; i++) largest = logits[i] > largest ? logits[i] : largest;
    if (call->size[2]) {
      sum = sum_exponentials(logits, v, largest, 1);
      const float factor = 1 / sum;
#pragma omp simd
      for (int64_t i = 0; i < v; i++) logits[i] *= factor;
      logits[target] -= 1;
    } else sum = sum_exponentials(logits, v, largest, 0);
    ((float *)call->at[2])[row] = largest + logf(sum) - of_target;
  }
}
