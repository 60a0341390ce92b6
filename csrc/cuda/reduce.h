/* Sums over the threads of a block, in double and in fixed trees: the same bits on every device and in every run.  All
 * threads of the block must call, also those that have nothing to add. */
#ifndef FASTNET_REDUCE_H
#define FASTNET_REDUCE_H

#include "cuda/dialect.h"

enum { REDUCE_LANES = 32, REDUCE_WARPS = 32 };

/* The sum over a warp's lanes, in each of them. */
DEVICE double warp_sum(double value) {
    for (int apart = REDUCE_LANES / 2; apart; apart /= 2) value += __shfl_xor_sync(0xffffffffu, value, apart);
    return value;
}

/* The sum over all threads, in each of them.  The block has one axis of whole warps; `warps`: REDUCE_WARPS doubles. */
DEVICE double block_sum(double value, SHARED_ARG(double) warps) {
    const int lane = threadIdx.x % REDUCE_LANES, warp = threadIdx.x / REDUCE_LANES;
    value = warp_sum(value);
    __syncthreads(); /* an earlier sum has been read */
    if (lane == 0) warps[warp] = value;
    __syncthreads();
    return warp_sum(lane < (int)blockDim.x / REDUCE_LANES ? warps[lane] : 0.0);
}

/* Sums in shared memory of runs of `count` elements that lie `step` apart.  `own`: this thread's element of `sums`,
 * number `place` of its run; the sum is left in number 0.  All runs of the block have the same `count`; a thread
 * without an element passes a place of `count` or more.  The caller synchronises before, not after. */
DEVICE void tree_sum(SHARED_ARG(double) sums, int own, int place, int count, int step) {
    int half = 1;
    while (2 * half < count) half *= 2;
    for (; half && count > 1; half /= 2) {
        if (place < half && place + half < count) sums[own] += sums[own + half * step];
        __syncthreads();
    }
}

/* For each threadIdx.x the sum over threadIdx.y, in the threads with threadIdx.y == 0.  `sums`: a double per thread. */
DEVICE double column_sum(double value, SHARED_ARG(double) sums) {
    const int own = threadIdx.y * blockDim.x + threadIdx.x;
    __syncthreads(); /* an earlier sum has been read */
    sums[own] = value;
    __syncthreads();
    tree_sum(sums, own, threadIdx.y, blockDim.y, blockDim.x);
    return sums[own];
}

#endif
