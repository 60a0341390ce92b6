/* Batch norm of x, rows of C channels.  Sums over rows are sums of parts (device/rows.py), in double: a part is one
 * block, whose threads take every blockDim.y-th row of a column.  Bound by memory.
 *
 * Per channel, with m the mean rounded to real: xhat = (x - m)*inverse + what the rounding left out, and
 *   y = activation((x - m)*scale + shift + add),    dx = g*slope + ((x - m)*by_x + by_one).
 * `forward` holds m, scale and shift, `backward` slope, by_x and by_one, C reals each; `exact`, in double, the mean and
 * 1 / sqrt(variance + eps). */
#include "cuda/activations.h"
#include "cuda/reduce.h"
#include "cuda/rows.h"

/* out: element c of LOADS_AHEAD rows of x, `every` rows apart, from `row` on; 0 from row `end` on, and without x. */
DEVICE void load_ahead(IN(real) x, Int row, Int every, Int end, Int C, Int c, real out[LOADS_AHEAD]) {
    for (int i = 0; i < LOADS_AHEAD; i++) out[i] = x && row + i * every < end ? x[(row + i * every) * C + c] : (real)0;
}

/* The first row of this block's part, or with `after`, of the next. */
DEVICE Int part_start(Int rows, int after) { return rows * ((Int)blockIdx.x + after) / gridDim.x; }

/* The total of a column's parts, in the threads with threadIdx.y == 0, and in room[threadIdx.x]; all must call. */
DEVICE double total_of(IN(double) sums, Int parts, Int c, Int C, SHARED_ARG(double) room) {
    double total = 0;
    for (Int part = threadIdx.y; c < C && part < parts; part += blockDim.y) total += sums[part * C + c];
    return column_sum(total, room);
}

/* sums: of x - pivot and its square, (2, parts, C).  The pivot is a value of the channel: wherever the mean lies, the
 * variance of n rows then loses a factor n of double's precision at most, which is enough for floats.  Doubles are read
 * again, with the sums of the first time as `before`, and the pivot is their mean. */
KERNEL(norm_moments)(IN(real) x, IN(double) before, OUT(double) pivots, OUT(double) sums, Int rows, Int C) {
    SHARED(double, room, BLOCK_THREADS);
    const Int c = COLUMN_OF_BLOCK, end = part_start(rows, 1), every = blockDim.y;
    double pivot = c < C ? (double)x[c] : 0, sum = 0, squares = 0;
    if (before) {
        total_of(before, gridDim.x, c, C, room);
        __syncthreads();
        pivot += room[threadIdx.x] / (double)rows;
    }
    if (blockIdx.x == 0 && threadIdx.y == 0 && c < C) pivots[c] = pivot;
    for (Int row = part_start(rows, 0) + threadIdx.y; c < C && row < end; row += LOADS_AHEAD * every) {
        real values[LOADS_AHEAD];
        load_ahead(x, row, every, end, C, c, values);
        for (int i = 0; i < LOADS_AHEAD && row + i * every < end; i++) {
            const double d = (double)values[i] - pivot;
            sum += d;
            squares = fma(d, d, squares);
        }
    }
    sum = column_sum(sum, room);
    squares = column_sum(squares, room);
    if (threadIdx.y || c >= C) return;
    sums[blockIdx.x * C + c] = sum;
    sums[((Int)gridDim.x + blockIdx.x) * C + c] = squares;
}

DEVICE void store_forward(double mean, double inverse, IN(real) gamma, IN(real) beta, Int c, Int C, OUT(real) forward,
                          OUT(double) exact) {
    const real m = (real)mean, scale = (real)(gamma ? inverse * (double)gamma[c] : inverse);
    forward[c] = m;
    forward[C + c] = scale;
    forward[2 * C + c] = (real)((beta ? (double)beta[c] : 0) - (mean - (double)m) * (double)scale);
    exact[c] = mean;
    exact[C + c] = inverse;
}

/* running + momentum * (statistic - running), each step rounded */
DEVICE real tracked(real running, double momentum, double statistic) {
    return running + (real)momentum * ((real)statistic - running);
}

/* The batch's moments; running statistics move towards them. */
KERNEL(norm_batch)(IN(double) sums, Int parts, IN(double) pivots, IN(real) gamma, IN(real) beta, OUT(real) running_mean,
                   OUT(real) running_var, OUT(real) forward, OUT(double) exact, Int rows, Int C, double momentum,
                   double eps) {
    SHARED(double, room, BLOCK_THREADS);
    const Int c = COLUMN_OF_BLOCK;
    double rest = total_of(sums, parts, c, C, room) / (double)rows;
    double square = total_of(sums + parts * C, parts, c, C, room) / (double)rows;
    if (threadIdx.y || c >= C) return;
    double mean = pivots[c] + rest, var = fma(-rest, rest, square);
    var = var < 0 ? 0 : var;
    store_forward(mean, 1 / sqrt(var + eps), gamma, beta, c, C, forward, exact);
    if (running_mean) running_mean[c] = tracked(running_mean[c], momentum, mean);
    if (running_var) running_var[c] = tracked(running_var[c], momentum, var * ((double)rows / (double)(rows - 1)));
}

KERNEL(norm_running)(IN(real) running_mean, IN(real) running_var, IN(real) gamma, IN(real) beta, OUT(real) forward,
                     OUT(double) exact, Int C, double eps) {
    const Int c = GLOBAL_THREAD;
    if (c < C)
        store_forward((double)running_mean[c], 1 / sqrt((double)running_var[c] + eps), gamma, beta, c, C, forward,
                      exact);
}

