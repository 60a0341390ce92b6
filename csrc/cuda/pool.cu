/* Pooling of channels-last images.  Each output, or pixel of a gradient, has one thread: neighbours along C, then along
 * rows of pixels, so windows that overlap read from the cache; bound by memory. */
#include "cuda/reduce.h"
#include "cuda/rows.h"
#include "cuda/windows.h"

/* The largest value so far and its tap, -1 before the first. */
typedef struct {
    real value;
    int tap;
} Best;

DEVICE Best better_of(Best best, real value, int tap) {
    const Best other = {value, tap};
    return best.tap < 0 || (!(value <= best.value) && best.value == best.value) ? other : best;
}

/* On to the next column, or to the first in the next row. */
DEVICE void advance(Range columns, int *r, int *s) {
    if (++*s < columns.end) return;
    *s = columns.first;
    ++*r;
}

/* y: the maximum of each window's pixels inside the image; the first NaN, else the first of equals.  Its tap, r*S + s,
 * goes to `bytes` or `words`, or to neither; with `relu`, which acts on the maxima, -1 where y is not positive. */
KERNEL(max_pool)(IN(real) x, OUT(real) y, OUT(unsigned char) bytes, OUT(int) words, Int relu, Int outputs, Int C, Int H,
                 Int W, Int R, Int S, Int P, Int Q, Int stride_h, Int stride_w, Int top, Int left, Int dilation_h,
                 Int dilation_w) {
    const Int row = ROW_OF_BLOCK, c = COLUMN_OF_BLOCK;
    if (row >= outputs || c >= C) return;
    const int h = (int)(row / Q % P * stride_h - top), w = (int)(row % Q * stride_w - left);
    const Range rows = taps_inside(h, (int)dilation_h, (int)H, (int)R);
    const Range columns = taps_inside(w, (int)dilation_w, (int)W, (int)S);
    const Int corner = (row / Q / P * H + h) * W + w; /* the pixel under tap (0, 0), perhaps outside */
    Best best = {0, -1};
    for (int r = rows.first, s = columns.first; r < rows.end;) {
        real values[LOADS_AHEAD];
        int down = r, right = s;
        for (int i = 0; i < LOADS_AHEAD; i++, advance(columns, &down, &right))
            values[i] = down < rows.end ? x[(corner + down * dilation_h * W + right * dilation_w) * C + c] : (real)0;
        for (int i = 0; i < LOADS_AHEAD && r < rows.end; i++, advance(columns, &r, &s))
            best = better_of(best, values[i], r * (int)S + s);
    }
    if (relu && !(best.value > 0)) {
        best.tap = -1;
        if (best.value <= 0) best.value = 0;
    }
    y[row * C + c] = best.value;
    if (bytes) bytes[row * C + c] = (unsigned char)best.tap;
    if (words) words[row * C + c] = best.tap;
}

/* dx: the sum of dy over the windows whose maximum the pixel is, in order. */
KERNEL(max_pool_backward)(IN(real) dy, IN(unsigned char) bytes, IN(int) words, OUT(real) dx, Int pixels, Int C, Int H,
                          Int W, Int R, Int S, Int P, Int Q, Int stride_h, Int stride_w, Int top, Int left,
                          Int dilation_h, Int dilation_w) {
    const Int row = ROW_OF_BLOCK, c = COLUMN_OF_BLOCK;
    if (row >= pixels || c >= C) return;
    const int h = (int)(row / W % H + top), w = (int)(row % W + left);
    const Range down = windows_over(h, (int)((R - 1) * dilation_h), (int)stride_h, (int)P);
    const Range across = windows_over(w, (int)((S - 1) * dilation_w), (int)stride_w, (int)Q);
    const Int first = row / W / H * P;
    real sum = 0;
    for (int p = down.first; p < down.end; p++) {
        const int r = tap_at(h - p * (int)stride_h, (int)dilation_h);
        for (int q = across.first; r >= 0 && q < across.end; q++) {
            const int s = tap_at(w - q * (int)stride_w, (int)dilation_w);
            const Int at = ((first + p) * Q + q) * C + c;
            const real gradient = dy[at];
            const int which = bytes ? (int)bytes[at] : words[at];
            if (s >= 0 && which == r * (int)S + s) sum += gradient;
        }
    }
    dx[row * C + c] = sum;
}

/* ---- equal maxima that share a gradient; NaN equals NaN; windows without dilation or with it ---- */

DEVICE int matches(real value, real largest) { return value == largest || value != value; }

/* dy of each window divided by how many of its pixels are its largest. */
KERNEL(split_shares)(IN(real) dy, IN(real) x, IN(real) largest, OUT(real) shares, Int outputs, Int H, Int W, Int R,
                     Int S, Int P, Int Q, Int stride_h, Int stride_w, Int top, Int left, Int dilation_h,
                     Int dilation_w) {
    const Int row = ROW_OF_BLOCK;
    if (row >= outputs) return;
    const int h = (int)(row / Q % P * stride_h - top), w = (int)(row % Q * stride_w - left);
    const Range rows = taps_inside(h, (int)dilation_h, (int)H, (int)R);
    const Range columns = taps_inside(w, (int)dilation_w, (int)W, (int)S);
    const Int corner = (row / Q / P * H + h) * W + w;
    int count = 0;
    for (int r = rows.first; r < rows.end; r++)
        for (int s = columns.first; s < columns.end; s++)
            count += matches(x[corner + r * dilation_h * W + s * dilation_w], largest[row]);
    shares[row] = dy[row] / (real)count;
}

