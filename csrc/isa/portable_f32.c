/* Whatever the compiler targets by default (on x86-64 SSE2, without FMA): for CPUs that the others do not fit. */
#define ISA_NAME "portable"
#define TABLE fn_portable_f32
#define REAL float
#define VECTOR_BYTES 16
#define TILE_ROWS 4
#include "kernels.h"
