/*
 * The two norms. Every row is on its own; the gradients of gains and biases, sums over all rows, are taken in chunks of rows and
 * then over the chunks (column_sums), so that threads may share the chunks.
 */

/* y = gain ∘ x·r, r = 1/√(mean x² + ε). at: x [N, C], gain [C], y [N, C], r [N]; size: N, C; scalar: ε */
static void rms_norm(const Call *call, Team team) {
  const int64_t c = call->size[1];
  const float *gain = call->at[1];
  float *inverse = call->at[3];
  const Range rows = part_of(call->size[0], 1, team);
  for (int64_t row = rows.begin; row < rows.end; row++) {
    const float *x = (const float *)call->at[0] + row * c;
    float *y = (float *)call->at[2] + row * c;
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < c; i++) squares += x[i] * x[i];
    const float r = 1 / sqrtf(squares / c + call->scalar[0]);
    inverse[row] = r;
#pragma omp simd
    for (int64_t i = 0; i < c; i++) y[i] = x[i] * r * gain[i];
  }
}

/*
 * With x̂ = x·r and dx̂ = dy ∘ gain: dx = (dx̂ − x̂·mean(dx̂ ∘ x̂))·r + residual, over dy; and for each chunk Σ dy ∘ x̂.
 * at: dy, x [N, C], gain [C], r [N], residual [N, C] or null, sums [chunks, C]; size: N, C, rows of a chunk
 */
static void rms_norm_gradient(const Call *call, Team team) {
  const int64_t n = call->size[0], c = call->size[1], chunk_rows = call->size[2];
  const float *gain = call->at[2], *inverse = call->at[3];
  const Range chunks = part_of(pieces(n, chunk_rows), 1, team);
  for (int64_t chunk = chunks.begin; chunk < chunks.end; chunk++) {
    float *sums = (float *)call->at[5] + chunk * c;
    memset(sums, 0, sizeof(float) * c);
    for (int64_t row = chunk * chunk_rows; row < least(n, (chunk + 1) * chunk_rows); row++) {
      const float *x = (const float *)call->at[1] + row * c;
      const float *residual = call->at[4] ? (const float *)call->at[4] + row * c : 0;
      float *dy = (float *)call->at[0] + row * c;
      const float r = inverse[row];
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < c; i++) sum += dy[i] * gain[i] * x[i];
      const float mean = sum * r / c;
#pragma omp simd
      for (int64_t i = 0; i < c; i++) {
        const float normalized = x[i] * r, gradient = dy[i];
        sums[i] += gradient * normalized;
        dy[i] = (gradient * gain[i] - normalized * mean) * r;
      }
      if (residual) {
#pragma omp simd
        for (int64_t i = 0; i < c; i++) dy[i] += residual[i];
      }
    }
  }
}

/*
 * y = gain ∘ (x − mean)·r + bias, r = 1/√(variance + ε).
 * at: x [N, C], gain, bias [C], y [N, C], mean, r [N]; size: N, C; scalar: ε
 */
static void layer_norm(const Call *call, Team team) {
  const int64_t c = call->size[1];
  const float *gain = call->at[1], *bias = call->at[2];
  float *means = call->at[4], *inverse = call->at[5];
  const Range rows = part_of(call->size[0], 1, team);
  for (int64_t row = rows.begin; row < rows.end; row++) {
    const float *x = (const float *)call->at[0] + row * c;
    float *y = (float *)call->at[3] + row * c;
    float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < c; i++) sum += x[i];
    const float mean = sum / c;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < c; i++) squares += (x[i] - mean) * (x[i] - mean);
    const float r = 1 / sqrtf(squares / c + call->scalar[0]);
    means[row] = mean;
    inverse[row] = r;
#pragma omp simd
    for (int64_t i = 0; i < c; i++) y[i] = (x[i] - mean) * r * gain[i] + bias[i];
  }
}

/*
 * With x̂ = (x − mean)·r and dx̂ = dy ∘ gain: dx = (dx̂ − mean(dx̂) − x̂·mean(dx̂ ∘ x̂))·r + residual, over dy; and for each chunk
 * Σ dy ∘ x̂ and Σ dy.
 * at: dy, x [N, C], gain [C], mean, r [N], residual [N, C] or null, sums of gains, of biases [chunks, C];
 * size: N, C, rows of a chunk
 */
static void layer_norm_gradient(const Call *call, Team team) {
  const int64_t n = call->size[0], c = call->size[1], chunk_rows = call->size[2];
  const float *gain = call->at[2], *means = call->at[3], *inverse = call->at[4];
  const Range chunks = part_of(pieces(n, chunk_rows), 1, team);
  for (int64_t chunk = chunks.begin; chunk < chunks.end; chunk++) {
    float *d_gain = (float *)call->at[6] + chunk * c, *d_bias = (float *)call->at[7] + chunk * c;
    memset(d_gain, 0, sizeof(float) * c);
    memset(d_bias, 0, sizeof(float) * c);
    for (int64_t row = chunk * chunk_rows; row < least(n, (chunk + 1) * chunk_rows); row++) {
      const float *x = (const float *)call->at[1] + row * c;
      const float *residual = call->at[5] ? (const float *)call->at[5] + row * c : 0;
      float *dy = (float *)call->at[0] + row * c;
      const float mean = means[row], r = inverse[row];
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
        dy[i] = (gradient * gain[i] - mean_gradient - normalized * mean_product) * r;
      }
      if (residual) {
#pragma omp simd
        for (int64_t i = 0; i < c; i++) dy[i] += residual[i];
      }
    }
  }
}

/* out = Σ over rows of x, plus out itself if `add`. at: x [rows, C], out [C]; size: rows, C, add */
static void column_sums(const Call *call, Team team) {
  const int64_t n = call->size[0], c = call->size[1];
  float *out = call->at[1];
  const Range columns = part_of(c, 16, team);
  for (int64_t start = columns.begin; start < columns.end; start += 16) {
    const int64_t count = least(16, columns.end - start);
    float sums[16] = {0};
    for (int64_t row = 0; row < n; row++) {
      const float *x = (const float *)call->at[0] + row * c + start;
      for (int64_t i = 0; i < count; i++) sums[i] += x[i];
    }
    for (int64_t i = 0; i < count; i++) out[start + i] = call->size[2] ? out[start + i] + sums[i] : sums[i];
  }
}
