/* The optimizer's loops. optimizer.ts has the formulas, and lays the parameters out in blocks, which threads share. */

/* A run of at most 2^31 numbers of one tensor. */
typedef struct {
  float *weight, *first, *second;
  const float *mask;    /* null: none */
  const float *sums[2]; /* of gradients, one per lane; the second may be null */
  int64_t count;
  int64_t group;
} Block;

enum { PIECE = 1024, PARTIAL_SUMS = 16, RATES = 3 };

/* The masked gradient of numbers start ... start + count - 1, summed over lanes. */
INLINE void gather(const Block *b, int64_t start, int64_t count, float *restrict gradient) {
  const float *restrict sum = b->sums[0] + start;
  for (int64_t i = 0; i < count; i++) gradient[i] = sum[i];
  if (b->sums[1]) {
    const float *restrict other = b->sums[1] + start;
    for (int64_t i = 0; i < count; i++) gradient[i] += other[i];
  }
  if (b->mask) {
    const float *restrict mask = b->mask + start;
    for (int64_t i = 0; i < count; i++) gradient[i] *= mask[i];
  }
}

/* squares[b] = sum of the squared gradients of block b. at: blocks, squares double [blocks]; size: blocks */
static void sum_of_squares(const Call *call, Team team) {
  const Block *blocks = call->at[0];
  double *squares = call->at[1];
  float gradient[PIECE];
  const Range part = part_of(call->size[0], 1, team);
  for (int64_t b = part.begin; b < part.end; b++) {
    double partial[PARTIAL_SUMS] = {0};
    for (int64_t start = 0; start < blocks[b].count; start += PIECE) {
      int64_t count = least(PIECE, blocks[b].count - start);
      gather(&blocks[b], start, count, gradient);
      int64_t i = 0;
      for (; i + PARTIAL_SUMS <= count; i += PARTIAL_SUMS)
        for (int j = 0; j < PARTIAL_SUMS; j++) partial[j] += (double)gradient[i + j] * gradient[i + j];
      for (int j = 0; i + j < count; j++) partial[j] += (double)gradient[i + j] * gradient[i + j];
    }
    squares[b] = 0;
    for (int j = 0; j < PARTIAL_SUMS; j++) squares[b] += partial[j];
  }
}

/*
 * The global norm of the mean gradient, and what the sums are multiplied by: one over the tokens, less where the norm is above
 * the clip. at: squares double [blocks], numbers double [clip or 0 for none, tokens, norm, factor]; size: blocks
 */
static void clip(const Call *call, Team team) {
  const double *squares = call->at[0];
  double *numbers = call->at[1], sum = 0;
  if (team.member > 0) return;
  for (int64_t b = 0; b < call->size[0]; b++) sum += squares[b];
  const double norm = sqrt(sum) / numbers[1], ratio = numbers[0] / norm;
  numbers[2] = norm;
  /* A norm that is no number stays one. */
  numbers[3] = (numbers[0] == 0 || ratio >= 1 ? 1 : ratio) / numbers[1];
}

/*
 * One update of all blocks. at: blocks, rates [groups, 3] (the rate, what is kept of a weight, eps), numbers as above;
 * size: blocks; scalar: β1, β2
 */
static void adamw(const Call *call, Team team) {
  const Block *blocks = call->at[0];
  const float *rates = call->at[1], factor = (float)((const double *)call->at[2])[3];
  const float beta1 = call->scalar[0], beta2 = call->scalar[1];
  float gradient[PIECE];
  const Range part = part_of(call->size[0], 1, team);
  for (int64_t b = part.begin; b < part.end; b++) {
    const float *own = rates + RATES * blocks[b].group;
    const float rate = own[0], keep = own[1], eps = own[2];
    for (int64_t start = 0; start < blocks[b].count; start += PIECE) {
      int64_t count = least(PIECE, blocks[b].count - start);
      gather(&blocks[b], start, count, gradient);
      float *restrict weight = blocks[b].weight + start;
      float *restrict first = blocks[b].first + start;
      float *restrict second = blocks[b].second + start;
      for (int64_t i = 0; i < count; i++) {
        float clipped = gradient[i] * factor;
        float m = first[i] * beta1 + clipped;
        float u = second[i] * beta2 + clipped * clipped;
        first[i] = m;
        second[i] = u;
        weight[i] = weight[i] * keep - m / (sqrtf(u) + eps) * rate;
      }
    }
  }
}
