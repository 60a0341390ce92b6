/* y = w*x + b with two numbers, w (absent: 1) and b (absent: 0), for a whole array; bound by memory. */
#include "cuda/reduce.h"

KERNEL(scalar_forward)(IN(real) x, IN(real) w, IN(real) b, OUT(real) y, Int n) {
    const real factor = w ? w[0] : (real)1, shift = b ? b[0] : (real)-0.0; /* -0 changes no sum */
    for (Int i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS) y[i] = fma(factor, x[i], shift);
}

/* dx = w*dy, if it is given; sums: of dy*x and dy, two a block */
KERNEL(scalar_backward)(IN(real) dy, IN(real) x, IN(real) w, OUT(real) dx, OUT(double) sums, Int n) {
    SHARED(double, warps, REDUCE_WARPS);
    const real factor = w ? w[0] : (real)1;
    double products = 0, sum = 0;
    for (Int i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS) {
        const real gradient = dy[i];
        if (dx) dx[i] = factor * gradient;
        if (x) products = fma((double)x[i], (double)gradient, products);
        sum += (double)gradient;
    }
    if (!sums) return;
    products = block_sum(products, warps);
    sum = block_sum(sum, warps);
    if (threadIdx.x == 0) {
        sums[2 * blockIdx.x] = products;
        sums[2 * blockIdx.x + 1] = sum;
    }
}

/* dw and db, those that are given; one block */
KERNEL(scalar_sums)(IN(double) sums, Int blocks, OUT(real) dw, OUT(real) db) {
    SHARED(double, warps, REDUCE_WARPS);
    double products = 0, sum = 0;
    for (Int i = threadIdx.x; i < blocks; i += blockDim.x) {
        products += sums[2 * i];
        sum += sums[2 * i + 1];
    }
    products = block_sum(products, warps);
    sum = block_sum(sum, warps);
    if (threadIdx.x) return;
    if (dw) dw[0] = (real)products;
    if (db) db[0] = (real)sum;
}
