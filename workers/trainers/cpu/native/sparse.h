/*
 * Products with matrices of which few weights exist: these alone are stored and multiplied.
 *
 * Activations lie in panels of PANEL tokens, [panels, features, PANEL]: a weight then meets whole registers of tokens. Of the last
 * panel, tokens that do not exist are 0. A pattern says where the weights are: for each block of the inner axis (so short that a
 * panel's part of it fits the first cache) and each output, entries begin[block · (outputs + 1) + output] up to the next, each
 * with its place on the inner axis, index[entry], in rising order.
 */

/* Tokens, and outputs, whose sums are made at once: eight registers of them. */
enum { TOKENS = 8 * VECTOR < PANEL ? 8 * VECTOR : PANEL, REGISTERS = TOKENS / VECTOR, OUTPUTS = 8 / REGISTERS };

/* ---- between rows of tokens and panels ---- */

/* panel [length, PANEL] = scale · x, x [tokens, length] a run of at most PANEL rows. */
static void turn_in(const float *x, int64_t length, int64_t tokens, float scale, float *panel) {
  const int64_t whole = tokens == PANEL ? length / VECTOR * VECTOR : 0;
  for (int64_t c = 0; c < whole; c += VECTOR)
    for (int64_t t = 0; t < PANEL; t += VECTOR) {
      Vector row[VECTOR];
      UNROLL for (int i = 0; i < VECTOR; i++) row[i] = scale * *(const Loose *)(x + (t + i) * length + c);
      turn_registers(row);
      UNROLL for (int i = 0; i < VECTOR; i++) *(Vector *)(panel + (c + i) * PANEL + t) = row[i];
    }
  for (int64_t c = whole; c < length; c++)
    for (int64_t t = 0; t < PANEL; t++) panel[c * PANEL + t] = t < tokens ? scale * x[t * length + c] : 0;
}

/* out [tokens, length] = scale · panel, plus onto unless that is null. */
static void turn_out(const float *panel, int64_t length, int64_t tokens, float scale, const float *onto, float *out) {
  const int64_t whole = tokens == PANEL ? length / VECTOR * VECTOR : 0;
  for (int64_t c = 0; c < whole; c += VECTOR)
    for (int64_t t = 0; t < PANEL; t += VECTOR) {
      Vector row[VECTOR];
      UNROLL for (int i = 0; i < VECTOR; i++) row[i] = scale * *(const Vector *)(panel + (c + i) * PANEL + t);
      turn_registers(row);
      UNROLL for (int i = 0; i < VECTOR; i++) {
        const int64_t place = (t + i) * length + c;
        *(Loose *)(out + place) = onto ? *(const Loose *)(onto + place) + row[i] : row[i];
      }
    }
  for (int64_t c = whole; c < length; c++)
    for (int64_t t = 0; t < tokens; t++) {
      const float number = scale * panel[c * PANEL + t];
      out[t * length + c] = onto ? onto[t * length + c] + number : number;
    }
}

/* at: x [N, C], panels; size: N, C; scalar: scale */
static void to_panels(const Call *call, Team team) {
  const int64_t n = call->size[0], c = call->size[1];
  const Range part = part_of(pieces(n, PANEL), 1, team);
  for (int64_t p = part.begin; p < part.end; p++)
    turn_in((const float *)call->at[0] + p * PANEL * c, c, least(PANEL, n - p * PANEL), call->scalar[0],
            (float *)call->at[1] + p * PANEL * c);
}

/* at: panels, out [N, C]; size: N, C */
static void from_panels(const Call *call, Team team) {
  const int64_t n = call->size[0], c = call->size[1];
  const Range part = part_of(pieces(n, PANEL), 1, team);
  for (int64_t p = part.begin; p < part.end; p++)
    turn_out((const float *)call->at[0] + p * PANEL * c, c, least(PANEL, n - p * PANEL), 1, 0,
             (float *)call->at[1] + p * PANEL * c);
}

/* ---- products ---- */

typedef struct {
  const uint32_t *begin;
  const uint16_t *index;
  int64_t blocks, outputs;
} Pattern;

#if VECTOR == 16
#define BROADCAST_FOUR "vbroadcastf32x4"
#else
#define BROADCAST_FOUR "vbroadcastf128"
#endif

/* Four numbers in each four places of a register; compilers make a detour through memory of it. */
INLINE Vector four_numbers(const float *x) {
#if VECTOR == 4
  return *(const Loose *)x;
#else
  Vector numbers;
  __asm__(BROADCAST_FOUR " %1, %0" : "=v"(numbers) : "m"(*(const float(*)[4])x));
  return numbers;
#endif
}

/* One of them in all places. */
#if VECTOR == 16
#define SPREAD(x, i) PICK(x, x, i, i, i, i, 4 + i, 4 + i, 4 + i, 4 + i, 8 + i, 8 + i, 8 + i, 8 + i, 12 + i, 12 + i, 12 + i, 12 + i)
#elif VECTOR == 8
#define SPREAD(x, i) PICK(x, x, i, i, i, i, 4 + i, 4 + i, 4 + i, 4 + i)
#else
#define SPREAD(x, i) PICK(x, x, i, i, i, i)
#endif

