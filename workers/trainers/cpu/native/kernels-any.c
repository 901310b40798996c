/* The kernels in the compiler's own vectors of four, for any processor. Arm's have twice the registers of x86's. */
#define VECTOR 4
#ifdef __aarch64__
#define ROWS 12
#else
#define ROWS 6
#endif
#define TABLE kernels_any
#include "kernels.h"
