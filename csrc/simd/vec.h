/* The only SIMD vocabulary: GCC/Clang vector extensions, with the width and target set by the file in isa/.
 *
 * a*b + c becomes one FMA wherever the target has it (-ffp-contract=fast; checked with objdump), so that AVX2 and
 * AVX-512 round alike.  Vectors are only passed to functions that are inlined.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "fastnet.h"
#include "tuning.h"

#define PRAGMA(text) _Pragma(#text)
#ifdef TARGET
#ifdef __clang__
#define TARGET_BEGIN(target_list) \
    PRAGMA(clang attribute push(__attribute__((target(target_list))), apply_to = function))
#define TARGET_END PRAGMA(clang attribute pop)
#else
#if VECTOR_BYTES == 64 /* GCC would vectorise plain loops at half the width */
#define TARGET_BEGIN(target_list) PRAGMA(GCC push_options) PRAGMA(GCC target(target_list ",prefer-vector-width=512"))
#else
#define TARGET_BEGIN(target_list) PRAGMA(GCC push_options) PRAGMA(GCC target(target_list))
#endif
#define TARGET_END PRAGMA(GCC pop_options)
#endif
TARGET_BEGIN(TARGET)
#else
#define TARGET_END
#endif

#define INLINE static inline __attribute__((always_inline))
/* EACH_FOR: iterations are independent: an array that is written is also read at the same index only, if at all. */
#ifdef __clang__
#define UNROLL_FOR(...) PRAGMA(unroll) for (__VA_ARGS__)
#define EACH_FOR(...) PRAGMA(clang loop vectorize(assume_safety)) for (__VA_ARGS__)
#else
#define UNROLL_FOR(...) PRAGMA(GCC unroll 32) for (__VA_ARGS__)
#define EACH_FOR(...) PRAGMA(GCC ivdep) for (__VA_ARGS__)
#endif

typedef REAL vec __attribute__((vector_size(VECTOR_BYTES)));
enum { LANES = VECTOR_BYTES / sizeof(REAL) };

/* Integer lanes as wide as REAL, the result of vector comparisons (all bits set where true). */
typedef __typeof__(__builtin_choose_expr(sizeof(REAL) == 4, (int32_t)0, (int64_t)0)) whole;
typedef whole mask __attribute__((vector_size(VECTOR_BYTES)));

INLINE vec load(const REAL *p) {
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}
INLINE void store(REAL *p, vec v) { memcpy(p, &v, sizeof v); }
INLINE vec broadcast(REAL value) { return value - (vec){0}; }
INLINE mask broadcast_whole(int64_t value) { return (whole)value + (mask){0}; }
INLINE mask lane_numbers(void) { /* 0, 1, 2, ... */
    mask numbers;
    for (int i = 0; i < LANES; i++) numbers[i] = i;
    return numbers;
}
/* to[i] = from[i] for i < lanes < LANES. A memcpy of variable size would be a call. */
INLINE void copy_lanes(REAL *to, const REAL *from, int64_t lanes) {
    UNROLL_FOR (int64_t piece = LANES / 2; piece > 0; piece /= 2)
        if (lanes & piece) {
            memcpy(to, from, (size_t)piece * sizeof(REAL));
            to += piece;
            from += piece;
        }
}
/* Load the first `lanes` lanes (from none to more than LANES); the others are zero. */
INLINE vec load_part(const REAL *p, int64_t lanes) {
    if (lanes >= LANES) return load(p);
#if VECTOR_BYTES == 64
    unsigned bits = lanes > 0 ? (1u << lanes) - 1 : 0;
    if (sizeof(REAL) == 4) return (vec)_mm512_maskz_loadu_ps((__mmask16)bits, p);
    return (vec)_mm512_maskz_loadu_pd((__mmask8)bits, p);
#elif VECTOR_BYTES == 32
    const __m256i live = (__m256i)(lane_numbers() < broadcast_whole(lanes));
    if (sizeof(REAL) == 4) return (vec)_mm256_maskload_ps((const float *)p, live);
    return (vec)_mm256_maskload_pd((const double *)p, live);
#else
    vec v = {0};
    if (lanes > 0) copy_lanes((REAL *)&v, p, lanes);
    return v;
#endif
}
INLINE void store_part(REAL *p, vec v, int64_t lanes) {
    if (lanes >= LANES) store(p, v);
    else if (lanes > 0) {
#if VECTOR_BYTES == 64
        unsigned bits = (1u << lanes) - 1;
        if (sizeof(REAL) == 4) _mm512_mask_storeu_ps(p, (__mmask16)bits, (__m512)v);
        else _mm512_mask_storeu_pd(p, (__mmask8)bits, (__m512d)v);
#else
        copy_lanes(p, (const REAL *)&v, lanes);
#endif
    }
}
/* True if an output of `bytes` at p, written in runs of `run` bytes (whole cache lines), is too large to stay cached
 * until its next use. Then use store_around, since a normal store first reads the line. Never true for narrow vectors,
 * which have no such store. */