/* sum [TOKENS] += factor · x */
INLINE void add_product(Vector *sum, const float *x, Vector factor) {
  UNROLL for (int v = 0; v < REGISTERS; v++) sum[v] += factor * *(const Vector *)(x + v * VECTOR);
}

/* The same of four weights and the x at their places. Each four are loaded at once: how much is loaded is what limits. */
INLINE void add_four(Vector *sum, const float *x, const float *value, const uint16_t *index) {
  uint64_t places;
  memcpy(&places, index, sizeof places);
  const Vector four = four_numbers(value);
  add_product(sum, x + (places & 0xffff) * PANEL, SPREAD(four, 0));
  add_product(sum, x + (places >> 16 & 0xffff) * PANEL, SPREAD(four, 1));
  add_product(sum, x + (places >> 32 & 0xffff) * PANEL, SPREAD(four, 2));
  add_product(sum, x + (places >> 48) * PANEL, SPREAD(four, 3));
}

/* The same of entries e up to end, as far as there are four. Returns where it stopped. */
INLINE uint32_t add_fours(Vector *sum, const float *x, const float *value, const uint16_t *index, uint32_t e, uint32_t end) {
  for (; e + 4 <= end; e += 4) add_four(sum, x, value + e, index + e);
  return e;
}

/* The same one by one. */
INLINE void add_ones(Vector *sum, const float *x, const float *value, const uint16_t *index, uint32_t e, uint32_t end) {
  for (; e < end; e++) add_product(sum, x + (int64_t)index[e] * PANEL, (Vector){0} + value[e]);
}

INLINE void begin_sum(Vector *sum, const float *y, int add) {
  UNROLL for (int v = 0; v < REGISTERS; v++) sum[v] = add ? *(const Vector *)(y + v * VECTOR) : (Vector){0};
}

INLINE void end_sum(const Vector *sum, float *y) {
  UNROLL for (int v = 0; v < REGISTERS; v++) *(Vector *)(y + v * VECTOR) = sum[v];
}

/*
 * y [outputs, TOKENS], PANEL apart, = Σ value · x[index] of the entries begin[o] to begin[o + 1]; plus what is in y if `add`. Of two
 * outputs in turns: an addition to a number waits for the one before it, and of one output there are few numbers.
 */
INLINE void sum_entries(const int outputs, const uint32_t *begin, const uint16_t *index, const float *value, const float *x,
                        float *y, int add) {
  uint32_t e = begin[0], f = begin[1];
  const uint32_t e_end = f, f_end = begin[outputs];
  Vector sum[REGISTERS], other[REGISTERS];
  if (add && e == f_end) return;
  begin_sum(sum, y, add);
  if (outputs == 2) {
    begin_sum(other, y + PANEL, add);
    for (; e + 4 <= e_end && f + 4 <= f_end; e += 4, f += 4) {
      add_four(sum, x, value + e, index + e);
      add_four(other, x, value + f, index + f);
    }
    f = add_fours(other, x, value, index, f, f_end);
  }
  e = add_fours(sum, x, value, index, e, e_end);
  add_ones(sum, x, value, index, e, e_end);
  if (outputs == 2) {
    add_ones(other, x, value, index, f, f_end);
    end_sum(other, y + PANEL);
  }
  end_sum(sum, y);
}

/* y [outputs, PANEL] = Σ value · x[index], over one panel x [inner, PANEL]; plus what is in y if `add`. */
static void sparse_panel(Pattern w, const float *value, const float *x, float *y, int add) {
  for (int64_t t = 0; t < PANEL; t += TOKENS)
    for (int64_t b = 0; b < w.blocks; b++) {
      const uint32_t *begin = w.begin + b * (w.outputs + 1);
      int64_t j = 0;
      for (; j + OUTPUTS <= w.outputs; j += OUTPUTS)
        sum_entries(OUTPUTS, begin + j, w.index, value, x + t, y + j * PANEL + t, b > 0 || add);
      if (j < w.outputs) sum_entries(1, begin + j, w.index, value, x + t, y + j * PANEL + t, b > 0 || add);
    }
}

/*
 * y = x·W in panels, plus what is there if `add`; and in rows of tokens, if there is an out, out = scale · y + onto. Without y a
 * thread has room for a panel of it at a time.
 * at: x panels, begin, index, values, y panels or null, onto [N, outputs] or null, out [N, outputs] or null, room or null;
 * size: N, inner, outputs, blocks, add; scalar: scale
 */
