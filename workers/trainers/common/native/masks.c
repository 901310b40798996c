/*
 * Masks from words of a random stream, as docs/trainer-protocol.md states them: 1 where a weight exists, 0 elsewhere. A mask may be
 * where the words are: each number takes the place of its word.
 */
#include <stdint.h>

typedef float __attribute__((may_alias)) Number;

/* A weight exists where its word is below density · 2^32. */
void bernoulli_mask(Number *mask, const uint32_t *words, int64_t count, double density) {
  const double bound = density * 4294967296.0;
  for (int64_t i = 0; i < count; i++) mask[i] = words[i] < bound;
}

/*
 * The `kept` weights with the smallest words exist, equal words in order. The largest of these words is found digit by digit, by
 * counting: sorting them takes far longer.
 */
void exact_mask(Number *mask, const uint32_t *words, int64_t count, int64_t kept) {
  enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };
  static const int shifts[] = {21, 10, 0};
  uint32_t found = 0, known = 0; /* the bits of the word so far, and which they are */
  int64_t wanted = kept;         /* its place among the words that share them, from 1 */
  for (int step = 0; kept > 0 && step < 3; step++) {
    int64_t counts[DIGITS] = {0};
    const int shift = shifts[step];
    const uint32_t digits = step == 2 ? 1023 : DIGITS - 1;
    for (int64_t i = 0; i < count; i++)
      if ((words[i] & known) == found) counts[words[i] >> shift & digits]++;
    uint32_t digit = 0;
    while (counts[digit] < wanted) wanted -= counts[digit++];
    found |= digit << shift;
    known |= digits << shift;
  }
  /* Of the words equal to it, the first `wanted` exist. */
  for (int64_t i = 0; i < count; i++) {
    const int tie = words[i] == found && wanted > 0 && kept > 0;
    mask[i] = tie || (kept > 0 && words[i] < found);
    wanted -= tie;
  }
}
