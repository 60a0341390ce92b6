/* Softmax and its logarithm over rows of C adjacent elements; the second and third reading hit the caches. */
#include "cuda/softmax.h"

/* y = e_j / sum e with e_j = e^(x_j - largest), or its logarithm, x_j - largest - log(sum e) */
KERNEL(softmax_forward)(IN(real) x, OUT(real) y, Int rows, Int C, Int bits, Int logarithm) {
    const int lanes = 1 << (int)bits, lane = (int)threadIdx.x & (lanes - 1);
    for (Int first = 0; first < rows; first += GLOBAL_THREADS >> bits) {
        Int row = first + (GLOBAL_THREAD >> bits);
        Int at = (row < rows ? row : rows - 1) * C; /* threads without a row take part in shuffles */
        real largest = largest_of(x + at, C, lane, lanes);
        double total = exp_sum(x + at, C, largest, lane, lanes), shift = logarithm ? log(total) : 1 / total;
        if (row >= rows) continue;
        for (Int j = lane; j < C; j += lanes) {
            real z = x[at + j] - largest;
            y[at + j] = (real)(logarithm ? (double)z - shift : (double)exp(z) * shift);
        }
    }
}

/* dx = y (dy - sum of y dy); for the logarithm dx = dy - e^y sum of dy */
KERNEL(softmax_backward)(IN(real) dy, IN(real) y, OUT(real) dx, Int rows, Int C, Int bits, Int logarithm) {
    const int lanes = 1 << (int)bits, lane = (int)threadIdx.x & (lanes - 1);
    for (Int first = 0; first < rows; first += GLOBAL_THREADS >> bits) {
        Int row = first + (GLOBAL_THREAD >> bits), at = (row < rows ? row : rows - 1) * C;
        double sum = 0;
        for (Int j = lane; j < C; j += lanes) sum = fma(logarithm ? 1.0 : (double)y[at + j], (double)dy[at + j], sum);
        sum = sum_lanes(sum, lanes);
        if (row >= rows) continue;
        for (Int j = lane; j < C; j += lanes)
            dx[at + j] = logarithm ? fma(exp(y[at + j]), (real)-sum, dy[at + j])
                                   : (real)((double)y[at + j] * ((double)dy[at + j] - sum));
    }
}
