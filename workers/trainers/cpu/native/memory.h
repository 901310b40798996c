/* Memory of many mebibytes, straight from the system. */
#pragma once
#include <stdint.h>

/* Zeros, on huge pages where the system has them; null if there is none left. */
void *map_memory(int64_t bytes);
/* Gives back what is in it: it is zeros again, which take no memory. */
void empty_memory(void *memory, int64_t bytes);
/* Gives all of it back at once. */
void unmap_memory(void *memory, int64_t bytes);
