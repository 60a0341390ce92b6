/* Whatever the compiler targets by default (on x86-64 SSE2, without FMA): for CPUs that the others do not fit. */
#ifndef FN_NO_PORTABLE
#define ISA_NAME "portable"
#define TABLE fn_portable_f64
#define REAL double
#define VECTOR_BYTES 16
#define TILE_ROWS 4
#include "kernels.h"
#else
typedef int not_for_this_cpu;
#endif
