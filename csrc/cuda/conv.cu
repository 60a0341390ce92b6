/* Convolutions as products of matrices that are never built: the loaders gather their operands from the images.
 *
 * conv_gather_* is the forward pass and the input gradient (gather.h): rows are output pixels of a phase, columns the
 * output channels of a group, steps taps and input channels.  conv_weight_* is the weight gradient: rows are taps and
 * input channels, columns filters, steps output pixels.  Activations are channels-last, so neighbouring threads read
 * neighbouring channels.  Bound by arithmetic, but for few channels.
 *
 * Long sums of few outputs are cut into parts, whose number depends on the shapes alone (ending.cu).
 */
#include "cuda/ending.h"
#include "cuda/gather.h"
#include "cuda/tile.h"

/* Rows of the tile, as output pixels of N images, fewer than 2^31: their inputs' place at tap 0, and their outputs'. */
template <int HEIGHT>
DEVICE void locate_rows(const Axis &down, const Axis &across, unsigned images, unsigned first_row, unsigned first_image,
                        Int in_image, Int out_image, Int out_row, Int out_pixel, SHARED_ARG(int) image,
                        SHARED_ARG(int) in_h, SHARED_ARG(int) in_w, SHARED_ARG(Int) out) {
    for (int i = threadIdx.x; i < HEIGHT; i += THREADS) {
        const unsigned number = first_row + i, pixel = number / across.count;
        const unsigned n = pixel / down.count, u = pixel % down.count, v = number % across.count;
        const bool inside = n < images;
        image[i] = (int)((n - first_image) * in_image);
        in_h[i] = inside ? down.in_first + (int)u * down.in_apart : -(1 << 30); /* reads nothing */
        in_w[i] = across.in_first + (int)v * across.in_apart;
        out[i] = inside ? n * out_image + (Int)(down.first + (int)u * down.apart) * out_row +
                              (Int)(across.first + (int)v * across.apart) * out_pixel
                        : -1;
    }
}

/* Input pixels under the taps: element (row, step) is the input of the tile's row at a tap and channel. Offsets count
 * from the first image of the tile, whose images have fewer than 2^31 elements together. */
template <int LOADS> struct Pixels {
    IN(real) x;
    SHARED_ARG(int) image;
    SHARED_ARG(int) in_h;
    SHARED_ARG(int) in_w;
    Place place;
    int height, width, tap_h, tap_w;
    int pixel; /* elements between neighbouring pixels */
    int row, step;
    int at[LOADS]; /* of the tap; -1: outside */

    METHOD Pixels(IN(real) x, const Axis &down, const Axis &across, int channels, int pixel, Int first,
                  SHARED_ARG(int) image, SHARED_ARG(int) in_h, SHARED_ARG(int) in_w)
        : x(x), image(image), in_h(in_h), in_w(in_w),
          place(down.taps, across.taps, channels, first + threadIdx.x % DEPTH), height(down.in_count),
          width(across.in_count), tap_h(down.in_tap), tap_w(across.in_tap), pixel(pixel), row(threadIdx.x / DEPTH),
          step(threadIdx.x % DEPTH) {
        locate();
    }

    METHOD void locate() {
#pragma unroll
        for (int i = 0; i < LOADS; i++) {
            const int h = in_h[row + LANES * i] + place.i * tap_h, w = in_w[row + LANES * i] + place.j * tap_w;
            const bool inside = place.i < place.rows && h >= 0 && h < height && w >= 0 && w < width;
            at[i] = inside ? image[row + LANES * i] + (h * width + w) * pixel : -1;
        }
    }

    METHOD real load(int i) const { return at[i] < 0 ? (real)0 : x[at[i] + place.c]; }

    METHOD void advance() {
        if (place.advance(DEPTH)) locate();
    }
};

/* Weights in the order of conv_weights: element (column, step) is the weight of an output channel at a tap and an input
 * channel. */
struct Weights {
    IN(real) w;
    Place place;
    int columns, kernel_width, first_h, first_w, apart_h, apart_w; /* the taps of the kernel that the phase reads */
    int outputs, row, step, at;

    METHOD Weights(IN(real) w, const Axis &down, const Axis &across, int kernel_width, int channels, int outputs,
                   int first_column, Int first)
        : w(w + first_column), place(down.taps, across.taps, channels, first + threadIdx.x / LANES),
          columns(outputs - first_column), kernel_width(kernel_width), first_h(down.first_tap),
          first_w(across.first_tap), apart_h(down.tap_apart), apart_w(across.tap_apart), outputs(outputs),
          row(threadIdx.x % LANES), step(threadIdx.x / LANES) {
        locate();
    }

    METHOD void locate() {
        const int tap = (first_h + place.i * apart_h) * kernel_width + first_w + place.j * apart_w;
        at = place.i < place.rows ? (tap * place.channels + place.c) * outputs : -1;
    }

    METHOD real load(int i) const {
        const int column = row + LANES * i;
        return at < 0 || column >= columns ? (real)0 : w[at + column];
    }

    METHOD void advance() {
        place.advance(DEPTH);
        locate();
    }
};

/* The outputs' ending; with several parts, each part's plain sums go to `parts`, which are as large as y. */
struct Outputs {
    Ending ending;
    OUT(real) part;
    SHARED_ARG(Int) out;
    Int first_channel; /* of the tile */
    int columns;

