/* Group norm of x (images, pixels, C); its cases are layer norm (one group) and instance norm (groups of one channel).
 * A group is `run` adjacent channels of all pixels of an image, and xhat = (x - mean) / sqrt(variance + eps) in it.
 *   y = activation(xhat*gamma + beta),    dx = (g*gamma - mean of g*gamma - xhat * mean of g*gamma*xhat) / sqrt(...)
 * gamma and beta have element p*by_pixel + c*by_channel for channel c of pixel p; either may be absent.
 *
 * A block has a tile of `many` groups (or one group of more than BLOCK_THREADS channels, in steps) in image blockIdx.x,
 * and part blockIdx.z of its pixels.  Sums are in double, of the parts in order.  Bound by memory; what the second
 * kernel of a pass reads again, the first has brought into the L2 cache unless the batch is large. */
#include "cuda/activations.h"
#include "cuda/reduce.h"
#include "cuda/rows.h"

/* The part of a group's channels that has a thread each. */
DEVICE int threads_of_run(Int run) { return run < (Int)blockDim.x ? (int)run : (int)blockDim.x; }

/* The sum over a group's threads, in its first: threadIdx.y == 0, threadIdx.x a multiple of `count`. */
DEVICE double group_sum(double value, int count, SHARED_ARG(double) room) {
    const int own = threadIdx.y * blockDim.x + threadIdx.x;
    column_sum(value, room);
    tree_sum(room, own, threadIdx.y ? count : (int)threadIdx.x % count, count, 1);
    return room[own];
}

/* Where a thread works: pixels [pixel, end) of its part in steps of blockDim.y, channels [channel, last) in steps of
 * blockDim.x. */
typedef struct {
    Int image, group, channel, last, pixel, end;
} Place;

DEVICE Place place_of(Int pixels, Int C, Int run, Int many) {
    const Int first = blockIdx.y * many * run, part = blockIdx.z, end = first + many * run;
    Place place = {blockIdx.x,
                   blockIdx.y * many + (many > 1 ? threadIdx.x / run : 0),
                   first + threadIdx.x,
                   end < C ? end : C,
                   pixels * part / gridDim.z + threadIdx.y,
                   pixels * (part + 1) / gridDim.z};
    return place;
}

/* On to the thread's next channel, or to the first in its next pixel. */
DEVICE void advance(Place place, Int *pixel, Int *channel) {
    *channel += blockDim.x;
    if (*channel < place.last) return;
    *channel = place.channel;
    *pixel += blockDim.y;
}

/* out: array[p*by_pixel + c*by_channel] for the thread's next LOADS_AHEAD elements, from (p, c) on; `otherwise` behind
 * the last, and without an array. */
DEVICE void load_ahead(IN(real) array, Int by_pixel, Int by_channel, real otherwise, Place place, Int p, Int c,
                       real out[LOADS_AHEAD]) {
    for (int i = 0; i < LOADS_AHEAD; i++, advance(place, &p, &c))
        out[i] = array && p < place.end ? array[p * by_pixel + c * by_channel] : otherwise;
}

/* Sum number k of a group in this block's part; sums are (2, parts, images, groups). */
DEVICE Int sum_of(int k, Int part, Place place, Int groups) {
    return ((k * (Int)gridDim.z + part) * gridDim.x + place.image) * groups + place.group;
}

/* Whether this is the first thread of a group. */
DEVICE int is_first(Place place, Int run, Int groups) {
    return threadIdx.y == 0 && threadIdx.x % threads_of_run(run) == 0 && place.group < groups;
}

/* Store two sums of the block's groups. */
DEVICE void store_sums(double first, double second, Place place, Int groups, Int run, OUT(double) sums,
                       SHARED_ARG(double) room) {
    const int count = threads_of_run(run);
    first = group_sum(first, count, room);
    second = group_sum(second, count, room);
    if (!is_first(place, run, groups)) return;
    sums[sum_of(0, blockIdx.z, place, groups)] = first;
    sums[sum_of(1, blockIdx.z, place, groups)] = second;
}

