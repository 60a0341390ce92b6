/* AArch64 NEON: 32 registers of 16 bytes.  Tested under qemu only (.ci/arm); its speed has not been measured. */
#if defined(__aarch64__) || defined(_M_ARM64)
#define ISA_NAME "neon"
#define TABLE fn_neon_f32
#define REAL float
#define VECTOR_BYTES 16
#define TILE_ROWS 8
#include "kernels.h"
#else
typedef int not_for_this_cpu;
#endif
