/*
 * Matrix products the way of Goto and van de Geijn ("Anatomy of high-performance matrix multiplication", ACM TOMS 34, 2008): a
 * block of b, and one of a where that pays, is copied into panels in the order in which it is read, which also turns round what
 * is turned; and the result is made of tiles that stay in registers while a run of the inner axis is summed up. A tile is ROWS
 * rows and two registers.
 */
#define WIDE (2 * VECTOR)
#define UNROLL _Pragma("GCC unroll 24")

/*
 * How much of the inner axis is summed up at once. A turned a is read a few numbers of a line at a time, line after line: as many
 * lines as there are terms. Beside a panel of b they fit the first cache only so far; registers of half the width take twice as
 * many turns with them.
 */
#if VECTOR == 16
enum { TURNED_INNER = MOST_INNER };
#else
enum { TURNED_INNER = 256 };
#endif

/*
 * Columns of a block of b: with an a that is read where it is, as many as the second cache has room for; an a that is copied is so
 * for every block, which then has all that there is room for. A turned a is copied where its columns are this far apart: they
 * would be in each other's places of the caches.
 */
enum { CACHED_COLUMNS = 256, FAR = 512 };

typedef int32_t Places __attribute__((vector_size(4 * VECTOR)));
#ifdef __clang__
#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define PICK(a, b, ...) __builtin_shuffle(a, b, (Places){__VA_ARGS__})
#endif
/* The first and the last halves of two registers, number by number in turns. */
#if VECTOR == 16
#define FIRST_HALVES(a, b) PICK(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define LAST_HALVES(a, b) PICK(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif VECTOR == 8
#define FIRST_HALVES(a, b) PICK(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define LAST_HALVES(a, b) PICK(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define FIRST_HALVES(a, b) PICK(a, b, 0, 4, 1, 5)
#define LAST_HALVES(a, b) PICK(a, b, 2, 6, 3, 7)
#endif

/* The transpose of VECTOR × VECTOR numbers: each round doubles how many of a column stand together. */
INLINE void turn_registers(Vector *row) {
  Vector next[VECTOR];
  UNROLL for (int round = 1; round < VECTOR; round *= 2) {
    UNROLL for (int i = 0; i < VECTOR / 2; i++) {
      next[2 * i] = FIRST_HALVES(row[i], row[i + VECTOR / 2]);
      next[2 * i + 1] = LAST_HALVES(row[i], row[i + VECTOR / 2]);
    }
    UNROLL for (int i = 0; i < VECTOR; i++) row[i] = next[i];
  }
}

/*
 * Copies x [inner, length], or [length, inner] if it lies `along` the inner axis, into panels [inner, wide], one behind the
 * other; what is missing from the last is 0.
 */
INLINE void copy(const float *x, int64_t stride, int64_t along, int64_t inner, int64_t length, const int64_t wide, float *out) {
  const int64_t whole = length / wide * wide;
  for (int64_t j = 0; j < whole; j += wide) {
    float *panel = out + j * inner;
    if (!along) {
      for (int64_t k = 0; k < inner; k++) memcpy(panel + k * wide, x + k * stride + j, 4 * wide);
      continue;
    }
    const int64_t squares = wide % VECTOR == 0 ? inner / VECTOR * VECTOR : 0;
    for (int64_t k = 0; k < squares; k += VECTOR)
      for (int64_t i = 0; i < wide; i += VECTOR) {
        Vector row[VECTOR];
        UNROLL for (int l = 0; l < VECTOR; l++) row[l] = *(const Loose *)(x + (j + i + l) * stride + k);
        turn_registers(row);
        UNROLL for (int l = 0; l < VECTOR; l++) *(Loose *)(panel + (k + l) * wide + i) = row[l];
      }
    for (int64_t k = squares; k < inner; k++)
      for (int64_t i = 0; i < wide; i++) panel[k * wide + i] = x[(j + i) * stride + k];
  }
  for (int64_t k = 0; whole < length && k < inner; k++)
    for (int64_t i = 0; i < wide; i++) {
      const int64_t j = whole + i;
      out[whole * inner + k * wide + i] = j >= length ? 0 : along ? x[j * stride + k] : x[k * stride + j];
    }
}
APART void copy_a(const float *x, int64_t stride, int64_t along, int64_t inner, int64_t length, float *out) {
  copy(x, stride, along, inner, length, ROWS, out);
}
/* Times alpha: here and not in the tiles, where compilers would round as they like, edges unlike the rest. */
APART void copy_b(const float *x, int64_t stride, int64_t along, int64_t inner, int64_t length, float alpha, float *out) {
  copy(x, stride, along, inner, length, WIDE, out);
  if (alpha != 1)
    for (int64_t i = 0; i < pieces(length, WIDE) * WIDE * inner; i++) out[i] *= alpha;
}

/*
 * out [height, width] = a·b, plus onto unless that is null. b [inner, WIDE], of which the first `halves` of each row are read;
 * number (i, k) of a, of at least `rows` rows, is at i·row_step + k·inner_step.
 */
