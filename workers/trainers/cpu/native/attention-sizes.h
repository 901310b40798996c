/* How much memory attention takes, for its kernels and for whoever lays the memory out. */
#pragma once
#include <stdint.h>

/* Queries to a block. */
enum { ATTENTION_BLOCK = 64 };

/* Numbers of the weights P of one head, T tokens: blocks of queries, each with the keys up to its end. */
static inline int64_t attention_weights(int64_t t) {
  int64_t sum = 0;
  for (int64_t begin = 0; begin < t; begin += ATTENTION_BLOCK) {
    const int64_t end = begin + ATTENTION_BLOCK < t ? begin + ATTENTION_BLOCK : t;
    sum += (end - begin) * end;
  }
  return sum;
}

/* Numbers of room that a thread needs, T tokens, D numbers to a token. Panels are up to 32 wide, tiles up to 12 high. */
static inline int64_t attention_room(int64_t t, int64_t d) {
  const int64_t wide_t = (t + 31) / 32 * 32, wide_d = (d + 31) / 32 * 32, longer = wide_t > wide_d ? wide_t : wide_d;
  return 2 * wide_t * wide_d + ATTENTION_BLOCK * (wide_d + wide_t) + 12 * longer;
}
