/* What moves elements without computing; bound by memory. Images are channels-last. */
#include "cuda/walk.h"

enum { TILE = 32, TILE_ROWS = 8 };

/* y[n][j][i] = x[n][i][j] for n matrices of rows x columns, by tiles, so that both are accessed in runs. */
KERNEL(transpose)(IN(real) x, OUT(real) y, Int n, Int rows, Int columns) {
    SHARED(real, tile, TILE * (TILE + 1));
    const Int i0 = (Int)blockIdx.y * TILE, j0 = (Int)blockIdx.x * TILE;
    const int across = threadIdx.x, down = threadIdx.y;
    for (Int image = blockIdx.z; image < n; image += gridDim.z) {
        IN(real) from = x + image * rows * columns;
        OUT(real) to = y + image * rows * columns;
        for (int i = down; i < TILE; i += TILE_ROWS)
            if (i0 + i < rows && j0 + across < columns)
                tile[i * (TILE + 1) + across] = from[(i0 + i) * columns + j0 + across];
        __syncthreads();
        for (int j = down; j < TILE; j += TILE_ROWS)
            if (j0 + j < columns && i0 + across < rows)
                to[(j0 + j) * rows + i0 + across] = tile[across * (TILE + 1) + j];
        __syncthreads();
    }
}

/* `width` columns of n / width rows: those from x_start on of rows of x_width to those from y_start on of y_width. */
KERNEL(copy_columns)(IN(real) x, OUT(real) y, Int n, Int width, Int x_start, Int x_width, Int y_start, Int y_width) {
    Walk at = walk_from(width);
    for (Int i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS, at = walk_on(at))
        y[at.row * y_width + y_start + at.column] = x[at.row * x_width + x_start + at.column];
}

/* Images' pixels have 32 bits: divisions of those are fast. */
struct Pixel {
    unsigned image, h, w;
};

DEVICE Pixel pixel_of(Int number, Int H, Int W) {
    const unsigned row = (unsigned)number / (unsigned)W;
    return {row / (unsigned)H, row % (unsigned)H, (unsigned)number - row * (unsigned)W};
}

/* y (N, P, Q, K) = x[n, p*stride, q*stride, k - first] where x (N, H, W, C) has that channel, else 0 */
KERNEL(subsample_forward)(IN(real) x, OUT(real) y, Int n, Int stride, Int first, Int H, Int W, Int C, Int P, Int Q,
                          Int K) {
    Walk at = walk_from(K);
    for (Int i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS, at = walk_on(at)) {
        const Pixel to = pixel_of(at.row, P, Q);
        const Int c = at.column - first;
        y[i] = c >= 0 && c < C ? x[((to.image * H + to.h * stride) * W + to.w * stride) * C + c] : (real)0;
    }
}

/* Its gradient, dx (N, H, W, C) */
KERNEL(subsample_backward)(IN(real) dy, OUT(real) dx, Int n, Int stride, Int first, Int H, Int W, Int C, Int P, Int Q,
                           Int K) {
    const unsigned apart = (unsigned)stride;
    Walk at = walk_from(C);
    for (Int i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS, at = walk_on(at)) {
        const Pixel to = pixel_of(at.row, H, W);
        const int read = to.h % apart == 0 && to.w % apart == 0;
        dx[i] = read ? dy[((to.image * P + to.h / apart) * Q + to.w / apart) * K + at.column + first] : (real)0;
    }
}

/* Element (n, h*r + i, w*r + j, c) of large (N, H*r, W*r, C) is (n, h, w, (c*r + i)*r + j) of small (N, H, W, C*r*r);
 * `to_large` says which of the two is y. */
KERNEL(shuffle_pixels)(IN(real) x, OUT(real) y, Int n, Int factor, Int H, Int W, Int C, Int to_large) {
    const unsigned r = (unsigned)factor;
    Walk at = walk_from(C); /* over large */
    for (Int i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS, at = walk_on(at)) {
        const Pixel of = pixel_of(at.row, H * factor, W * factor);
        const Int pixel = (of.image * H + of.h / r) * W + of.w / r;
        const Int small = (pixel * C + at.column) * factor * factor + of.h % r * r + of.w % r;
        if (to_large) y[i] = x[small];
        else y[small] = x[i];
    }
}
