/* Winograd's minimal filtering F(4x4, 3x3): 4 x 4 outputs of a 3x3 convolution at stride 1 from 36 products instead of
 * 144.  V = B^T d B of each tile's 6 x 6 inputs d, U = G g G^T of each filter g, M = V U for each of 36 points
 * (gemm.cu), y = A^T M A.  The transforms are bound by memory.
 *
 * The matrices come from interpolation at 0, +-a, +-b and infinity (Lavin & Gray 2016; Barabasz et al. 2018), with the
 * CPU's a and b (csrc/conv/winograd_transform.h).  In two dimensions each runs over rows, then over columns.
 */
#include "cuda/ending.h"
#include "cuda/rows.h"

enum { POINTS = 36, SIDE = 4, TILE = 6 };

#define PA ((real)0.75)
#define PB ((real)1.5)
#define PA2 ((real)0.5625)
#define PB2 ((real)2.25)

/* B^T d: coefficients of the polynomials that vanish at all points but one, with d_i for x^i. */
DEVICE void transform_input(const real *d, real *v) {
    const real even_a = fma(-PB2, d[2], d[4]), odd_a = PA * fma(-PB2, d[1], d[3]);
    const real even_b = fma(-PA2, d[2], d[4]), odd_b = PB * fma(-PA2, d[1], d[3]);
    v[0] = fma(PA2 * PB2, d[0], fma(-(PA2 + PB2), d[2], d[4]));
    v[1] = even_a + odd_a;
    v[2] = even_a - odd_a;
    v[3] = even_b + odd_b;
    v[4] = even_b - odd_b;
    v[5] = fma(PA2 * PB2, d[1], fma(-(PA2 + PB2), d[3], d[5]));
}

/* G g: g(x) over the product of x's distances from the other points; the last tap for infinity. */
DEVICE void transform_filter(const real *g, real *u) {
    const real scale_a = 1 / (2 * PA2 * (PA2 - PB2)), scale_b = 1 / (2 * PB2 * (PB2 - PA2));
    const real even_a = scale_a * fma(PA2, g[2], g[0]), odd_a = scale_a * PA * g[1];
    const real even_b = scale_b * fma(PB2, g[2], g[0]), odd_b = scale_b * PB * g[1];
    u[0] = g[0] * (1 / (PA2 * PB2));
    u[1] = even_a + odd_a;
    u[2] = even_a - odd_a;
    u[3] = even_b + odd_b;
    u[4] = even_b - odd_b;
    u[5] = g[2];
}

/* A^T m: y_i = the sum over points x of x^i m_x; infinity counts for the last. */
DEVICE void transform_output(const real *m, real *y) {
    const real sum_a = m[1] + m[2], difference_a = m[1] - m[2], sum_b = m[3] + m[4], difference_b = m[3] - m[4];
    y[0] = m[0] + sum_a + sum_b;
    y[1] = fma(PA, difference_a, PB * difference_b);
    y[2] = fma(PA2, sum_a, PB2 * sum_b);
    y[3] = fma(PA2 * PA, difference_a, fma(PB2 * PB, difference_b, m[5]));
}

/* U (points, inputs, outputs) of weights (K, C, 3, 3), with one row of threads for each input channel.  The input
 * gradient takes them flipped, from filters to channels. */
KERNEL(winograd_filters)(IN(real) w, OUT(real) filters, Int inputs, Int outputs, Int gradient) {
    const Int input = ROW_OF_BLOCK, output = COLUMN_OF_BLOCK;
    if (input >= inputs || output >= outputs) return;
    IN(real) from = w + (gradient ? input * outputs + output : output * inputs + input) * 9;
    real half[3][TILE], column[3], u[TILE];
#pragma unroll
    for (int r = 0; r < 3; r++) {
        real g[3];
#pragma unroll
        for (int s = 0; s < 3; s++) g[s] = from[gradient ? 8 - r * 3 - s : r * 3 + s];
        transform_filter(g, half[r]);
    }
#pragma unroll
    for (int j = 0; j < TILE; j++) {
#pragma unroll
        for (int r = 0; r < 3; r++) column[r] = half[r][j];
        transform_filter(column, u);
#pragma unroll
        for (int i = 0; i < TILE; i++) filters[((i * TILE + j) * inputs + input) * outputs + output] = u[i];
    }
}

/* Tiles are counted by image, row, column; `down` and `across` of them cover an image's outputs. A launch has `count`
 * of them, from `first` on, a row of threads for each. */
#define TILE_ARGUMENTS Int first, Int count, Int down, Int across
#define LOCATE_TILE                                                         \
    const unsigned number = ROW_OF_BLOCK, tile = (unsigned)first + number;  \
    const int row = (int)(tile / (unsigned)across % (unsigned)down) * SIDE; \
    const int column = (int)(tile % (unsigned)across) * SIDE;               \
    const Int n = tile / (unsigned)(across * down), channel = COLUMN_OF_BLOCK;

/* V (points, count, C) of images (N, H, W, C); outputs (0, 0) read from pixel (-top, -left) on. */
KERNEL(winograd_inputs)(IN(real) x, OUT(real) inputs, Int C, Int H, Int W, Int top, Int left, TILE_ARGUMENTS) {
    LOCATE_TILE
    if (number >= count || channel >= C) return;
    real half[TILE][TILE], d[TILE], v[TILE];
#pragma unroll
    for (int i = 0; i < TILE; i++) {
        const int h = row - (int)top + i;
#pragma unroll
        for (int j = 0; j < TILE; j++) {
            const int w = column - (int)left + j;
            d[j] = h >= 0 && h < H && w >= 0 && w < W ? x[((n * H + h) * W + w) * C + channel] : (real)0;
        }
        transform_input(d, half[i]);
    }
#pragma unroll
    for (int j = 0; j < TILE; j++) {
#pragma unroll
        for (int i = 0; i < TILE; i++) d[i] = half[i][j];
        transform_input(d, v);
#pragma unroll
        for (int i = 0; i < TILE; i++) inputs[((i * TILE + j) * count + number) * C + channel] = v[i];
    }
}

/* y (N, P, Q, K) of M (points, count, K). A thread's outputs pass through shared memory: there one loop stores them. */
KERNEL_BOUNDED(winograd_outputs, BLOCK_THREADS)
(IN(real) products, Int K, Int P, Int Q, TILE_ARGUMENTS, ENDING_ARGUMENTS) {
    SHARED(real, outputs, SIDE * SIDE * BLOCK_THREADS);
    LOCATE_TILE
    const Ending ending = ENDING;
    const int own = threadIdx.y * blockDim.x + threadIdx.x;
    if (number >= count || channel >= K) return;
    real half[TILE][SIDE], m[TILE], four[SIDE];
#pragma unroll
    for (int i = 0; i < TILE; i++) {
#pragma unroll
        for (int j = 0; j < TILE; j++) m[j] = products[((i * TILE + j) * count + number) * K + channel];
        transform_output(m, half[i]);
    }
#pragma unroll
    for (int j = 0; j < SIDE; j++) {
#pragma unroll
        for (int i = 0; i < TILE; i++) m[i] = half[i][j];
        transform_output(m, four);
#pragma unroll
        for (int i = 0; i < SIDE; i++) outputs[(i * SIDE + j) * BLOCK_THREADS + own] = four[i];
    }
#pragma unroll 1
    for (int e = 0; e < SIDE * SIDE; e++) {
        const int p = row + e / SIDE, q = column + e % SIDE;
        if (p >= P || q >= Q) continue;
        ending.store(((n * P + p) * Q + q) * K + channel, channel, outputs[e * BLOCK_THREADS + own]);
    }
}
