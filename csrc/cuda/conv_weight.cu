/* The weight gradient of convolutions as a product of matrices that are never built: rows are taps and input channels,
 * columns filters, steps output pixels.  The pixels are cut into parts, whose number depends on the shapes alone;
 * conv_weight_sum adds them in order.  Bound by arithmetic, but for few channels. */
#include "cuda/gather.h"
#include "cuda/tile.h"

/* Element (row, step): the input pixel that an output pixel reads through the row's tap. */
template <int LOADS> struct Patches {
    IN(real) x;
    SHARED_ARG(Int) offset; /* of the rows: elements from tap 0 */
    SHARED_ARG(int) down;   /* and pixels */
    SHARED_ARG(int) across;
    int H, W, P, Q, stride_h, stride_w, top, left;
    Int C, n, images;
    int row, step, p, q, h, w;
    Int at;

    METHOD Patches(const Geometry &g, IN(real) x, Int first, SHARED_ARG(Int) offset, SHARED_ARG(int) down,
                   SHARED_ARG(int) across)
        : x(x), offset(offset), down(down), across(across), H(g.H), W(g.W), P(g.P), Q(g.Q), stride_h(g.stride_h),
          stride_w(g.stride_w), top(g.top), left(g.left), C(g.C), images(g.N), row(threadIdx.x % LANES),
          step(threadIdx.x / LANES) {
        const Int pixel = first + step;
        q = (int)(pixel % Q);
        p = (int)(pixel / Q % P);
        n = pixel / Q / P;
        locate();
    }

    METHOD void locate() {
        h = n < images ? p * stride_h - top : -(1 << 30); /* reads nothing */
        w = q * stride_w - left;
        at = ((n * H + p * stride_h - top) * W + w) * C;
    }

    METHOD real load(int i) const {
        const int number = row + LANES * i, from_h = h + down[number], from_w = w + across[number];
        const bool inside = from_h >= 0 && from_h < H && from_w >= 0 && from_w < W;
        return inside ? x[at + offset[number]] : (real)0;
    }

    METHOD void advance() {
        q += DEPTH;
        if (q >= Q) {
            p += q / Q;
            q %= Q;
            if (p >= P) {
                n += p / P;
                p %= P;
            }
        }
        locate();
    }
};

struct Gradients {
    OUT(real) to; /* the tile's */
    Int apart, rows, columns;

    METHOD void store(int row, int column, real value) const {
        if (row < rows && column < columns) to[row * apart + column] = value;
    }
};

/* scratch (parts, groups, taps * channels, filters).  Blocks, fastest first: columns, rows, groups, parts. */
template <class T>
DEVICE void conv_weight(const Geometry &g, IN(real) x, IN(real) dy, OUT(real) scratch, Int parts,
                        SHARED_ARG(real) shared, SHARED_ARG(Int) offset, SHARED_ARG(int) down, SHARED_ARG(int) across) {
    const Int channels = g.C / g.groups, filters = g.K / g.groups, rows = g.R * g.S * channels;
    const unsigned column_tiles = (filters + T::WIDTH - 1) / T::WIDTH, row_tiles = (rows + T::HEIGHT - 1) / T::HEIGHT;
    unsigned block = blockIdx.x;
    const int first_column = block % column_tiles * T::WIDTH;
    block /= column_tiles;
    const int first_row = block % row_tiles * T::HEIGHT;
    block /= row_tiles;
    const Int group = block % (unsigned)g.groups, part = block / (unsigned)g.groups;
    for (int i = threadIdx.x; i < T::HEIGHT; i += THREADS) {
        const int number = first_row + i, c = number % (int)channels, tap = number / (int)channels;
        const int h = tap / (int)g.S * (int)g.dilation_h, w = tap % (int)g.S * (int)g.dilation_w;
        offset[i] = ((Int)h * g.W + w) * g.C + c;
        down[i] = number < rows ? h : -(1 << 30);
        across[i] = w;
    }
    __syncthreads();
    const Int pixels = g.N * g.P * g.Q, first = first_step(pixels, part, parts);
    const Int end = first_step(pixels, part + 1, parts);
    const Patches<T::LEFT_LOADS> patches(g, x + group * channels, first, offset, down, across);
    const Matrix gradients(dy + group * filters, 1, g.K, first_column, filters, first, end);
    const Int to = ((part * g.groups + group) * rows + first_row) * filters + first_column;
    const Gradients store = {scratch + to, filters, rows - first_row, filters - first_column};
    multiply<T>(patches, gradients, slices_of(end - first), shared, store);
}

#define CONV_WEIGHT(size, columns_across, rows, columns)                               \
    KERNEL_BOUNDED(conv_weight_##size, THREADS)                                        \
    (GEOMETRY_ARGUMENTS, IN(real) x, IN(real) dy, OUT(real) scratch, Int parts) {      \
        typedef Tile<columns_across, rows, columns> T;                                 \
        DYNAMIC_SHARED(real, shared);                                                  \
        SHARED(Int, offset, T::HEIGHT);                                                \
        SHARED(int, down, T::HEIGHT);                                                  \
        SHARED(int, across, T::HEIGHT);                                                \
        const Geometry geometry = GEOMETRY;                                            \
        conv_weight<T>(geometry, x, dy, scratch, parts, shared, offset, down, across); \
    }
TILES(CONV_WEIGHT)

/* dw (K, channels, taps), the sum of its parts; channels and filters of a group; fewer than 2^31 elements */
KERNEL(conv_weight_sum)(IN(real) scratch, OUT(real) dw, Int parts, Int groups, Int taps, Int channels, Int filters) {
    const unsigned n = groups * taps * channels * filters, group_size = taps * channels * filters;
    for (unsigned i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS) {
        double sum = 0;
        for (Int part = 0; part < parts; part++) sum += (double)scratch[part * n + i];
        const unsigned k = i / group_size * filters + i % filters, at = i % group_size / filters;
        dw[(k * channels + at % channels) * taps + at / channels] = (real)sum;
    }
}
