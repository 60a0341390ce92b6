/* AVX2 + FMA, 16 registers of 32 bytes. */
#if (defined(__x86_64__) || defined(_M_X64)) && !defined(FN_NO_AVX2)
#define ISA_NAME "avx2"
#define TABLE fn_avx2_f32
#define REAL float
#define VECTOR_BYTES 32
#define TILE_ROWS 6
#define TARGET "avx2,fma"
#include "kernels.h"
#else
typedef int not_for_this_cpu;
#endif
