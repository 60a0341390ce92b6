/* AVX-512 F, VL, DQ, BW: 32 registers of 64 bytes. */
#if (defined(__x86_64__) || defined(_M_X64)) && !defined(FN_NO_AVX512)
#define ISA_NAME "avx512"
#define TABLE fn_avx512_f32
#define REAL float
#define VECTOR_BYTES 64
#define TILE_ROWS 12
#define TARGET "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"
#include "kernels.h"
#else
typedef int not_for_this_cpu;
#endif
