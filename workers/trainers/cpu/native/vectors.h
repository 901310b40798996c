/*
 * What all kernels share. Included, like the kernels themselves, once for each kind of processor: VECTOR is how many numbers one
 * of its registers holds.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>
#include "attention-sizes.h"
#include "pattern.h"
#include "tape.h"

#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline))

/* Of a loop that finds a largest number: clang cannot make vectors of it, and warns where it is told to. */
#ifdef __clang__
#define SIMD_LARGEST(number)
#else
#define PRAGMA(text) _Pragma(#text)
#define SIMD_LARGEST(number) PRAGMA(omp simd reduction(max : number))
#endif

typedef float Vector __attribute__((vector_size(4 * VECTOR)));
/* The same anywhere in memory. */
typedef float Loose __attribute__((vector_size(4 * VECTOR), aligned(4)));

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t pieces(int64_t length, int64_t piece) { return (length + piece - 1) / piece; }

typedef struct {
  int64_t begin, end;
} Range;

/* A member's part of `count` numbers, rows or whatever: whole multiples of `step`, but at the end. */
INLINE Range part_of(int64_t count, int64_t step, Team team) {
  const int64_t steps = pieces(count, step);
  return (Range){least(count, steps * team.member / team.members * step),
                 least(count, steps * (team.member + 1) / team.members * step)};
}

/*
 * e^x to about 2 units in the last place, so written that compilers make vectors of it: e^x = 2^n · e^r with |r| ≤ ln 2 / 2,
 * and e^r by its Taylor series to the seventh power. 0 below −87, where floats end; NaN stays NaN.
 */
INLINE float exponential(float x) {
  const float to_integer = 12582912.0f; /* 1.5 · 2^23: adding it rounds to an integer, which then stands in the lowest bits */
  float bounded = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
  float shifted = bounded * 1.44269504f + to_integer;
  float n = shifted - to_integer;
  float r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 in two parts */
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  /* Of bits, because a NaN is no integer: to convert it is undefined. */
  uint32_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return x < -87.0f ? 0.0f : p * power;
}
