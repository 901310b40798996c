/* What all loops of the trainer share: how they are compiled, and the exponential. */
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Instructions are chosen when the library is loaded, where the loader can do that. */
#if defined(__x86_64__) && defined(__gnu_linux__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx512f", "arch=haswell", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif
#define INLINE static inline __attribute__((always_inline))

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/*
 * e^x to about 2 units in the last place, so written that compilers make vectors of it: e^x = 2^n · e^r with |r| ≤ ln 2 / 2,
 * and e^r by its Taylor series to the seventh power. 0 below −87, where floats end; NaN stays NaN.
 */
INLINE float exponential(float x) {
  const float to_integer = 12582912.0f; /* 1.5 · 2^23: adding it rounds to an integer */
  float bounded = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
  float n = (bounded * 1.44269504f + to_integer) - to_integer;
  float r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 in two parts */
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  int32_t bits = ((int32_t)n + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return x < -87.0f ? 0.0f : p * power;
}
