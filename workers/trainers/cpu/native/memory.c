/*
 * Memory by mmap and not malloc: a run's numbers lie in one piece, which begins on a huge page and is given back to the system
 * the moment the run ends, so that what a trainer holds is what its runs need and not what the allocator kept.
 */
#define _GNU_SOURCE
#include "memory.h"
#include <sys/mman.h>

enum { HUGE_PAGE = 1 << 21 };

static int64_t whole_pages(int64_t bytes) { return (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE; }

void *map_memory(int64_t bytes) {
  const int64_t size = whole_pages(bytes);
  char *start = mmap(0, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return 0;
  char *aligned = (char *)((intptr_t)(start + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
  if (aligned > start) munmap(start, aligned - start);
  munmap(aligned + size, start + HUGE_PAGE - aligned);
#ifdef MADV_HUGEPAGE
  madvise(aligned, size, MADV_HUGEPAGE);
#endif
  return aligned;
}

void empty_memory(void *memory, int64_t bytes) { madvise(memory, whole_pages(bytes), MADV_DONTNEED); }

void unmap_memory(void *memory, int64_t bytes) { munmap(memory, whole_pages(bytes)); }
