/*
 * One area of a product, for one kind of processor; product.c includes this for each. NAME(name), TARGET; VECTOR numbers to a
 * register; tiles of ROWS rows and two registers.
 */
typedef float NAME(Vector) __attribute__((vector_size(4 * VECTOR)));
typedef float NAME(Loose) __attribute__((vector_size(4 * VECTOR), aligned(4)));
#define Vector NAME(Vector)
#define Loose NAME(Loose)
#define WIDE (2 * VECTOR)
#define UNROLL _Pragma("GCC unroll 12")

/* The transpose of 4 × 4 numbers. */
TARGET INLINE void NAME(turn_square)(const float *from, int64_t from_stride, float *to, int64_t to_stride) {
  typedef float Four __attribute__((vector_size(16)));
  Four row[4], pair[4];
  for (int i = 0; i < 4; i++) memcpy(&row[i], from + i * from_stride, sizeof(Four));
  for (int i = 0; i < 2; i++) {
    const Four even = row[i], odd = row[i + 2];
    pair[2 * i] = (Four){even[0], odd[0], even[1], odd[1]};
    pair[2 * i + 1] = (Four){even[2], odd[2], even[3], odd[3]};
  }
  for (int i = 0; i < 2; i++) {
    const Four even = pair[i], odd = pair[i + 2];
    const Four low = {even[0], odd[0], even[1], odd[1]}, high = {even[2], odd[2], even[3], odd[3]};
    memcpy(to + 2 * i * to_stride, &low, sizeof(Four));
    memcpy(to + (2 * i + 1) * to_stride, &high, sizeof(Four));
  }
}

/*
 * Copies x [inner, length], or [length, inner] if it lies `along` the inner axis, into panels [inner, wide], one behind the
 * other; what is missing from the last is 0.
 */
TARGET INLINE void NAME(copy)(const float *x, int64_t stride, int64_t along, int64_t inner, int64_t length,
                              const int64_t wide, float *out) {
  enum { STEP = 16 };
  const int64_t whole = length / wide * wide, squares = wide / 4 * 4;
  if (!along)
    for (int64_t k = 0; k < inner; k++)
      for (int64_t j = 0; j < whole; j += wide) memcpy(out + j * inner + k * wide, x + k * stride + j, 4 * wide);
  else
    for (int64_t j = 0; j < whole; j += wide) {
      float *panel = out + j * inner;
      const int64_t steps = inner / STEP * STEP;
      for (int64_t k = 0; k < steps; k += STEP) {
        for (int64_t i = 0; i < squares; i += 4)
          for (int64_t l = k; l < k + STEP; l += 4)
            NAME(turn_square)(x + (j + i) * stride + l, stride, panel + l * wide + i, wide);
        for (int64_t i = squares; i < wide; i++)
          for (int64_t l = k; l < k + STEP; l++) panel[l * wide + i] = x[(j + i) * stride + l];
      }
      for (int64_t k = steps; k < inner; k++)
        for (int64_t i = 0; i < wide; i++) panel[k * wide + i] = x[(j + i) * stride + k];
    }
  for (int64_t k = 0; whole < length && k < inner; k++)
    for (int64_t i = 0; i < wide; i++) {
      const int64_t j = whole + i;
      out[whole * inner + k * wide + i] = j >= length ? 0 : along ? x[j * stride + k] : x[k * stride + j];
    }
}
TARGET static __attribute__((noinline)) void NAME(copy_a)(const float *x, int64_t stride, int64_t along, int64_t inner,
                                                          int64_t length, float *out) {
  NAME(copy)(x, stride, along, inner, length, ROWS, out);
}
TARGET static __attribute__((noinline)) void NAME(copy_b)(const float *x, int64_t stride, int64_t along, int64_t inner,
                                                          int64_t length, float *out) {
  NAME(copy)(x, stride, along, inner, length, WIDE, out);
}

TARGET static void NAME(scale)(float *x, int64_t count, float factor) {
  for (int64_t i = 0; i < count; i++) x[i] *= factor;
}

/*
 * out [height, width] = a·b, plus onto unless that is null. b [inner, WIDE]; number (i, k) of a, of at least `rows` rows, is at
 * i·row_step + k·inner_step.
 */
