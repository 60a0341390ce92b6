/* Convolutions of one input channel per group: filter k reads channel k / multiplier alone.  Neighbouring threads have
 * neighbouring channels.  Bound by memory; what windows share comes from the caches. */
#include "cuda/ending.h"
#include "cuda/gather.h"
#include "cuda/rows.h"

enum { STRIP = 4 };

/* Weights as (taps, K). Rows are strips of STRIP neighbouring outputs, which a thread computes with each weight read
 * once for all; columns are filters. */
KERNEL(depthwise_forward)(GEOMETRY_ARGUMENTS, IN(real) x, IN(real) w, ENDING_ARGUMENTS) {
    const Ending ending = ENDING;
    const unsigned strips = (Q + STRIP - 1) / STRIP, strip = ROW_OF_BLOCK, k = COLUMN_OF_BLOCK;
    const unsigned row = strip / strips, n = row / (unsigned)P; /* row: n * P + p */
    if (n >= N || k >= K) return;
    const int first_h = (int)(row % (unsigned)P) * (int)stride_h - (int)top, first_q = (int)(strip % strips) * STRIP;
    IN(real) image = x + n * H * W * C + k / (unsigned)(K / C);
    real sum[STRIP] = {};
    for (int r = 0; r < R; r++) {
        const int h = first_h + r * (int)dilation_h;
        if (h < 0 || h >= H) continue;
        for (int s = 0; s < S; s++) {
            const real weight = w[(r * S + s) * K + k];
#pragma unroll
            for (int j = 0; j < STRIP; j++) {
                const int at = (first_q + j) * (int)stride_w - (int)left + s * (int)dilation_w;
                if (at >= 0 && at < W) sum[j] = fma(image[(h * W + at) * C], weight, sum[j]);
            }
        }
    }
#pragma unroll
    for (int j = 0; j < STRIP; j++)
        if (first_q + j < Q) ending.store((row * Q + first_q + j) * K + k, k, sum[j]);
}

/* dx, or y of a transposed convolution: each pixel, a row, gathers from the outputs whose windows cover it. */
KERNEL(depthwise_input)(GEOMETRY_ARGUMENTS, IN(real) dy, IN(real) w, ENDING_ARGUMENTS) {
    const Ending ending = ENDING;
    const unsigned pixel = ROW_OF_BLOCK, c = COLUMN_OF_BLOCK, row = pixel / (unsigned)W, n = row / (unsigned)H;
    if (n >= N || c >= C) return;
    const int multiplier = K / C, h = row % (unsigned)H, column = pixel % (unsigned)W;
    real sum = 0;
    for (int r = 0; r < R; r++) {
        const int from_h = h + (int)top - r * (int)dilation_h, p = from_h / (int)stride_h;
        if (from_h < 0 || p >= P || p * stride_h != from_h) continue;
        for (int s = 0; s < S; s++) {
            const int from_w = column + (int)left - s * (int)dilation_w, q = from_w / (int)stride_w;
            if (from_w < 0 || q >= Q || q * stride_w != from_w) continue;
            IN(real) from = dy + ((n * P + p) * Q + q) * K + c * multiplier;
            IN(real) weights = w + (r * S + s) * K + c * multiplier;
            for (int m = 0; m < multiplier; m++) sum = fma(from[m], weights[m], sum);
        }
    }
    ending.store(pixel * C + c, c, sum);
}

/* Weights (K, 1, R, S) as (taps, K) */
KERNEL(depthwise_weights)(IN(real) w, OUT(real) laid, Int K, Int taps) {
    for (Int i = GLOBAL_THREAD; i < K * taps; i += GLOBAL_THREADS) laid[i] = w[i % K * taps + i / K];
}

/* The weight gradient. A block has 32 filters times 8 rows of threads; blockIdx.y counts runs of TAPS taps, blockIdx.z
 * parts of the output pixels. Each thread sums every eighth pixel of its part, the block adds the eight sums in order;
 * scratch (parts, taps, K). */
enum { TAPS = 9, FILTERS = 32, ROWS = 8 };

KERNEL_BOUNDED(depthwise_weight, FILTERS *ROWS)(GEOMETRY_ARGUMENTS, IN(real) x, IN(real) dy, OUT(real) scratch) {
    SHARED(real, sums, ROWS * TAPS * FILTERS);
    const int multiplier = K / C, first_tap = blockIdx.y * TAPS, taps = R * S;
    const int lane = threadIdx.x % FILTERS, own = threadIdx.x / FILTERS;
    const Int k = (Int)blockIdx.x * FILTERS + lane, pixels = N * P * Q;
    const Int begin = pixels * blockIdx.z / gridDim.z, end = pixels * (blockIdx.z + 1) / gridDim.z;
    real sum[TAPS] = {};
    for (unsigned pixel = begin + own; k < K && pixel < end; pixel += ROWS) {
        const unsigned row = pixel / (unsigned)Q, n = row / (unsigned)P;
        const int first_h = (int)(row % (unsigned)P) * (int)stride_h - (int)top;
        const int first_w = (int)(pixel % (unsigned)Q) * (int)stride_w - (int)left;
        const real slope = dy[pixel * K + k];
        IN(real) image = x + n * H * W * C + k / multiplier;
#pragma unroll
        for (int t = 0; t < TAPS; t++) {
            const int tap = first_tap + t, h = first_h + tap / (int)S * (int)dilation_h;
            const int w = first_w + tap % (int)S * (int)dilation_w;
            if (tap < taps && h >= 0 && h < H && w >= 0 && w < W) sum[t] = fma(image[(h * W + w) * C], slope, sum[t]);
        }
    }
#pragma unroll
    for (int t = 0; t < TAPS; t++) sums[(own * TAPS + t) * FILTERS + lane] = sum[t];
    __syncthreads();
    for (int t = own; t < TAPS; t += ROWS) {
        double total = 0;
        for (int row = 0; row < ROWS; row++) total += (double)sums[(row * TAPS + t) * FILTERS + lane];
        if (first_tap + t < taps && k < K) scratch[((Int)blockIdx.z * taps + first_tap + t) * K + k] = (real)total;
    }
}
