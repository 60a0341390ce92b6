/* Prints hashes of the results of several convolutions and of all elementwise kernels, on NEON or AVX2, depending on
 * the target; .ci/arm compares them. */
#include "fastnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__aarch64__)
extern const fn_kernels fn_neon_f32, fn_neon_f64;
static const fn_kernels *const tables[] = {&fn_neon_f32, &fn_neon_f64};
#else
extern const fn_kernels fn_avx2_f32, fn_avx2_f64;
static const fn_kernels *const tables[] = {&fn_avx2_f32, &fn_avx2_f64};
#endif

static const char *const map_names[FN_MAPS] = {
#define ELEMENTWISE(name) #name,
#include "kernels.def"
};

typedef struct {
    int64_t N, C, H, W, K, R, S, stride, padding, dilation, groups;
} problem;

static const problem problems[] = {
    /* matrix products, with edges on all sides */
    {2, 3, 33, 31, 17, 3, 3, 1, 1, 1, 1},
    {1, 5, 40, 37, 70, 5, 5, 2, 2, 1, 1},
    {1, 300, 4, 5, 40, 3, 3, 1, 1, 1, 1},
    {2, 20, 3, 3, 530, 1, 1, 1, 0, 1, 1},
    {17, 6, 9, 8, 7, 3, 3, 1, 1, 1, 1},
    {3, 16, 14, 14, 32, 1, 1, 1, 0, 1, 1},
    {2, 24, 13, 11, 40, 1, 1, 2, 0, 1, 1},
    {1, 3, 64, 64, 24, 7, 7, 2, 3, 1, 1},
    {1, 3, 53, 55, 24, 11, 11, 4, 2, 1, 1},
    {2, 16, 11, 10, 16, 3, 3, 1, 2, 2, 1},
    {1, 12, 20, 9, 33, 3, 3, 1, 0, 3, 1},
    {1, 2, 9, 14, 5, 4, 7, 1, 3, 1, 1},
    /* few output channels */
    {2, 9, 21, 23, 1, 3, 3, 1, 1, 1, 1},
    {2, 16, 20, 19, 3, 5, 5, 1, 2, 1, 1},
    {1, 8, 30, 33, 4, 3, 3, 2, 1, 1, 1},
    /* few input channels: scattered input gradients */
    {2, 1, 30, 101, 6, 5, 5, 1, 2, 1, 1},
    {1, 3, 12, 60, 33, 7, 7, 1, 3, 1, 1},
    {4, 1, 28, 28, 20, 5, 5, 1, 0, 1, 1},
    /* small images */
    {8, 64, 2, 2, 64, 3, 3, 1, 1, 1, 1},
    {5, 48, 1, 1, 36, 3, 3, 1, 1, 1, 1},
    {6, 32, 3, 2, 40, 3, 3, 2, 1, 1, 1},
    /* Winograd, where it is allowed: 3x3 and 5x5, edges of tiles, channels and filters */
    {2, 16, 16, 16, 16, 3, 3, 1, 1, 1, 1},
    {3, 33, 15, 17, 34, 3, 3, 1, 1, 1, 1},
    {1, 64, 28, 28, 64, 3, 3, 1, 1, 1, 1},
    {4, 128, 8, 8, 128, 3, 3, 1, 1, 1, 1},
    {1, 96, 7, 9, 80, 3, 3, 1, 0, 1, 1},
    {2, 16, 13, 14, 24, 5, 5, 1, 2, 1, 1},
    {2, 32, 20, 20, 48, 5, 5, 1, 0, 1, 1},
    {1, 256, 6, 6, 256, 3, 3, 1, 1, 1, 1},
    {1, 17, 12, 11, 18, 5, 5, 2, 2, 1, 1},
    {1, 16, 15, 16, 17, 6, 5, 2, 2, 1, 1},
    /* groups */
    {1, 40, 17, 15, 40, 3, 3, 1, 1, 1, 40},
    {2, 20, 11, 12, 20, 3, 3, 2, 1, 1, 20},
    {1, 36, 13, 19, 36, 5, 5, 1, 2, 1, 36},
    {1, 33, 15, 13, 33, 7, 7, 2, 3, 1, 33},
    {1, 24, 12, 13, 24, 3, 3, 1, 2, 2, 24},
    {2, 32, 9, 11, 32, 3, 3, 1, 1, 1, 8},
    {1, 28, 12, 19, 28, 3, 3, 2, 1, 1, 7},
    {2, 8, 6, 5, 8, 3, 2, 1, 1, 1, 2},
    {2, 32, 9, 10, 34, 3, 3, 1, 1, 1, 2},
    {1, 12, 10, 10, 24, 3, 3, 1, 1, 1, 12},
};

