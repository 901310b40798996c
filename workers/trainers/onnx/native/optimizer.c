/* The optimizer's loops, as optimizer.ts calls them. */
#include "loops.h"

/* A run of at most 2^31 numbers of one tensor, as optimizer.ts lays it out. */
typedef struct {
  float *weight, *first, *second;
  const float *mask;    /* null: none */
  const float *sums[2]; /* of gradients, one per lane; the second may be null */
  int64_t count;
  int64_t group;
} Block;

enum { PIECE = 1024, PARTIAL_SUMS = 16 };

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

/* squares[b] = sum of the squared gradients of block b, for b from begin to end - 1 */
FOR_EACH_PROCESSOR
void sum_of_squares(const Block *blocks, int64_t begin, int64_t end, double *squares) {
  float gradient[PIECE];
  for (int64_t b = begin; b < end; b++) {
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

/* Updates blocks begin ... end - 1. rates: per group, the rate and what is kept of a weight */
FOR_EACH_PROCESSOR
void adamw(const Block *blocks, int64_t begin, int64_t end, const float *rates, float beta1, float beta2, float eps,
           float factor) {
  float gradient[PIECE];
  for (int64_t b = begin; b < end; b++) {
    float rate = rates[2 * blocks[b].group], keep = rates[2 * blocks[b].group + 1];
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
