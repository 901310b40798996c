/*
 * Matrix products the way of Goto and van de Geijn ("Anatomy of high-performance matrix multiplication", ACM TOMS 34, 2008): a
 * block of b, and one of a where that pays, is copied into the order in which it is read, which also turns round what is
 * turned; and the result is made of tiles that stay in registers while a run of the inner axis is summed up.
 */
#define _GNU_SOURCE
#include "product.h"
#include <pthread.h>
#include <stdlib.h>
#include "loops.h"
#ifdef __linux__
#include <sys/mman.h>
#endif

/*
 * Lengths of a block along rows, the inner axis and columns. An inner axis in one piece matters most: every further one reads
 * and writes the result again.
 */
enum { MOST_ROWS = 120, MOST_INNER = 1024, MOST_COLUMNS = 512 };
/* Columns of the result, at most, for which a turned a is not copied. */
enum { NARROW = 256 };

/* Copies of a block of a and one of b, for one thread at a time. */
typedef struct Copies Copies;
struct Copies {
  Copies *next;
  _Alignas(64) float a[MOST_ROWS * MOST_INNER];
  _Alignas(64) float b[MOST_INNER * MOST_COLUMNS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Copies *unused;

static Copies *take(void) {
  pthread_mutex_lock(&lock);
  Copies *copies = unused;
  if (copies) unused = copies->next;
  pthread_mutex_unlock(&lock);
  if (copies) return copies;
  enum { HUGE_PAGE = 1 << 21, SIZE = (sizeof(Copies) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE };
  void *memory;
  if (posix_memalign(&memory, HUGE_PAGE, SIZE)) abort();
#ifdef __linux__
  madvise(memory, SIZE, MADV_HUGEPAGE);
#endif
  return memory;
}

static void give_back(Copies *copies) {
  pthread_mutex_lock(&lock);
  copies->next = unused;
  unused = copies;
  pthread_mutex_unlock(&lock);
}

/* A part of one product of the batch: rows and columns from begin to end - 1. */
typedef struct {
  int64_t row, row_end, column, column_end;
} Area;

/* How long even pieces of at most `most` are that cover a length, which may be 0; a multiple of `step`, as `most` is. */
INLINE int64_t even(int64_t length, int64_t most, int64_t step) {
  const int64_t pieces = length > most ? (length + most - 1) / most : 1;
  return ((length + pieces - 1) / pieces + step - 1) / step * step;
}

#if defined(__x86_64__) && defined(__GNUC__)
#define NAME(name) name##_avx512
#define TARGET __attribute__((target("avx512f")))
#define VECTOR 16
#define ROWS 12
#include "product_blocks.h"
#define NAME(name) name##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define VECTOR 8
#define ROWS 6
#include "product_blocks.h"
#endif
#define NAME(name) name##_any
#define TARGET
#define VECTOR 4
#ifdef __aarch64__
#define ROWS 12
#else
#define ROWS 6
#endif
#include "product_blocks.h"

typedef void Multiply(const Product *, Area, Copies *);

/* Tests look at what the machine would leave aside, too: 0 is for any processor, 1 has AVX2, 2 AVX-512. */
static int best_allowed = 2;
void limit_products(int best) { best_allowed = best; }

static Multiply *fastest(void) {
#if defined(__x86_64__) && defined(__GNUC__)
  if (best_allowed >= 2 && __builtin_cpu_supports("avx512f")) return multiply_avx512;
  if (best_allowed >= 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return multiply_avx2;
#endif
  return multiply_any;
}

void multiply(const Product *all, int64_t part, int64_t parts) {
  Multiply *const multiply_area = fastest();
  Copies *copies = take();
  /* Parts are runs of the batch, or of the longer axis of every product. */
  const int64_t per_product = all->batch >= parts ? 1 : parts;
  const int64_t first = per_product == 1 ? all->batch * part / parts : 0;
  const int64_t last = per_product == 1 ? all->batch * (part + 1) / parts : all->batch;
  Area area = {0, all->rows, 0, all->columns};
  if (per_product > 1 && all->columns >= all->rows) {
    area.column = all->columns * part / parts;
    area.column_end = all->columns * (part + 1) / parts;
  } else if (per_product > 1) {
    area.row = all->rows * part / parts;
    area.row_end = all->rows * (part + 1) / parts;
  }
  for (int64_t i = first; i < last; i++) {
    Product product = *all;
    product.a += i * all->rows * all->inner;
    product.b += i * all->inner * all->columns;
    product.out += i * all->rows * all->columns;
    if (all->onto) product.onto += i * all->rows * all->columns;
    multiply_area(&product, area, copies);
  }
  give_back(copies);
}