    METHOD void store(int row, int column, real value) const {
        const Int at = out[row];
        if (at < 0 || column >= columns) return;
        const Int channel = first_channel + column;
        if (part) part[at + channel] = value;
        else ending.store(at + channel, channel, value);
    }
};

/* Blocks, fastest first: columns, groups, rows, phases, parts. x, y: the arrays that are read and written. */
template <class T>
DEVICE void conv_gather(const Geometry &g, IN(real) x, IN(real) w, OUT(real) scratch, Int parts, Int gradient,
                        const Ending &ending, SHARED_ARG(real) shared, SHARED_ARG(int) image, SHARED_ARG(Int) out,
                        SHARED_ARG(int) in_h, SHARED_ARG(int) in_w) {
    const int in_all = gradient ? g.K : g.C, out_all = gradient ? g.C : g.K;
    const int channels = in_all / g.groups, outputs = out_all / g.groups;
    const int phases_h = gradient ? g.stride_h : 1, phases_w = gradient ? g.stride_w : 1;
    const Int out_h = gradient ? g.H : g.P, out_w = gradient ? g.W : g.Q;
    const Int most_rows = g.N * ((out_h + phases_h - 1) / phases_h) * ((out_w + phases_w - 1) / phases_w);
    const unsigned column_tiles = (outputs + T::WIDTH - 1) / T::WIDTH;
    const unsigned row_tiles = (most_rows + T::HEIGHT - 1) / T::HEIGHT;
    unsigned block = blockIdx.x;
    const int first_column = block % column_tiles * T::WIDTH;
    block /= column_tiles;
    const Int group = block % (unsigned)g.groups;
    block /= (unsigned)g.groups;
    const unsigned first_row = block % row_tiles * T::HEIGHT;
    block /= row_tiles;
    const int phase = block % (phases_h * phases_w);
    const Int part = block / (phases_h * phases_w);

    const Axis down = gradient ? gradient_axis(g.H, g.P, g.R, g.stride_h, g.top, g.dilation_h, phase / phases_w)
                               : forward_axis(g.H, g.P, g.R, g.stride_h, g.top, g.dilation_h);
    const Axis across = gradient ? gradient_axis(g.W, g.Q, g.S, g.stride_w, g.left, g.dilation_w, phase % phases_w)
                                 : forward_axis(g.W, g.Q, g.S, g.stride_w, g.left, g.dilation_w);
    if (first_row >= g.N * down.count * across.count) return; /* the largest phase has more rows */
    const unsigned first_image = first_row / (down.count * across.count);
    const Int in_image = (Int)down.in_count * across.in_count * in_all, out_image = out_h * out_w * out_all;
    locate_rows<T::HEIGHT>(down, across, g.N, first_row, first_image, in_image, out_image, out_w * out_all, out_all,
                           image, in_h, in_w, out);
    __syncthreads();
    const Int steps = (Int)down.taps * across.taps * channels;
    const Int first = first_step(steps, part, parts), end = first_step(steps, part + 1, parts);
    const Pixels<T::LEFT_LOADS> pixels(x + first_image * in_image + group * channels, down, across, channels, in_all,
                                       first, image, in_h, in_w);
    const Weights weights(w + group * g.R * g.S * channels * outputs, down, across, g.S, channels, outputs,
                          first_column, first);
    const Outputs store = {ending, parts > 1 ? scratch + part * g.N * out_image : scratch, out,
                           group * outputs + first_column, outputs - first_column};
    multiply<T>(pixels, weights, slices_of(end - first), shared, store);
}

#define CONV_GATHER(size, across, rows, columns)                                                                 \
    KERNEL_BOUNDED(conv_gather_##size, THREADS)                                                                  \
    (GEOMETRY_ARGUMENTS, IN(real) x, IN(real) w, OUT(real) scratch, Int parts, Int gradient, ENDING_ARGUMENTS) { \
        typedef Tile<across, rows, columns> T;                                                                   \
        DYNAMIC_SHARED(real, shared);                                                                            \
        SHARED(int, image, T::HEIGHT);                                                                           \
        SHARED(Int, out, T::HEIGHT);                                                                             \
        SHARED(int, in_h, T::HEIGHT);                                                                            \
        SHARED(int, in_w, T::HEIGHT);                                                                            \
        const Geometry geometry = GEOMETRY;                                                                      \
        const Ending ending = ENDING;                                                                            \
        conv_gather<T>(geometry, x, w, scratch, parts, gradient, ending, shared, image, out, in_h, in_w);        \
    }
TILES(CONV_GATHER)

/* Weights (K, C/groups, R, S) as (groups, R, S, inputs, outputs) of each group, as conv_gather reads them; fewer than
 * 2^31. */
KERNEL(conv_weights)(IN(real) w, OUT(real) laid, Int K, Int channels, Int taps, Int groups, Int gradient) {
    const unsigned filters = K / groups, inputs = gradient ? filters : channels, n = K * channels * taps;
    const unsigned outputs = gradient ? channels : filters;
    for (unsigned i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS) {
        const unsigned output = i % outputs, input = i / outputs % inputs, tap = i / (outputs * inputs) % taps;
        const unsigned group = i / (outputs * inputs * taps);
        const unsigned k = group * filters + (gradient ? input : output), c = gradient ? output : input;
        laid[i] = w[(k * channels + c) * taps + tap];
    }
}
