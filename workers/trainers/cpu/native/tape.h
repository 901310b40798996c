/* A pass as a list of kernel calls, and how threads share it. tape.ts writes the list, tape.c runs it. */
#pragma once
#include <stdint.h>

enum { MOST_ADDRESSES = 10, MOST_SIZES = 12, MOST_SCALARS = 2 };

/* One call: which kernel, on what, of what sizes. */
typedef struct {
  int64_t kernel;         /* its place in the table */
  void *at[MOST_ADDRESSES]; /* what it reads and writes; null for what is left out */
  int32_t size[MOST_SIZES];
  float scalar[MOST_SCALARS];
} Call;

/*
 * A thread's room for the blocks of a product that are copied before they are multiplied. Numbers along rows, the inner axis and
 * columns: an inner axis in one piece matters most, because every further one reads and writes the result again.
 */
enum { MOST_ROWS = 120, MOST_INNER = 1024, MOST_COLUMNS = 512 };
typedef struct {
  _Alignas(64) float a[MOST_ROWS * MOST_INNER];
  _Alignas(64) float b[MOST_INNER * MOST_COLUMNS];
} Copies;

/* Of a product. Waking a thread for fewer takes longer than it helps. */
enum { MULTIPLICATIONS_PER_THREAD = 1 << 20 };

/*
 * The threads that share a tape: each walks the whole list, does its part of every call and waits for the others. A kernel
 * gives every number of its result the same sum in the same order, whatever the parts.
 */
typedef struct {
  int64_t member, members; /* this one is number `member`, from 0 */
  Copies *copies;          /* of this thread alone */
} Team;

typedef void Kernel(const Call *call, Team team);
typedef struct {
  const char *name;
  Kernel *run;
} NamedKernel;

/* The same kernels in the same order for each kind of processor; a null name ends the list. */
extern const NamedKernel kernels_any[];
#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_X86_KERNELS
extern const NamedKernel kernels_avx2[], kernels_avx512[];
#endif
