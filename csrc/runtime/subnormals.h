/* Subnormal numbers are flushed to zero inside kernels, on x86 only: on some CPUs an operation on one costs a hundred
 * cycles. */
#ifndef FASTNET_SUBNORMALS_H
#define FASTNET_SUBNORMALS_H

#if defined(__x86_64__) || defined(_M_X64)

#include <xmmintrin.h>

enum { FLUSH_TO_ZERO = 0x8000, DENORMALS_ARE_ZERO = 0x0040 };

/* Flush them on this thread; returns the state before, for fn_restore_subnormals. */
static inline unsigned fn_flush_subnormals(void) {
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
    return before;
}
static inline void fn_restore_subnormals(unsigned before) { _mm_setcsr(before); }

#else

static inline unsigned fn_flush_subnormals(void) { return 0; }
static inline void fn_restore_subnormals(unsigned before) { (void)before; }

#endif

#endif