/* A group's total of sum number k over the parts. */
DEVICE double total_of(IN(double) sums, int k, Place place, Int groups) {
    double total = 0;
    for (Int part = 0; part < gridDim.z; part++) total += sums[sum_of(k, part, place, groups)];
    return total;
}

/* Sums of x - pivot and its square; the pivot is one of the group's values, with `before` their mean: see norm.cu. */
KERNEL(group_moments)(IN(real) x, IN(double) before, OUT(double) pivots, OUT(double) sums, Int pixels, Int C,
                      Int groups, Int many) {
    SHARED(double, room, BLOCK_THREADS);
    const Int run = C / groups;
    const Place place = place_of(pixels, C, run, many);
    const int slot = threadIdx.x / threads_of_run(run);
    IN(real) image = x + place.image * pixels * C;
    if (is_first(place, run, groups)) {
        double pivot = (double)image[place.group * run];
        if (before) pivot += total_of(before, 0, place, groups) / ((double)pixels * (double)run);
        if (blockIdx.z == 0) pivots[place.image * groups + place.group] = pivot;
        room[slot] = pivot;
    }
    __syncthreads();
    const double pivot = place.group < groups ? room[slot] : 0;
    double sum = 0, squares = 0;
    for (Int p = place.pixel, c = place.channel; c < place.last && p < place.end;) {
        real values[LOADS_AHEAD];
        load_ahead(image, C, 1, 0, place, p, c, values);
        for (int i = 0; i < LOADS_AHEAD && p < place.end; i++, advance(place, &p, &c)) {
            const double d = (double)values[i] - pivot;
            sum += d;
            squares = fma(d, d, squares);
        }
    }
    store_sums(sum, squares, place, groups, run, sums, room);
}

/* A group's coefficients: xhat = (x - mean)*inverse + what rounding the mean left out. */
typedef struct {
    real mean, inverse, rest;
} Coefficients;

DEVICE real normalized(real x, Coefficients k) { return fma(x - k.mean, k.inverse, k.rest); }

/* Those of group number `at` of all images, from (images, groups, 3). */
DEVICE Coefficients coefficients_of(IN(real) table, Int at) {
    Coefficients k = {table[3 * at], table[3 * at + 1], table[3 * at + 2]};
    return k;
}

/* y; `table` receives the coefficients, and `moments` mean and biased variance, (2, images, groups). */
KERNEL(group_apply)(IN(real) x, IN(double) pivots, IN(double) sums, IN(real) gamma, IN(real) beta, OUT(real) y,
                    OUT(real) before, OUT(real) table, OUT(double) moments, Int pixels, Int C, Int groups, Int many,
                    Int by_pixel, Int by_channel, double eps, Int which, double a, double b) {
    SHARED(real, shared, 3 * BLOCK_THREADS);
    const Int run = C / groups;
    const Place place = place_of(pixels, C, run, many);
    const Int start = place.image * pixels * C, at = place.image * groups + place.group;
    const int slot = threadIdx.x / threads_of_run(run);
    if (is_first(place, run, groups)) {
        const double size = (double)pixels * (double)run, rest = total_of(sums, 0, place, groups) / size;
        const double mean = pivots[at] + rest;
        const double var = fma(-rest, rest, total_of(sums, 1, place, groups) / size);
        const double inverse = 1 / sqrt((var < 0 ? 0 : var) + eps);
        const real k[3] = {(real)mean, (real)inverse, (real)(((double)(real)mean - mean) * inverse)};
        for (int i = 0; i < 3; i++) {
            shared[3 * slot + i] = k[i];
            if (blockIdx.z == 0) table[3 * at + i] = k[i];
        }
        if (blockIdx.z == 0) {
            moments[at] = mean;
            moments[gridDim.x * groups + at] = var < 0 ? 0 : var;
        }
    }
    __syncthreads();
    if (place.channel >= place.last) return;
    const Coefficients k = {shared[3 * slot], shared[3 * slot + 1], shared[3 * slot + 2]};
    for (Int p = place.pixel, c = place.channel; p < place.end;) {
        real values[LOADS_AHEAD], weights[LOADS_AHEAD], shifts[LOADS_AHEAD];
        load_ahead(x + start, C, 1, 0, place, p, c, values);
        load_ahead(gamma, by_pixel, by_channel, 1, place, p, c, weights);
        load_ahead(beta, by_pixel, by_channel, 0, place, p, c, shifts);
        for (int i = 0; i < LOADS_AHEAD && p < place.end; i++, advance(place, &p, &c)) {
            const real value = fma(normalized(values[i], k), weights[i], shifts[i]);
            if (before) before[start + p * C + c] = value;
            y[start + p * C + c] = activation(which, value, (real)a, (real)b);
        }
    }
}