KERNEL(norm_apply)(IN(real) x, IN(real) forward, IN(real) add, OUT(real) y, OUT(real) before, Int rows, Int C,
                   Int which, double a, double b) {
    const Int c = COLUMN_OF_BLOCK, every = (Int)gridDim.x * blockDim.y;
    if (c >= C) return;
    const real mean = forward[c], scale = forward[C + c], shift = forward[2 * C + c];
    for (Int row = ROW_OF_BLOCK; row < rows; row += LOADS_AHEAD * every) {
        real values[LOADS_AHEAD], more[LOADS_AHEAD];
        load_ahead(x, row, every, rows, C, c, values);
        load_ahead(add, row, every, rows, C, c, more);
        for (int i = 0; i < LOADS_AHEAD && row + i * every < rows; i++) {
            const Int at = (row + i * every) * C + c;
            real value = fma(values[i] - mean, scale, shift);
            if (add) value += more[i];
            if (before) before[at] = value;
            y[at] = activation(which, value, (real)a, (real)b);
        }
    }
}

/* ---- gradients; g is dy, or 0 where a ReLU was not positive: where `y` is not, or else, with `gate`, (x - m)*scale +
 * shift ---- */

DEVICE real gated(real dy, int gate, real d, real scale, real shift) {
    return gate && !(fma(d, scale, shift) > 0) ? (real)0 : dy;
}

/* sums: of g and g*(x - m), (2, parts, C); with y, `passed` receives g. */
KERNEL(norm_sums)(IN(real) dy, IN(real) x, IN(real) y, IN(real) forward, OUT(real) passed, OUT(double) sums, Int gate,
                  Int rows, Int C) {
    SHARED(double, room, BLOCK_THREADS);
    const Int c = COLUMN_OF_BLOCK, end = part_start(rows, 1), every = blockDim.y;
    const real mean = c < C ? forward[c] : (real)0, scale = c < C ? forward[C + c] : (real)0;
    const real shift = c < C ? forward[2 * C + c] : (real)0;
    double sum = 0, products = 0;
    for (Int row = part_start(rows, 0) + threadIdx.y; c < C && row < end; row += LOADS_AHEAD * every) {
        real values[LOADS_AHEAD], slopes[LOADS_AHEAD], results[LOADS_AHEAD];
        load_ahead(x, row, every, end, C, c, values);
        load_ahead(dy, row, every, end, C, c, slopes);
        load_ahead(y, row, every, end, C, c, results);
        for (int i = 0; i < LOADS_AHEAD && row + i * every < end; i++) {
            const real d = values[i] - mean;
            real g = gated(slopes[i], (int)gate, d, scale, shift);
            if (y) {
                g = results[i] > 0 ? g : (real)0;
                passed[(row + i * every) * C + c] = g;
            }
            sum += (double)g;
            products = fma((double)g, (double)d, products);
        }
    }
    sum = column_sum(sum, room);
    products = column_sum(products, room);
    if (threadIdx.y || c >= C) return;
    sums[blockIdx.x * C + c] = sum;
    sums[((Int)gridDim.x + blockIdx.x) * C + c] = products;
}

/* dgamma and dbeta, if they are given, and dx's coefficients: without `training` the statistics were constants. */
KERNEL(norm_gradients)(IN(double) sums, Int parts, IN(double) exact, IN(real) forward, IN(real) gamma, OUT(real) dgamma,
                       OUT(real) dbeta, OUT(real) backward, Int training, Int rows, Int C) {
    SHARED(double, room, BLOCK_THREADS);
    const Int c = COLUMN_OF_BLOCK;
    const double beta_sum = total_of(sums, parts, c, C, room);
    double gamma_sum = total_of(sums + parts * C, parts, c, C, room);
    if (threadIdx.y || c >= C) return;
    const double inverse = exact[C + c], slope = gamma ? inverse * (double)gamma[c] : inverse;
    const double rounded = exact[c] - (double)forward[c];
    gamma_sum = (gamma_sum - rounded * beta_sum) * inverse;
    if (dgamma) dgamma[c] = (real)gamma_sum;
    if (dbeta) dbeta[c] = (real)beta_sum;
    const double by_x = training ? -slope * inverse * gamma_sum / (double)rows : 0;
    const double by_one = training ? -slope * beta_sum / (double)rows : 0;
    backward[c] = (real)slope;
    backward[C + c] = (real)by_x;
    backward[2 * C + c] = (real)(by_one - rounded * (double)(real)by_x);
}

/* Without x, the statistics were constants, and nothing is gated. */
KERNEL(norm_backward)(IN(real) dy, IN(real) x, IN(real) forward, IN(real) backward, OUT(real) dx, Int gate, Int rows,
                      Int C) {
    const Int c = COLUMN_OF_BLOCK, every = (Int)gridDim.x * blockDim.y;
    if (c >= C) return;
    const real mean = forward[c], scale = forward[C + c], shift = forward[2 * C + c];
    const real slope = backward[c], by_x = backward[C + c], by_one = backward[2 * C + c];
    for (Int row = ROW_OF_BLOCK; row < rows; row += LOADS_AHEAD * every) {
        real values[LOADS_AHEAD], slopes[LOADS_AHEAD];
        load_ahead(x, row, every, rows, C, c, values);
        load_ahead(dy, row, every, rows, C, c, slopes);
        for (int i = 0; i < LOADS_AHEAD && row + i * every < rows; i++) {
            const real d = values[i] - mean, g = gated(slopes[i], (int)gate, d, scale, shift);
            dx[(row + i * every) * C + c] = x ? fma(g, slope, fma(d, by_x, by_one)) : g * slope;
        }
    }
}
