/*
 * Runs tapes of another process: for kernels of a processor that this machine does not have, under an emulator. Read from stdin, a
 * header, the calls, and the memory that they compute in, which begins at `start` over there; written to stdout, that
 * memory after the last call. Again and again, to the end of stdin.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "tape.h"

int64_t ensure_threads(int64_t wanted);
void run_tapes(const Call *const *tapes, const int64_t *lengths, int64_t count, int64_t teams, int64_t members);

/* In bytes, but for `members` and `calls`; `pointers` words from `table` on are addresses, too. */
typedef struct {
  int64_t members, calls, start, bytes, table, pointers;
} Header;

static int read_all(void *to, int64_t bytes) { return (int64_t)fread(to, 1, bytes, stdin) == bytes; }

int main(void) {
  Header h;
  while (read_all(&h, sizeof h)) {
    Call *calls = malloc(h.calls * sizeof(Call));
    char *memory = aligned_alloc(64, (h.bytes + 63) / 64 * 64);
    if (!calls || !memory || !read_all(calls, h.calls * sizeof(Call)) || !read_all(memory, h.bytes)) return 1;
    const int64_t shift = (int64_t)memory - h.start;
    for (int64_t i = 0; i < h.calls; i++)
      for (int j = 0; j < MOST_ADDRESSES; j++)
        if (calls[i].at[j]) calls[i].at[j] = (char *)calls[i].at[j] + shift;
    int64_t *pointers = (int64_t *)(memory + h.table);
    for (int64_t i = 0; i < h.pointers; i++)
      if (pointers[i] >= h.start && pointers[i] < h.start + h.bytes) pointers[i] += shift;
    if (ensure_threads(h.members) < h.members) return 1;
    const Call *tape = calls;
    run_tapes(&tape, &h.calls, 1, 1, h.members);
    if ((int64_t)fwrite(memory, 1, h.bytes, stdout) != h.bytes || fflush(stdout)) return 1;
    free(calls);
    free(memory);
  }
  return 0;
}