/* dx: the sum of the shares of the windows whose largest value the pixel has. */
KERNEL(shared_backward)(IN(real) shares, IN(real) x, IN(real) largest, OUT(real) dx, Int pixels, Int H, Int W, Int R,
                        Int S, Int P, Int Q, Int stride_h, Int stride_w, Int top, Int left, Int dilation_h,
                        Int dilation_w) {
    const Int row = ROW_OF_BLOCK;
    if (row >= pixels) return;
    const int h = (int)(row / W % H + top), w = (int)(row % W + left);
    const Range down = windows_over(h, (int)((R - 1) * dilation_h), (int)stride_h, (int)P);
    const Range across = windows_over(w, (int)((S - 1) * dilation_w), (int)stride_w, (int)Q);
    const real value = x[row];
    real sum = 0;
    for (int p = down.first; p < down.end; p++)
        for (int q = across.first; tap_at(h - p * (int)stride_h, (int)dilation_h) >= 0 && q < across.end; q++) {
            const Int at = (row / W / H * P + p) * Q + q;
            if (tap_at(w - q * (int)stride_w, (int)dilation_w) >= 0 && matches(value, largest[at])) sum += shares[at];
        }
    dx[row] = sum;
}

/* ---- averages: y = sum of the window's pixels inside the image / divisor ---- */

enum { AVERAGE_RUN = 32 }; /* pixels of a window's row that are summed alone, to keep precision in large windows */

/* How many taps count along an axis: those inside the image, and padding if included, but never what ceil mode's last
 * windows cover beyond it. */
DEVICE int taps_counted(int start, int taps, int size, int before, int after, int with_padding) {
    const int low = with_padding ? -before : 0, high = with_padding ? size + after : size;
    return (start + taps < high ? start + taps : high) - (start > low ? start : low);
}

/* What the sum of window (p, q) is divided by; `given`, unless 0. */
DEVICE real divisor_of(int p, int q, int H, int W, int R, int S, int stride_h, int stride_w, int top, int bottom,
                       int left, int right, int with_padding, int given) {
    if (given) return (real)given;
    return (real)((Int)taps_counted(p * stride_h - top, R, H, top, bottom, with_padding) *
                  taps_counted(q * stride_w - left, S, W, left, right, with_padding));
}

KERNEL(avg_pool)(IN(real) x, OUT(real) y, Int outputs, Int C, Int H, Int W, Int R, Int S, Int P, Int Q, Int stride_h,
                 Int stride_w, Int top, Int bottom, Int left, Int right, Int with_padding, Int divisor) {
    const Int row = ROW_OF_BLOCK, c = COLUMN_OF_BLOCK;
    if (row >= outputs || c >= C) return;
    const int p = (int)(row / Q % P), q = (int)(row % Q), h = p * (int)stride_h - (int)top;
    const int w = q * (int)stride_w - (int)left;
    const Range rows = taps_inside(h, 1, (int)H, (int)R), columns = taps_inside(w, 1, (int)W, (int)S);
    const Int corner = (row / Q / P * H + h) * W + w;
    real sum = 0;
    for (int r = rows.first; r < rows.end; r++)
        for (int s = columns.first; s < columns.end; s += AVERAGE_RUN) {
            const int end = s + AVERAGE_RUN < columns.end ? s + AVERAGE_RUN : columns.end;
            real run = 0;
            for (int t = s; t < end; t++) run += x[(corner + r * W + t) * C + c];
            sum += run;
        }
    y[row * C + c] = sum / divisor_of(p, q, (int)H, (int)W, (int)R, (int)S, (int)stride_h, (int)stride_w, (int)top,
                                      (int)bottom, (int)left, (int)right, (int)with_padding, (int)divisor);
}

/* dx: the sum of dy / divisor over the windows that hold the pixel, in order. */
KERNEL(avg_pool_backward)(IN(real) dy, OUT(real) dx, Int pixels, Int C, Int H, Int W, Int R, Int S, Int P, Int Q,
                          Int stride_h, Int stride_w, Int top, Int bottom, Int left, Int right, Int with_padding,
                          Int divisor) {
    const Int row = ROW_OF_BLOCK, c = COLUMN_OF_BLOCK;
    if (row >= pixels || c >= C) return;
    const Range down = windows_over((int)(row / W % H + top), (int)R - 1, (int)stride_h, (int)P);
    const Range across = windows_over((int)(row % W + left), (int)S - 1, (int)stride_w, (int)Q);
    real sum = 0;
    for (int p = down.first; p < down.end; p++)
        for (int q = across.first; q < across.end; q++) {
            const real share =
                1 / divisor_of(p, q, (int)H, (int)W, (int)R, (int)S, (int)stride_h, (int)stride_w, (int)top,
                               (int)bottom, (int)left, (int)right, (int)with_padding, (int)divisor);
            sum += dy[((row / W / H * P + p) * Q + q) * C + c] * share;
        }
    dx[row * C + c] = sum;
}

/* The mean of all pixels of image blockIdx.x: there are few outputs, so a block's rows share the pixels. */
KERNEL(global_avg_pool)(IN(real) x, OUT(real) y, Int pixels, Int C) {
    SHARED(double, sums, BLOCK_THREADS);
    const Int c = COLUMN_OF_BLOCK, image = blockIdx.x;
    double sum = 0;
    for (Int p = threadIdx.y; c < C && p < pixels; p += blockDim.y) sum += (double)x[(image * pixels + p) * C + c];
    sum = column_sum(sum, sums);
    if (threadIdx.y == 0 && c < C) y[image * C + c] = (real)sum / (real)pixels;
}
