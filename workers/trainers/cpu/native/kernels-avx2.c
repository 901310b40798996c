/* The kernels for processors with AVX2 and fused multiply-add. The system's headers come first, as in kernels-avx512.c. */
#include <math.h>
#include <stdint.h>
#include <string.h>
#include "tape.h"
#ifdef HAS_X86_KERNELS
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define VECTOR 8
#define ROWS 6
#define TABLE kernels_avx2
#include "kernels.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
