/* Elementwise functions and sums of whole arrays, in memory order; bound by memory.  A thread loads four elements
 * before it computes, so that enough loads are under way: at once where all arrays start at a multiple of 16 bytes,
 * which views may not do. */
#include "cuda/activations.h"

DEVICE int is_aligned(const real *p) { return (unsigned long long)p % 16 == 0; }

/* Up to four elements; `left` of them are in the array. */
DEVICE real4 load_some(const real *p, Int left, int aligned) {
    if (aligned && left >= 4) return load4(p);
    return {p[0], left > 1 ? p[1] : (real)0, left > 2 ? p[2] : (real)0, left > 3 ? p[3] : (real)0};
}

DEVICE void store_some(real *p, Int left, int aligned, real4 v) {
    if (aligned && left >= 4) {
        store4(p, v);
        return;
    }
    p[0] = v.x;
    if (left > 1) p[1] = v.y;
    if (left > 2) p[2] = v.z;
    if (left > 3) p[3] = v.w;
}

/* Elements 1 to 3, and `last`: a loop turns all four without four copies of what it does to each. */
DEVICE real4 turned(real4 v, real last) { return {v.y, v.z, v.w, last}; }

KERNEL(map_forward)(IN(real) x, OUT(real) y, Int n, Int which, double a, double b) {
    const int aligned = is_aligned(x) && is_aligned(y);
    for (Int i = 4 * GLOBAL_THREAD; i < n; i += 4 * GLOBAL_THREADS) {
        real4 v = load_some(x + i, n - i, aligned);
#pragma unroll 1
        for (int k = 0; k < 4; k++) v = turned(v, activation(which, v.x, (real)a, (real)b));
        store_some(y + i, n - i, aligned, v);
    }
}

KERNEL(map_backward)(IN(real) dy, IN(real) saved, OUT(real) dx, Int n, Int which, double a, double b) {
    const int aligned = is_aligned(dy) && is_aligned(saved) && is_aligned(dx);
    for (Int i = 4 * GLOBAL_THREAD; i < n; i += 4 * GLOBAL_THREADS) {
        real4 v = load_some(dy + i, n - i, aligned), s = load_some(saved + i, n - i, aligned);
#pragma unroll 1
        for (int k = 0; k < 4; k++, s = turned(s, s.x))
            v = turned(v, activation_gradient(which, v.x, s.x, (real)a, (real)b));
        store_some(dx + i, n - i, aligned, v);
    }
}

KERNEL(add)(IN(real) a, IN(real) b, OUT(real) y, Int n) {
    const int aligned = is_aligned(a) && is_aligned(b) && is_aligned(y);
    for (Int i = 4 * GLOBAL_THREAD; i < n; i += 4 * GLOBAL_THREADS) {
        const real4 u = load_some(a + i, n - i, aligned), v = load_some(b + i, n - i, aligned);
        store_some(y + i, n - i, aligned, {u.x + v.x, u.y + v.y, u.z + v.z, u.w + v.w});
    }
}
