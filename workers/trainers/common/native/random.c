/*
 * Streams of random numbers, as philox.ts defines them and docs/trainer-protocol.md states in full: words of Philox4x32-10 (Salmon,
 * Moraes, Dror, Shaw, SC 2011), and normal numbers by Box and Muller.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

/*
 * Instructions are chosen when the library is loaded, where the loader can do that. For functions of this file alone: clang exports
 * such ones under other names.
 */
#if defined(__x86_64__) && defined(__gnu_linux__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx512f", "arch=haswell", "default"))) static
#else
#define FOR_EACH_PROCESSOR static
#endif
#define INLINE static inline __attribute__((always_inline))

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__)
/* glibc has these for vectors, too, exact to a few units of a double's last place. */
__attribute__((simd("notinbranch"))) double log(double);
__attribute__((simd("notinbranch"))) double sin(double);
__attribute__((simd("notinbranch"))) double cos(double);
#endif

enum { LANES = 16, WORDS = 4 * LANES, ROUNDS = 10 };

/* Words of blocks first ... first + LANES - 1 of a stream. */
INLINE void blocks(uint32_t *words, uint64_t first, uint32_t tag, uint32_t seed, uint32_t key) {
  uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];
  for (int i = 0; i < LANES; i++) {
    c0[i] = (uint32_t)(first + i);
    c1[i] = (uint32_t)((first + i) >> 32);
    c2[i] = tag;
    c3[i] = 0;
  }
  for (int round = 0; round < ROUNDS; round++) {
    const uint32_t k0 = seed + 0x9e3779b9u * round, k1 = key + 0xbb67ae85u * round;
#pragma omp simd
    for (int i = 0; i < LANES; i++) {
      const uint64_t left = (uint64_t)0xd2511f53u * c0[i], right = (uint64_t)0xcd9e8d57u * c2[i];
      c0[i] = (uint32_t)(right >> 32) ^ c1[i] ^ k0;
      c1[i] = (uint32_t)right;
      c2[i] = (uint32_t)(left >> 32) ^ c3[i] ^ k1;
      c3[i] = (uint32_t)left;
    }
  }
  for (int i = 0; i < LANES; i++) {
    words[4 * i] = c0[i];
    words[4 * i + 1] = c1[i];
    words[4 * i + 2] = c2[i];
    words[4 * i + 3] = c3[i];
  }
}

FOR_EACH_PROCESSOR
void draw_words(uint32_t *out, int64_t count, uint32_t tag, uint32_t seed, uint32_t key) {
  uint32_t words[WORDS];
  for (int64_t start = 0; start < count; start += WORDS) {
    blocks(words, start / 4, tag, seed, key);
    memcpy(out + start, words, least(WORDS, count - start) * sizeof *words);
  }
}

FOR_EACH_PROCESSOR
void draw_normal_numbers(float *out, int64_t count, uint32_t tag, uint32_t seed, uint32_t key, double deviation) {
  const double pi = 3.14159265358979323846, unit = 1.0 / 4294967296.0;
  uint32_t words[WORDS];
  float numbers[WORDS];
  double radius[WORDS / 2], angle[WORDS / 2], even[WORDS / 2], odd[WORDS / 2];
  for (int64_t start = 0; start < count; start += WORDS) {
    blocks(words, start / 4, tag, seed, key);
    for (int i = 0; i < WORDS / 2; i++) {
      radius[i] = (words[2 * i] + 0.5) * unit;
      angle[i] = 2 * pi * ((words[2 * i + 1] + 0.5) * unit);
    }
#pragma omp simd
    for (int i = 0; i < WORDS / 2; i++) radius[i] = deviation * sqrt(-2 * log(radius[i]));
    /* Apart: together they would become one function, which glibc has for single numbers only. */
#pragma omp simd
    for (int i = 0; i < WORDS / 2; i++) even[i] = radius[i] * cos(angle[i]);
#pragma omp simd
    for (int i = 0; i < WORDS / 2; i++) odd[i] = radius[i] * sin(angle[i]);
    for (int i = 0; i < WORDS / 2; i++) {
      numbers[2 * i] = (float)even[i];
      numbers[2 * i + 1] = (float)odd[i];
    }
    memcpy(out + start, numbers, least(WORDS, count - start) * sizeof *numbers);
  }
}

FOR_EACH_PROCESSOR
int64_t count_words_below(double bound, int64_t count, uint32_t tag, uint32_t seed, uint32_t key) {
  uint32_t words[WORDS];
  int64_t found = 0;
  for (int64_t start = 0; start < count; start += WORDS) {
    blocks(words, start / 4, tag, seed, key);
    for (int64_t i = 0; i < least(WORDS, count - start); i++) found += words[i] < bound;
  }
  return found;
}

/* The first `count` words. */
void random_words(uint32_t *out, int64_t count, uint32_t tag, uint32_t seed, uint32_t key) {
  draw_words(out, count, tag, seed, key);
}

/* `count` normal numbers of mean 0. */
void normal_numbers(float *out, int64_t count, uint32_t tag, uint32_t seed, uint32_t key, double deviation) {
  draw_normal_numbers(out, count, tag, seed, key, deviation);
}

/* How many of the first `count` words are below the bound. */
int64_t count_below(double bound, int64_t count, uint32_t tag, uint32_t seed, uint32_t key) {
  return count_words_below(bound, count, tag, seed, key);
}
