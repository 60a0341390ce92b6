/* Philox4x32-10 (Salmon et al. 2011): word i of a stream depends on (seed, i) alone. Block b holds words 4b to 4b+3.
 *
 * A stream's position is (seed, offset), given as numbers, or, for steps that are replayed, in device memory, where
 * `offset` counts from.
 */
#include "cuda/dialect.h"

enum { THREADS = 256, TILE = 4 * THREADS, PLANE = THREADS + 8 };

/* Words of the stream from block `first` on, one block a thread, without conflicts between banks. */
DEVICE int place_of(int word) { return word % 4 * PLANE + word / 4; }

DEVICE void draw(Int seed, Int first, SHARED_ARG(unsigned) words) {
    unsigned long long block = (unsigned long long)first + threadIdx.x;
    unsigned key0 = (unsigned)seed, key1 = (unsigned)((unsigned long long)seed >> 32);
    unsigned word0 = (unsigned)block, word1 = (unsigned)(block >> 32), word2 = 0, word3 = 0;
    for (int round = 0; round < 10; round++, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u) {
        unsigned long long even = (unsigned long long)word0 * 0xD2511F53u,
                           odd = (unsigned long long)word2 * 0xCD9E8D57u;
        word0 = (unsigned)(odd >> 32) ^ word1 ^ key0;
        word1 = (unsigned)odd;
        word2 = (unsigned)(even >> 32) ^ word3 ^ key1;
        word3 = (unsigned)even;
    }
    words[threadIdx.x] = word0;
    words[PLANE + threadIdx.x] = word1;
    words[2 * PLANE + threadIdx.x] = word2;
    words[3 * PLANE + threadIdx.x] = word3;
}

/* The upper 24 bits times 2^-24 */
DEVICE real uniform_of(unsigned word) { return (real)(int)(word >> 8) * (real)5.9604644775390625e-8; }

/* y: n numbers in [0, 1), if it is given. keep: whether each is >= p, and out = x * scale where it is, else 0. */
KERNEL(draw_numbers)(IN(Int) position, Int seed, Int offset, Int n, OUT(real) y, OUT(unsigned char) keep, IN(real) x,
                     OUT(real) out, double p, double scale) {
    SHARED(unsigned, words, 4 * PLANE);
    if (position) seed = position[0], offset += position[1];
    Int skip = offset % 4, first = offset / 4;
    for (Int at = (Int)blockIdx.x * TILE; at < n + skip; at += (Int)gridDim.x * TILE) {
        draw(seed, first + at / 4, words);
        __syncthreads();
        for (int k = 0; k < 4; k++) {
            const int word = (int)threadIdx.x + k * THREADS;
            const Int i = at + word - skip;
            if (i < 0 || i >= n) continue;
            real number = uniform_of(words[place_of(word)]);
            if (y) y[i] = number;
            if (keep) keep[i] = number >= (real)p;
            if (x) out[i] = number >= (real)p ? x[i] * (real)scale : (real)0;
        }
        __syncthreads();
    }
}

/* Dropout's units: element (b, r, i) of blocks x repeats x width is kept if number b*width + i is. */
KERNEL(keep_units)(IN(unsigned char) keep, IN(real) x, OUT(real) y, Int blocks, Int repeats, Int width, double scale) {
    Int size = repeats * width;
    for (Int b = blockIdx.y; b < blocks; b += gridDim.y)
        for (Int i = GLOBAL_THREAD; i < size; i += GLOBAL_THREADS) {
            Int unit = repeats == 1 ? i : width == 1 ? 0 : (unsigned)i % (unsigned)width;
            const real value = x[b * size + i]; /* loaded beside `keep`, not after it */
            y[b * size + i] = keep[b * width + unit] ? value * (real)scale : (real)0;
        }
}