TARGET INLINE void NAME(tile)(const int rows, const float *a, int64_t row_step, int64_t inner_step, const float *b,
                              int64_t inner, const float *onto, float *out, int64_t stride, int64_t height, int64_t width) {
  Vector sum[ROWS][2];
  UNROLL for (int i = 0; i < rows; i++) sum[i][0] = sum[i][1] = (Vector){0};
  /* Processors add one or two steps to an address at no cost. */
  const float *third[ROWS / 3];
  UNROLL for (int i = 0; i < ROWS / 3; i++) third[i] = a + 3 * i * row_step;
  for (int64_t k = 0; k < inner; k++, b += WIDE) {
    const Vector left = *(const Vector *)b, right = *(const Vector *)(b + VECTOR);
    UNROLL for (int i = 0; i < rows; i++) {
      const float x = third[i / 3][i % 3 * row_step];
      sum[i][0] += x * left;
      sum[i][1] += x * right;
    }
    UNROLL for (int i = 0; i < ROWS / 3; i++) third[i] += inner_step;
  }
  if (height == rows && width == WIDE) {
    UNROLL for (int i = 0; i < rows; i++)
      for (int half = 0; half < 2; half++) {
        const int64_t at = i * stride + half * VECTOR;
        *(Loose *)(out + at) = onto ? *(const Loose *)(onto + at) + sum[i][half] : sum[i][half];
      }
    return;
  }
  float numbers[ROWS][WIDE];
  UNROLL for (int i = 0; i < rows; i++)
    for (int half = 0; half < 2; half++) *(Loose *)(numbers[i] + half * VECTOR) = sum[i][half];
  for (int64_t i = 0; i < height; i++)
    for (int64_t j = 0; j < width; j++)
      out[i * stride + j] = onto ? onto[i * stride + j] + numbers[i][j] : numbers[i][j];
}
/* Fewer rows at the lower edge take less time. a is a copied panel, as in most tiles. */
TARGET static void NAME(edge_tile)(const float *a, const float *b, int64_t inner, const float *onto, float *out, int64_t stride,
                                   int64_t height, int64_t width) {
  if (height <= ROWS / 3) NAME(tile)(ROWS / 3, a, 1, ROWS, b, inner, onto, out, stride, height, width);
  else if (height <= 2 * ROWS / 3) NAME(tile)(2 * ROWS / 3, a, 1, ROWS, b, inner, onto, out, stride, height, width);
  else NAME(tile)(ROWS, a, 1, ROWS, b, inner, onto, out, stride, height, width);
}
TARGET static __attribute__((noinline)) void NAME(whole_tile)(const float *a, const float *b, int64_t inner, const float *onto,
                                                              float *out, int64_t stride) {
  NAME(tile)(ROWS, a, 1, ROWS, b, inner, onto, out, stride, ROWS, WIDE);
}
/* The same of rows that were not copied: one behind the other, or beside each other. */
TARGET static __attribute__((noinline)) void NAME(row_tile)(const float *a, int64_t row_step, const float *b, int64_t inner,
                                                            const float *onto, float *out, int64_t stride, int64_t width) {
  NAME(tile)(ROWS, a, row_step, 1, b, inner, onto, out, stride, ROWS, width);
}
TARGET static __attribute__((noinline)) void NAME(turned_tile)(const float *a, int64_t inner_step, const float *b,
                                                               int64_t inner, const float *onto, float *out, int64_t stride,
                                                               int64_t width) {
  NAME(tile)(ROWS, a, 1, inner_step, b, inner, onto, out, stride, ROWS, width);
}

TARGET static void NAME(multiply)(const Product *p, Area area, Copies *copies) {
  const int64_t stride = p->columns;
  const int64_t most_rows = even(area.row_end - area.row, MOST_ROWS, ROWS);
  const int64_t most_inner = even(p->inner, MOST_INNER, 16);
  const int64_t most_columns = even(area.column_end - area.column, MOST_COLUMNS, WIDE);
  /* Rows of a are read where they are; columns, too, if they are read few times. Rows fewer than a tile's are copied. */
  const int direct = !p->a_turned || area.column_end - area.column <= NARROW;
  for (int64_t column = area.column; column < area.column_end; column += most_columns) {
    const int64_t columns = least(most_columns, area.column_end - column);
    for (int64_t k = 0; k < p->inner; k += most_inner) {
      const int64_t inner = least(most_inner, p->inner - k);
      if (p->b_turned) NAME(copy_b)(p->b + column * p->inner + k, p->inner, 1, inner, columns, copies->b);
      else NAME(copy_b)(p->b + k * p->columns + column, p->columns, 0, inner, columns, copies->b);
      /* Here and not in the tiles: compilers would round there as they like, edges unlike the rest. */
      if (p->alpha != 1) NAME(scale)(copies->b, (columns + WIDE - 1) / WIDE * WIDE * inner, p->alpha);
      for (int64_t row = area.row; row < area.row_end; row += most_rows) {
        const int64_t rows = least(most_rows, area.row_end - row);
        const float *a = p->a + (p->a_turned ? k * p->rows + row : row * p->inner + k);
        const int64_t not_copied = direct ? rows / ROWS * ROWS : 0;
        if (p->a_turned) NAME(copy_a)(a + not_copied, p->rows, 0, inner, rows - not_copied, copies->a);
        else NAME(copy_a)(a + not_copied * p->inner, p->inner, 1, inner, rows - not_copied, copies->a);
        for (int64_t j = 0; j < columns; j += WIDE)
          for (int64_t i = 0; i < rows; i += ROWS) {
            const float *panel = copies->a + (i - not_copied) * inner, *b = copies->b + j * inner;
            float *out = p->out + (row + i) * stride + column + j;
            const float *onto = k > 0 ? out : p->onto ? p->onto + (out - p->out) : 0;
            const int64_t height = rows - i, width = least(columns - j, WIDE);
            if (i < not_copied && p->a_turned) NAME(turned_tile)(a + i, p->rows, b, inner, onto, out, stride, width);
            else if (i < not_copied) NAME(row_tile)(a + i * p->inner, p->inner, b, inner, onto, out, stride, width);
            else if (height >= ROWS && width == WIDE) NAME(whole_tile)(panel, b, inner, onto, out, stride);
            else NAME(edge_tile)(panel, b, inner, onto, out, stride, least(height, ROWS), width);
          }
      }
    }
  }
}

#undef NAME
#undef TARGET
#undef VECTOR
#undef ROWS
#undef Vector
#undef Loose
#undef WIDE
#undef UNROLL
