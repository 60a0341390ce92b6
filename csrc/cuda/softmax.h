/* Softmax over rows of C adjacent elements. A row is read by `lanes` = 2^bits adjacent threads, at most 32;
 * they depend on C alone, and with them the order of sums.  All threads of a warp must call these functions. */
#ifndef FASTNET_SOFTMAX_H
#define FASTNET_SOFTMAX_H

#include "cuda/dialect.h"

/* The sum of `lanes` adjacent threads' values, in each of them. */
DEVICE double sum_lanes(double value, int lanes) {
    for (int gap = lanes / 2; gap > 0; gap /= 2) value += __shfl_xor_sync(0xffffffffu, value, gap);
    return value;
}

/* The largest element; NaN is larger than none. */
DEVICE real largest_of(IN(real) x, Int C, int lane, int lanes) {
    real largest = x[0];
    for (Int j = lane; j < C; j += lanes) largest = x[j] > largest ? x[j] : largest;
    for (int gap = lanes / 2; gap > 0; gap /= 2) {
        real other = __shfl_xor_sync(0xffffffffu, largest, gap);
        largest = other > largest ? other : largest;
    }
    return largest;
}

/* The sum of e^(x_j - largest) */
DEVICE double exp_sum(IN(real) x, Int C, real largest, int lane, int lanes) {
    double total = 0;
    for (Int j = lane; j < C; j += lanes) total += (double)exp(x[j] - largest);
    return sum_lanes(total, lanes);
}

#endif
