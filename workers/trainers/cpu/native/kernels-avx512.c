/* The kernels for processors with AVX-512. The system's headers come first: what follows is compiled for them alone. */
#include <math.h>
#include <stdint.h>
#include <string.h>
#include "tape.h"
#ifdef HAS_X86_KERNELS
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx2,fma")
#endif
#define VECTOR 16
#define ROWS 12
#define TABLE kernels_avx512
#include "kernels.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