static fn_conv geometry(problem p) {
    return (fn_conv){.N = p.N,
                     .C = p.C,
                     .H = p.H,
                     .W = p.W,
                     .K = p.K,
                     .R = p.R,
                     .S = p.S,
                     .P = (p.H + 2 * p.padding - p.dilation * (p.R - 1) - 1) / p.stride + 1,
                     .Q = (p.W + 2 * p.padding - p.dilation * (p.S - 1) - 1) / p.stride + 1,
                     .stride_h = p.stride,
                     .stride_w = p.stride,
                     .pad_top = p.padding,
                     .pad_bottom = p.padding,
                     .pad_left = p.padding,
                     .pad_right = p.padding,
                     .dilation_h = p.dilation,
                     .dilation_w = p.dilation,
                     .groups = p.groups};
}

/* An array of 24-bit numbers from -1 to 1, the same on every machine. */
static void *numbers(int dtype, int64_t count, uint64_t seed) {
    void *array = fn_alloc((size_t)count * 8, FN_ARRAY);
    if (!array) exit(2);
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        double value = (double)(int64_t)(seed >> 40) * 0x1p-23 - 1;
        if (dtype) ((double *)array)[i] = value;
        else ((float *)array)[i] = (float)value;
    }
    return array;
}

static uint64_t hash(const void *array, int64_t bytes, uint64_t before) { /* FNV-1a */
    for (const unsigned char *at = array, *end = at + bytes; at < end; at++) before = (before ^ *at) * 1099511628211u;
    return before;
}

static uint64_t convolve(int dtype, problem p) {
    const fn_kernels *k = tables[dtype];
    const fn_conv g = geometry(p);
    const fn_epilogue plain = {0};
    int64_t item = dtype ? 8 : 4, x_size = g.N * g.H * g.W * g.C, y_size = g.N * g.P * g.Q * g.K;
    int64_t w_size = g.K * (g.C / g.groups) * g.R * g.S;
    void *x = numbers(dtype, x_size, 1), *w = numbers(dtype, w_size, 2), *dy = numbers(dtype, y_size, 3);
    void *y = numbers(dtype, y_size, 4), *dx = numbers(dtype, x_size, 5), *dw = numbers(dtype, w_size, 6);
    if (k->conv_forward(&g, x, w, &plain, y) || k->conv_grad_input(&g, dy, w, NULL, dx) ||
        k->conv_grad_weight(&g, x, dy, dw))
        exit(2);
    uint64_t result = hash(y, y_size * item, 14695981039346656037u);
    result = hash(dw, w_size * item, hash(dx, x_size * item, result));
    void *arrays[] = {x, w, dy, y, dx, dw};
    for (int i = 0; i < 6; i++) fn_free(arrays[i]);
    return result;
}

static uint64_t map(int dtype, int kernel) {
    enum { COUNT = 1003 };
    const fn_kernels *k = tables[dtype];
    void *x = numbers(dtype, COUNT, 7), *dy = numbers(dtype, COUNT, 8), *y = numbers(dtype, COUNT, 9);
    for (int i = 0; i < COUNT; i++)
        if (dtype) ((double *)x)[i] *= 8;
        else ((float *)x)[i] *= 8;
    k->map_forward((fn_map)kernel, COUNT, 0.25, 0.5, x, y);
    k->map_backward((fn_map)kernel, COUNT, 0.25, 0.5, dy, x, dy);
    uint64_t result = hash(dy, COUNT * (dtype ? 8 : 4), hash(y, COUNT * (dtype ? 8 : 4), 14695981039346656037u));
    fn_free(x), fn_free(y), fn_free(dy);
    return result;
}

int main(void) {
    static const char *const algorithms[] = {"auto", "direct", "winograd"};
    fn_set_threads(2);
    for (int dtype = 0; dtype < 2; dtype++) {
        for (int algorithm = FN_DIRECT; algorithm <= FN_WINOGRAD; algorithm++)
            for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) {
                fn_set_conv_algorithm((fn_algorithm)algorithm);
                printf("float%d %s convolution %zu: %016llx\n", dtype ? 64 : 32, algorithms[algorithm], i,
                       (unsigned long long)convolve(dtype, problems[i]));
            }
        for (int kernel = 0; kernel < FN_MAPS; kernel++)
            printf("float%d %s: %016llx\n", dtype ? 64 : 32, map_names[kernel], (unsigned long long)map(dtype, kernel));
    }
    return 0;
}
