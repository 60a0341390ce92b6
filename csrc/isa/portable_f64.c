/* whatever the compiler targets by default (no FMA is assumed). */
#define ISA_NAME "portable"
#define TABLE fn_portable_f64
#define REAL double
#define VECTOR_BYTES 16
#define TILE_ROWS 4
#include "../kernels/all.h"