/* ---- gradients; g is dy, or with `gate`, a ReLU's, 0 where xhat*gamma + beta is not positive ---- */

DEVICE real gated(real dy, Int gate, real xhat, real weight, real shift) {
    return gate && !(fma(xhat, weight, shift) > 0) ? (real)0 : dy;
}

/* Sums of g*gamma and g*gamma*xhat. */
KERNEL(group_sums)(IN(real) dy, IN(real) x, IN(real) gamma, IN(real) beta, IN(real) table, OUT(double) sums, Int pixels,
                   Int C, Int groups, Int many, Int by_pixel, Int by_channel, Int gate) {
    SHARED(double, room, BLOCK_THREADS);
    const Int run = C / groups;
    const Place place = place_of(pixels, C, run, many);
    const Int start = place.image * pixels * C;
    double sum = 0, products = 0;
    if (place.channel < place.last) {
        const Coefficients k = coefficients_of(table, place.image * groups + place.group);
        for (Int p = place.pixel, c = place.channel; p < place.end;) {
            real values[LOADS_AHEAD], slopes[LOADS_AHEAD], weights[LOADS_AHEAD], shifts[LOADS_AHEAD];
            load_ahead(x + start, C, 1, 0, place, p, c, values);
            load_ahead(dy + start, C, 1, 0, place, p, c, slopes);
            load_ahead(gamma, by_pixel, by_channel, 1, place, p, c, weights);
            load_ahead(beta, by_pixel, by_channel, 0, place, p, c, shifts);
            for (int i = 0; i < LOADS_AHEAD && p < place.end; i++, advance(place, &p, &c)) {
                const real xhat = normalized(values[i], k), g = gated(slopes[i], gate, xhat, weights[i], shifts[i]);
                const double weighted = (double)g * (double)weights[i];
                sum += weighted;
                products = fma(weighted, (double)xhat, products);
            }
        }
    }
    store_sums(sum, products, place, groups, run, sums, room);
}

KERNEL(group_backward)(IN(real) dy, IN(real) x, IN(real) gamma, IN(real) beta, IN(real) table, IN(double) sums,
                       OUT(real) dx, Int pixels, Int C, Int groups, Int many, Int by_pixel, Int by_channel, Int gate) {
    SHARED(real, shared, 2 * BLOCK_THREADS);
    const Int run = C / groups;
    const Place place = place_of(pixels, C, run, many);
    const Int start = place.image * pixels * C, at = place.image * groups + place.group;
    const int slot = threadIdx.x / threads_of_run(run);
    if (is_first(place, run, groups)) {
        const double scale = -(double)table[3 * at + 1] / ((double)pixels * (double)run);
        for (int i = 0; i < 2; i++) shared[2 * slot + i] = (real)(total_of(sums, i, place, groups) * scale);
    }
    __syncthreads();
    if (place.channel >= place.last) return;
    const Coefficients k = coefficients_of(table, at);
    const real shift = shared[2 * slot], slope = shared[2 * slot + 1];
    for (Int p = place.pixel, c = place.channel; p < place.end;) {
        real values[LOADS_AHEAD], slopes[LOADS_AHEAD], weights[LOADS_AHEAD], shifts[LOADS_AHEAD];
        load_ahead(x + start, C, 1, 0, place, p, c, values);
        load_ahead(dy + start, C, 1, 0, place, p, c, slopes);
        load_ahead(gamma, by_pixel, by_channel, 1, place, p, c, weights);
        load_ahead(beta, by_pixel, by_channel, 0, place, p, c, shifts);
        for (int i = 0; i < LOADS_AHEAD && p < place.end; i++, advance(place, &p, &c)) {
            const real xhat = normalized(values[i], k), g = gated(slopes[i], gate, xhat, weights[i], shifts[i]);
            dx[start + p * C + c] = fma(xhat, slope, fma(g * weights[i], k.inverse, shift));
        }
    }
}