INLINE void tile(const int rows, const int halves, const float *a, int64_t row_step, int64_t inner_step, const float *b,
                 int64_t inner, const float *onto, float *out, int64_t stride, int64_t height, int64_t width) {
  Vector sum[ROWS][2];
  UNROLL for (int i = 0; i < rows; i++) sum[i][0] = sum[i][1] = (Vector){0};
  if (onto) {
    UNROLL for (int i = 0; i < rows; i++)
      for (int half = 0; half < halves; half++) __builtin_prefetch(onto + i * stride + half * VECTOR);
  }
  /* Processors add one or two steps to an address at no cost. */
  const float *third[ROWS / 3];
  UNROLL for (int i = 0; i < ROWS / 3; i++) third[i] = a + 3 * i * row_step;
  for (int64_t k = 0; k < inner; k++, b += WIDE) {
    const Vector left = *(const Vector *)b, right = halves == 2 ? *(const Vector *)(b + VECTOR) : left;
    UNROLL for (int i = 0; i < rows; i++) {
      const float x = third[i / 3][i % 3 * row_step];
      sum[i][0] += x * left;
      if (halves == 2) sum[i][1] += x * right;
    }
    UNROLL for (int i = 0; i < ROWS / 3; i++) third[i] += inner_step;
  }
  if (height == rows && width == halves * VECTOR) {
    UNROLL for (int i = 0; i < rows; i++)
      for (int half = 0; half < halves; half++) {
        const int64_t at = i * stride + half * VECTOR;
        *(Loose *)(out + at) = onto ? *(const Loose *)(onto + at) + sum[i][half] : sum[i][half];
      }
    return;
  }
  float numbers[ROWS][WIDE];
  UNROLL for (int i = 0; i < rows; i++)
    for (int half = 0; half < halves; half++) *(Loose *)(numbers[i] + half * VECTOR) = sum[i][half];
  for (int64_t i = 0; i < height; i++)
    for (int64_t j = 0; j < width; j++)
      out[i * stride + j] = onto ? onto[i * stride + j] + numbers[i][j] : numbers[i][j];
}
/* Of a that was copied, lies in rows, or in columns: whole tiles, and what is at the edges, rows in thirds and columns in halves. */
#define TILE(name, row_step, inner_step, step)                                                                              \
  APART void name(const float *a, int64_t step, const float *b, int64_t inner, const float *onto, float *out,              \
                  int64_t stride, int64_t height, int64_t width) {                                                          \
    if (width <= VECTOR) THIRDS(1, row_step, inner_step);                                                                   \
    else THIRDS(2, row_step, inner_step);                                                                                   \
  }
#define THIRDS(halves, row_step, inner_step)                                                                                \
  if (height > 2 * ROWS / 3) tile(ROWS, halves, a, row_step, inner_step, b, inner, onto, out, stride, height, width);       \
  else if (height > ROWS / 3)                                                                                               \
    tile(2 * ROWS / 3, halves, a, row_step, inner_step, b, inner, onto, out, stride, height, width);                        \
  else tile(ROWS / 3, halves, a, row_step, inner_step, b, inner, onto, out, stride, height, width)
TILE(copied_tile, 1, ROWS, unused)
TILE(row_tile, row_step, 1, row_step)
TILE(turned_tile, 1, inner_step, inner_step)

/* A matrix as it lies in memory: its first row, how far it is to the next, and whether those rows are the matrix's columns. */
typedef struct {
  const float *x;
  int64_t stride, turned;
} Matrix;

INLINE const float *at(Matrix m, int64_t row, int64_t column) {
  return m.x + (m.turned ? column * m.stride + row : row * m.stride + column);
}

/*
 * What of a product with a causal mask is not computed, with a `diagonal` d: numbers (i, j) of the result with j > i + d, which
 * nobody reads; or terms with numbers (i, k) of a that are 0, for k > i + d (later keys of a query) or k < i − d (earlier queries
 * of a key). Whole tiles and rows of them alone are left out.
 */
typedef enum { ALL, UNREAD_ABOVE, ZERO_ABOVE, ZERO_BELOW } Omitted;

/*
 * out [rows, columns] = a·b, plus onto unless that is null; a [rows, inner] is read where it is. b is panels from copy_b, of
 * which each takes `panel` numbers and the first `inner` rows count. edge: room for [inner, ROWS].
 */
