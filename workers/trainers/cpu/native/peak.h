/* What the processor's multipliers can do, for the benchmark to measure everything else against. */

/*
 * Sums in as many registers as a tile of a product has, and nothing else.
 * at: numbers float [VECTOR or more], operations double [1], a multiplication and an addition each counting one; size: rounds
 */
static void fused_multiply_adds(const Call *call, Team team) {
  enum { SUMS = 2 * ROWS, STEPS = 64 };
  if (team.member > 0) return;
  Vector sum[SUMS], x, y;
  memcpy(&x, call->at[0], sizeof x);
  y = x;
  UNROLL for (int i = 0; i < SUMS; i++) sum[i] = x + (float)i;
  for (int64_t round = 0; round < (int64_t)call->size[0] * STEPS; round++) {
    UNROLL for (int i = 0; i < SUMS; i++) sum[i] += x * y;
    /* Not to be taken out of the loop. */
    __asm__ volatile("" : : : "memory");
    memcpy(&x, call->at[0], sizeof x);
  }
  UNROLL for (int i = 1; i < SUMS; i++) sum[0] += sum[i];
  memcpy(call->at[0], &sum[0], sizeof x);
  *(double *)call->at[1] = 2.0 * VECTOR * SUMS * STEPS * call->size[0];
}