/* sums: of g and g*xhat over rows, (2, parts, columns); a row is a pixel, or an image where pixels have parameters of
 * their own, and there are `rows_per_image`. */
KERNEL(group_parameter_sums)(IN(real) dy, IN(real) x, IN(real) gamma, IN(real) beta, IN(real) table, OUT(double) sums,
                             Int rows, Int columns, Int rows_per_image, Int C, Int groups, Int by_pixel, Int by_channel,
                             Int gate) {
    SHARED(double, room, BLOCK_THREADS);
    const Int column = COLUMN_OF_BLOCK, c = column % C, p = column / C, part = blockIdx.x;
    const Int end = rows * (part + 1) / gridDim.x, group = c / (C / groups), every = blockDim.y;
    double sum = 0, products = 0;
    if (column < columns) {
        const real weight = gamma ? gamma[p * by_pixel + c * by_channel] : (real)1;
        const real shift = beta ? beta[p * by_pixel + c * by_channel] : (real)0;
        for (Int row = rows * part / gridDim.x + threadIdx.y; row < end; row += LOADS_AHEAD * every) {
            real values[LOADS_AHEAD], slopes[LOADS_AHEAD];
            for (int i = 0; i < LOADS_AHEAD; i++) {
                const Int at = (row + i * every) * columns + column;
                values[i] = row + i * every < end ? x[at] : (real)0;
                slopes[i] = row + i * every < end ? dy[at] : (real)0;
            }
            for (int i = 0; i < LOADS_AHEAD && row + i * every < end; i++) {
                const Int image = (row + i * every) / rows_per_image;
                const real xhat = normalized(values[i], coefficients_of(table, image * groups + group));
                const real g = gated(slopes[i], gate, xhat, weight, shift);
                sum += (double)g;
                products = fma((double)g, (double)xhat, products);
            }
        }
    }
    sum = column_sum(sum, room);
    products = column_sum(products, room);
    if (threadIdx.y || column >= columns) return;
    sums[part * columns + column] = sum;
    sums[(gridDim.x + part) * columns + column] = products;
}

/* dbeta and dgamma, each optional, from these sums; `inner` adjacent columns share a parameter. */
KERNEL(group_parameters)(IN(double) sums, Int parts, OUT(real) dgamma, OUT(real) dbeta, Int columns, Int inner, Int C,
                         Int by_pixel, Int by_channel) {
    SHARED(double, room, BLOCK_THREADS);
    const Int first = COLUMN_OF_BLOCK * inner, to = first / C * by_pixel + first % C * by_channel;
    double totals[2] = {0, 0};
    for (int k = 0; k < 2; k++) {
        for (Int i = threadIdx.y; first < columns && i < parts * inner; i += blockDim.y)
            totals[k] += sums[(k * parts + i / inner) * columns + first + i % inner];
        totals[k] = column_sum(totals[k], room);
    }
    if (threadIdx.y || first >= columns) return;
    if (dbeta) dbeta[to] = (real)totals[0];
    if (dgamma) dgamma[to] = (real)totals[1];
}

/* Running statistics of instance norm move towards the means over the images of `moments`, (2, images, C). */
KERNEL(group_track)(IN(double) moments, OUT(real) running_mean, OUT(real) running_var, Int images, Int C,
                    double momentum, double unbiased) {
    SHARED(double, room, BLOCK_THREADS);
    const Int c = COLUMN_OF_BLOCK;
    double totals[2] = {0, 0};
    for (int k = 0; k < 2; k++) {
        for (Int n = threadIdx.y; c < C && n < images; n += blockDim.y) totals[k] += moments[(k * images + n) * C + c];
        totals[k] = column_sum(totals[k], room) / (double)images;
    }
    if (threadIdx.y || c >= C) return;
    running_mean[c] += (real)momentum * ((real)totals[0] - running_mean[c]);
    running_var[c] += (real)momentum * ((real)(totals[1] * unbiased) - running_var[c]);
}
