/* Matrix products of dense row-major arrays. */
#pragma once
#include <stdint.h>

/* out = alpha · a·b, plus onto; `batch` of them, one behind the other in every array. */
typedef struct {
  const float *a;    /* [rows, inner], or [inner, rows] if turned */
  const float *b;    /* [inner, columns], or [columns, inner] if turned */
  const float *onto; /* [rows, columns] or null; may be out */
  float *out;        /* [rows, columns] */
  int64_t batch, rows, inner, columns;
  int64_t a_turned, b_turned;
  float alpha;
} Product;

/*
 * Computes part 0 ... parts - 1 of the work; parts may run at once. Every number of the result is summed up in the same order
 * whatever the parts.
 */
void multiply(const Product *product, int64_t part, int64_t parts);