INLINE int is_large(const void *p, int64_t run, int64_t bytes) {
    return VECTOR_BYTES >= 32 && bytes >= fn_speed.stream_bytes && run % 64 == 0 && (uintptr_t)p % 64 == 0;
}
/* A non-temporal store, where p is a multiple of sizeof(vec); other threads see it after store_fence. */
INLINE void store_around(REAL *p, vec v) {
#if VECTOR_BYTES == 64
    _mm512_stream_ps((float *)p, (__m512)v);
#elif VECTOR_BYTES == 32
    _mm256_stream_ps((float *)p, (__m256)v);
#else
    store(p, v);
#endif
}
INLINE void store_fence(void) {
#if VECTOR_BYTES >= 32
    _mm_sfence();
#endif
}
INLINE vec blend(mask where, vec yes, vec no) {
#if VECTOR_BYTES == 32
    if (sizeof(REAL) == 4) return (vec)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)where);
    return (vec)_mm256_blendv_pd((__m256d)no, (__m256d)yes, (__m256d)where);
#else
    return (vec)((where & (mask)yes) | (~where & (mask)no));
#endif
}

/* low where x < low, high where x > high, else x, also NaN */
INLINE vec at_least(vec x, REAL low) {
    const vec least = broadcast(low);
#if VECTOR_BYTES == 64
    if (sizeof(REAL) == 4) return (vec)_mm512_max_ps((__m512)least, (__m512)x);
    return (vec)_mm512_max_pd((__m512d)least, (__m512d)x);
#elif VECTOR_BYTES == 32
    if (sizeof(REAL) == 4) return (vec)_mm256_max_ps((__m256)least, (__m256)x);
    return (vec)_mm256_max_pd((__m256d)least, (__m256d)x);
#else
    return blend(x < least, least, x);
#endif
}
INLINE vec at_most(vec x, REAL high) {
    const vec most = broadcast(high);
#if VECTOR_BYTES == 64
    if (sizeof(REAL) == 4) return (vec)_mm512_min_ps((__m512)most, (__m512)x);
    return (vec)_mm512_min_pd((__m512d)most, (__m512d)x);
#elif VECTOR_BYTES == 32
    if (sizeof(REAL) == 4) return (vec)_mm256_min_ps((__m256)most, (__m256)x);
    return (vec)_mm256_min_pd((__m256d)most, (__m256d)x);
#else
    return blend(x > most, most, x);
#endif
}

/* a*b + c rounded once, where the target has FMA: for expressions in which compilers could fuse either product, or none
 * if it is shared. (sum += a*b with an unshared product needs no help.) */
INLINE vec multiply_add(vec a, vec b, vec c) {
#if VECTOR_BYTES == 64
    if (sizeof(REAL) == 4) return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
    return (vec)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif VECTOR_BYTES == 32
    if (sizeof(REAL) == 4) return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
    return (vec)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__aarch64__)
    if (sizeof(REAL) == 4) return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
    return (vec)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
    return a * b + c;
#endif
}

INLINE double multiply_add_double(double a, double b, double c) {
#if VECTOR_BYTES > 16 || defined(__aarch64__)
    return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

INLINE vec square_root(vec x) {
#if VECTOR_BYTES == 64
    if (sizeof(REAL) == 4) return (vec)_mm512_sqrt_ps((__m512)x);
    return (vec)_mm512_sqrt_pd((__m512d)x);
#elif VECTOR_BYTES == 32
    if (sizeof(REAL) == 4) return (vec)_mm256_sqrt_ps((__m256)x);
    return (vec)_mm256_sqrt_pd((__m256d)x);
#elif defined(__aarch64__)
    if (sizeof(REAL) == 4) return (vec)vsqrtq_f32((float32x4_t)x);
    return (vec)vsqrtq_f64((float64x2_t)x);
#else
    for (int i = 0; i < LANES; i++)
        x[i] = sizeof(REAL) == 4 ? (REAL)__builtin_sqrtf((float)x[i]) : (REAL)__builtin_sqrt((double)x[i]);
    return x;
#endif
}

/* Lane i is lane which[i] of the concatenation of a and b; `which` is constant. */
INLINE vec shuffle(vec a, vec b, mask which) {
#ifdef __clang__
    vec picked;
    for (int i = 0; i < LANES; i++) picked[i] = which[i] < LANES ? a[which[i]] : b[which[i] - LANES];
    return picked;
#else
    return __builtin_shuffle(a, b, which);
#endif
}

/* CALL(count) with count, 1 to 4, as a compile-time constant, so that loops unroll and arrays stay in registers.
 */
#define SPECIALISE(count, CALL) \
    switch (count) {            \
    case 4: CALL(4); break;     \
    case 3: CALL(3); break;     \
    case 2: CALL(2); break;     \
    default: CALL(1);           \
    }

INLINE int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