static void sparse_product(const Call *call, Team team) {
  const int64_t n = call->size[0], inner = call->size[1], outputs = call->size[2];
  const Pattern w = {call->at[1], call->at[2], call->size[3], outputs};
  const float *x = call->at[0], *value = call->at[3], *onto = call->at[5];
  float *y = call->at[4], *out = call->at[6], *room = call->at[7];
  const Range part = part_of(pieces(n, PANEL), 1, team);
  for (int64_t p = part.begin; p < part.end; p++) {
    const int64_t place = p * PANEL * outputs;
    float *sums = y ? y + place : room + team.member * PANEL * outputs;
    sparse_panel(w, value, x + p * PANEL * inner, sums, call->size[4]);
    if (out) turn_out(sums, outputs, least(PANEL, n - p * PANEL), call->scalar[0], onto ? onto + place : 0, out + place);
  }
}

/* The sums of the numbers of four registers, in the first four places. */
INLINE Vector sums_of_four(Vector a, Vector b, Vector c, Vector d) {
#if VECTOR == 16
#define LOW(a, b) PICK(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define HIGH(a, b) PICK(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define LEFT(a, b) PICK(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define RIGHT(a, b) PICK(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#elif VECTOR == 8
#define LOW(a, b) PICK(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH(a, b) PICK(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define LEFT(a, b) PICK(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define RIGHT(a, b) PICK(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#else
#define LOW(a, b) PICK(a, b, 0, 4, 1, 5)
#define HIGH(a, b) PICK(a, b, 2, 6, 3, 7)
#define LEFT(a, b) PICK(a, b, 0, 1, 4, 5)
#define RIGHT(a, b) PICK(a, b, 2, 3, 6, 7)
#endif
  const Vector ab = LOW(a, b) + HIGH(a, b), cd = LOW(c, d) + HIGH(c, d);
  Vector sums = LEFT(ab, cd) + RIGHT(ab, cd); /* in each four places, of a, b, c and d */
#if VECTOR == 16
  sums += PICK(sums, sums, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
  sums += PICK(sums, sums, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
#elif VECTOR == 8
  sums += PICK(sums, sums, 4, 5, 6, 7, 0, 1, 2, 3);
#endif
  return sums;
#undef LOW
#undef HIGH
#undef LEFT
#undef RIGHT
}

typedef float Four __attribute__((vector_size(16), aligned(4)));

/*
 * The gradient of the weights that exist: dw[e] = Σ over tokens of x[index of e] · dy[output of e], plus dw itself if `add`. Entries
 * are taken in fours: index has three more at its end.
 * at: x panels, dy panels, begin, index, dw; size: N, inner, outputs, blocks, add
 */
static void sparse_gradient(const Call *call, Team team) {
  const int64_t inner = call->size[1], outputs = call->size[2], panels = pieces(call->size[0], PANEL);
  const Pattern w = {call->at[2], call->at[3], call->size[3], outputs};
  float *dw = call->at[4];
  const Range part = part_of(outputs, 1, team);
  int add = call->size[4];
  for (int64_t p = 0; p < panels; p++)
    for (int64_t t = 0; t < PANEL; t += TOKENS, add = 1) {
      const float *x = (const float *)call->at[0] + p * PANEL * inner + t;
      const float *dy = (const float *)call->at[1] + p * PANEL * outputs + t;
      for (int64_t b = 0; b < w.blocks; b++) {
        const uint32_t *begin = w.begin + b * (outputs + 1);
        for (int64_t j = part.begin; j < part.end; j++) {
          const uint32_t end = begin[j + 1];
          if (begin[j] == end) continue;
          Vector d[REGISTERS];
          UNROLL for (int v = 0; v < REGISTERS; v++) d[v] = *(const Vector *)(dy + j * PANEL + v * VECTOR);
          for (uint32_t e = begin[j]; e < end; e += 4) {
            Vector sum[4];
            uint64_t places;
            memcpy(&places, w.index + e, sizeof places);
            UNROLL for (int i = 0; i < 4; i++) {
              const float *row = x + (places >> 16 * i & 0xffff) * PANEL;
              sum[i] = d[0] * *(const Vector *)row;
              UNROLL for (int v = 1; v < REGISTERS; v++) sum[i] += d[v] * *(const Vector *)(row + v * VECTOR);
            }
            const Vector all = sums_of_four(sum[0], sum[1], sum[2], sum[3]);
            Four four;
            memcpy(&four, &all, sizeof four);
            if (e + 4 <= end) {
              *(Four *)(dw + e) = add ? *(const Four *)(dw + e) + four : four;
            } else
              for (int i = 0; e + i < end; i++) dw[e + i] = add ? dw[e + i] + four[i] : four[i];
          }
        }
      }
    }
}

/* out = x[from]. at: x, from uint32, out; size: numbers of out */
static void pick(const Call *call, Team team) {
  const float *x = call->at[0];
  const uint32_t *from = call->at[1];
  float *out = call->at[2];
  const Range part = part_of(call->size[0], 64, team);
  for (int64_t i = part.begin; i < part.end; i++) out[i] = x[from[i]];
}
