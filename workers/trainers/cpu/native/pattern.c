/*
 * The patterns of a sparse matrix [rows, columns], from its mask. Forward, outputs are columns and the inner axis is the rows;
 * backward it is the other way round. Entries of one block and output follow each other in rising order of the inner axis.
 */
#include "pattern.h"
#include <string.h>

/* Of a matrix that is a mask of floats first. */
typedef uint32_t __attribute__((may_alias)) Cell;

int64_t panel_tokens(void) { return PANEL; }

/*
 * Forward: begin [blocks, columns + 1], index [weights]. Takes the mask, 0 where no weight exists, and leaves in its place
 * each weight's entry plus 1.
 */
void forward_pattern(Cell *mask, int64_t rows, int64_t columns, int64_t block, uint32_t *begin, uint16_t *index) {
  uint32_t entries = 0;
  for (int64_t start = 0, b = 0; start < rows; start += block, b++) {
    uint32_t *next = begin + b * (columns + 1);
    const int64_t end = start + block < rows ? start + block : rows;
    memset(next, 0, sizeof *next * (columns + 1));
    for (int64_t i = start; i < end; i++)
      for (int64_t j = 0; j < columns; j++) next[j] += mask[i * columns + j] != 0;
    for (int64_t j = 0; j <= columns; j++) {
      const uint32_t count = j < columns ? next[j] : 0;
      next[j] = entries;
      entries += count;
    }
    /* next[j] moves from the beginning of column j to its end, which is the beginning of the one after. */
    for (int64_t i = start; i < end; i++)
      for (int64_t j = 0; j < columns; j++) {
        Cell *cell = &mask[i * columns + j];
        if (*cell == 0) continue;
        index[next[j]] = (uint16_t)i;
        *cell = ++next[j];
      }
    memmove(next + 1, next, sizeof *next * columns);
    next[0] = b == 0 ? 0 : next[-1];
  }
}

/*
 * Backward: begin [blocks, rows + 1], index [weights], and which entry of the forward pattern each is. entries: what
 * forward_pattern left.
 */
void backward_pattern(const Cell *entries, int64_t rows, int64_t columns, int64_t block, uint32_t *begin, uint16_t *index,
                      uint32_t *from) {
  uint32_t e = 0;
  for (int64_t start = 0; start < columns; start += block) {
    const int64_t end = start + block < columns ? start + block : columns;
    for (int64_t i = 0; i < rows; i++) {
      *begin++ = e;
      for (int64_t j = start; j < end; j++) {
        const uint32_t entry = entries[i * columns + j];
        if (entry == 0) continue;
        index[e] = (uint16_t)j;
        from[e++] = entry - 1;
      }
    }
    *begin++ = e;
  }
}

/* Between all numbers of the matrix, zeros where no weight exists, and those of the weights in the order of the forward pattern. */
void gather_weights(const float *all, const uint32_t *begin, const uint16_t *index, int64_t blocks, int64_t columns, float *weights) {
  for (int64_t b = 0; b < blocks; b++, begin += columns + 1)
    for (int64_t j = 0; j < columns; j++)
      for (uint32_t e = begin[j]; e < begin[j + 1]; e++) weights[e] = all[index[e] * columns + j];
}
void scatter_weights(const float *weights, const uint32_t *begin, const uint16_t *index, int64_t blocks, int64_t columns, int64_t rows,
                     float *all) {
  memset(all, 0, sizeof *all * rows * columns);
  for (int64_t b = 0; b < blocks; b++, begin += columns + 1)
    for (int64_t j = 0; j < columns; j++)
      for (uint32_t e = begin[j]; e < begin[j + 1]; e++) all[index[e] * columns + j] = weights[e];
}