INLINE void multiply_by_panels(Matrix a, const float *b, int64_t panel, int64_t rows, int64_t inner, int64_t columns,
                               const float *onto, float *out, int64_t stride, float *edge, Omitted omitted, int64_t diagonal) {
  /* A tile reads whole thirds of its rows: what is left of one is copied. */
  const int64_t whole = rows % (ROWS / 3) == 0 ? rows : rows / ROWS * ROWS;
  if (whole < rows) copy_a(at(a, whole, 0), a.stride, !a.turned, inner, rows - whole, edge);
  for (int64_t j = 0; j < columns; j += WIDE, b += panel) {
    const int64_t width = least(columns - j, WIDE);
    for (int64_t i = 0; i < rows; i += ROWS) {
      const int64_t height = least(rows - i, ROWS), last = i + height - 1;
      if (omitted == UNREAD_ABOVE && j > last + diagonal) continue;
      const int64_t begin = omitted == ZERO_BELOW && i > diagonal ? i - diagonal : 0;
      const int64_t terms = (omitted == ZERO_ABOVE ? least(inner, last + diagonal + 1) : inner) - begin;
      const float *to = onto ? onto + i * stride + j : 0, *panel_part = b + begin * WIDE;
      float *from = out + i * stride + j;
      if (i >= whole) copied_tile(edge + begin * ROWS, 0, panel_part, terms, to, from, stride, height, width);
      else if (a.turned) turned_tile(at(a, i, begin), a.stride, panel_part, terms, to, from, stride, height, width);
      else row_tile(at(a, i, begin), a.stride, panel_part, terms, to, from, stride, height, width);
    }
  }
}

/* The same with all of a copied into panels first; copied: room for them. */
static void multiply_panels(Matrix a, const float *b, int64_t panel, int64_t rows, int64_t inner, int64_t columns,
                            const float *onto, float *out, int64_t stride, float *copied) {
  copy_a(a.x, a.stride, !a.turned, inner, rows, copied);
  for (int64_t j = 0; j < columns; j += WIDE, b += panel)
    for (int64_t i = 0; i < rows; i += ROWS)
      copied_tile(copied + i * inner, 0, b, inner, onto ? onto + i * stride + j : 0, out + i * stride + j, stride,
                  least(rows - i, ROWS), least(columns - j, WIDE));
}

/* How long even pieces of at most `most` are that cover a length, which may be 0; a multiple of `step`, as `most` is. */
INLINE int64_t even(int64_t length, int64_t most, int64_t step) {
  const int64_t count = length > most ? pieces(length, most) : 1;
  return pieces(pieces(length, count), step) * step;
}

/* Rows and columns of a result. */
typedef struct {
  Range rows, columns;
} Area;

/* An area of out [rows, columns] = alpha · a·b, plus onto. */
static void multiply(Matrix a, Matrix b, Area area, int64_t inner_length, float alpha, const float *onto, float *out,
                     int64_t stride, Copies *copies) {
  const int64_t most_rows = even(area.rows.end - area.rows.begin, MOST_ROWS, ROWS);
  const int64_t most_inner = even(inner_length, a.turned ? TURNED_INNER : MOST_INNER, 16);
  const int direct = !a.turned || a.stride < FAR;
  const int64_t most_columns = even(area.columns.end - area.columns.begin, direct ? CACHED_COLUMNS : MOST_COLUMNS, WIDE);
  for (int64_t column = area.columns.begin; column < area.columns.end; column += most_columns) {
    const int64_t columns = least(most_columns, area.columns.end - column);
    for (int64_t k = 0; k < inner_length; k += most_inner) {
      const int64_t inner = least(most_inner, inner_length - k);
      copy_b(at(b, k, column), b.stride, b.turned, inner, columns, alpha, copies->b);
      for (int64_t row = area.rows.begin; row < area.rows.end; row += most_rows) {
        const int64_t rows = least(most_rows, area.rows.end - row), place = row * stride + column;
        const Matrix block = {at(a, row, k), a.stride, a.turned};
        const float *before = k > 0 ? out + place : onto ? onto + place : 0;
        if (direct)
          multiply_by_panels(block, copies->b, inner * WIDE, rows, inner, columns, before, out + place, stride, copies->a, ALL, 0);
        else multiply_panels(block, copies->b, inner * WIDE, rows, inner, columns, before, out + place, stride, copies->a);
      }
    }
  }
}

/*
 * out = alpha · a·b, plus onto. a [rows, inner], or [inner, rows] if turned; b [inner, columns], or [columns, inner] if turned;
 * onto [rows, columns] or null, may be out. at: a, b, onto, out; size: rows, inner, columns, a turned, b turned; scalar: alpha
 */
static void product(const Call *call, Team team) {
  const int64_t rows = call->size[0], inner = call->size[1], columns = call->size[2];
  const Matrix a = {call->at[0], call->size[3] ? rows : inner, call->size[3]};
  const Matrix b = {call->at[1], call->size[4] ? inner : columns, call->size[4]};
  team.members = least(team.members, rows * inner * columns / MULTIPLICATIONS_PER_THREAD + 1);
  if (team.member >= team.members) return;
  Area area = {{0, rows}, {0, columns}};
  /* Parts of the longer axis. */
  if (columns >= rows) area.columns = part_of(columns, WIDE, team);
  else area.rows = part_of(rows, ROWS, team);
  multiply(a, b, area, inner, call->scalar[0], call->at[2], call->at[3], columns, team.copies);
}
