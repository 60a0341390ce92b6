/* Max pooling with windows of several sizes, adaptive or fractional (Graham 2014).  `rows` and `columns` hold the spans
 * [first, end) of windows along an axis, ascending in both; those of image n begin at n*row_step and n*column_step, so
 * a step of 0 means the same windows for all images.  Threads as in pool.cu. */
#include "cuda/rows.h"

enum { ONE = 1 << 24 }; /* the number 1, in units of 2^-24, of which a stream's numbers are multiples */

/* The windows along an axis of fractional pooling, one image a thread.  Boundaries b_0 = 0 to b_steps = extent are
 * pseudo-random, floor((i + u)*alpha) - floor(u*alpha) with alpha = extent / steps and one number u for each image, or
 * `random`, sums of floor(alpha) and ceil(alpha) in random order with a number for each step, or without numbers
 * i*alpha, rounded.  Span p is [b_p, b_p + window), and the last begins at extent; or, without a window, [b_p, b_p+1),
 * one longer if they overlap. */
KERNEL(fractional_spans)(IN(real) numbers, OUT(Int) spans, Int images, Int size, Int outputs, Int window,
                         Int overlapping, Int random) {
    const Int n = GLOBAL_THREAD, steps = window ? outputs - 1 : outputs, extent = size - window;
    if (n >= images) return;
    const Int u = numbers && !random ? (Int)(numbers[n] * ONE) : 0, before = steps ? u * extent / (steps * ONE) : 0;
    Int bound = 0, larger = steps ? extent % steps : 0;
    for (Int p = 0; p < outputs; p++) {
        Int next = extent;
        if (p < steps && !numbers) next = (2 * (p + 1) * extent + steps) / (2 * steps);
        else if (p < steps && random) {
            const Int up = (Int)(numbers[n * steps + p] * ONE) * (steps - p) < larger * ONE;
            next = bound + extent / steps + up;
            larger -= up;
        } else if (p < steps) next = ((p + 1) * ONE + u) * extent / (steps * ONE) - before;
        const Int first = p == steps ? extent : bound, end = next + overlapping;
        spans[2 * (n * outputs + p)] = first;
        spans[2 * (n * outputs + p) + 1] = window ? first + window : end < size ? end : size;
        bound = next;
    }
}

/* y: the first NaN of a window, else the first of its largest; its place r*S + s goes to `bytes` or `words`. */
KERNEL(span_max)(IN(real) x, IN(Int) rows, IN(Int) columns, Int row_step, Int column_step, OUT(real) y,
                 OUT(unsigned char) bytes, OUT(int) words, Int outputs, Int C, Int H, Int W, Int P, Int Q, Int S) {
    const Int output = ROW_OF_BLOCK, c = COLUMN_OF_BLOCK;
    if (output >= outputs || c >= C) return;
    const Int n = output / Q / P;
    IN(Int) down = rows + n * row_step + output / Q % P * 2;
    IN(Int) across = columns + n * column_step + output % Q * 2;
    const Int top = down[0], bottom = down[1], left = across[0], right = across[1];
    real best = x[((n * H + top) * W + left) * C + c];
    Int which = 0;
    for (Int h = top; h < bottom; h++)
        for (Int w = left; w < right; w++) {
            const real value = x[((n * H + h) * W + w) * C + c];
            if (!(value <= best) && best == best) {
                best = value;
                which = (h - top) * S + w - left;
            }
        }
    y[output * C + c] = best;
    if (bytes) bytes[output * C + c] = (unsigned char)which;
    else words[output * C + c] = (int)which;
}

/* The first of `count` windows whose first (which = 0) or end (1) lies behind `at`, or `count`. */
DEVICE Int window_behind(IN(Int) spans, Int count, int which, Int at) {
    Int low = 0, high = count;
    while (low < high) {
        const Int middle = (low + high) / 2;
        if (spans[2 * middle + which] > at) high = middle;
        else low = middle + 1;
    }
    return low;
}

/* dx: the sum of dy over the windows whose maximum the pixel is, in order. */
KERNEL(span_max_backward)(IN(real) dy, IN(Int) rows, IN(Int) columns, Int row_step, Int column_step,
                          IN(unsigned char) bytes, IN(int) words, OUT(real) dx, Int pixels, Int C, Int H, Int W, Int P,
                          Int Q, Int S) {
    const Int pixel = ROW_OF_BLOCK, c = COLUMN_OF_BLOCK;
    if (pixel >= pixels || c >= C) return;
    const Int n = pixel / W / H, h = pixel / W % H, w = pixel % W;
    IN(Int) down = rows + n * row_step;
    IN(Int) across = columns + n * column_step;
    const Int p0 = window_behind(down, P, 1, h), p1 = window_behind(down, P, 0, h);
    const Int q0 = window_behind(across, Q, 1, w), q1 = window_behind(across, Q, 0, w);
    real sum = 0;
    for (Int p = p0; p < p1; p++)
        for (Int q = q0; q < q1; q++) {
            const Int at = ((n * P + p) * Q + q) * C + c;
            const real gradient = dy[at];
            const Int which = bytes ? (Int)bytes[at] : (Int)words[at];
            if (which == (h - down[2 * p]) * S + w - across[2 * q]) sum += gradient;
        }
    dx[pixel * C + c] = sum;
}
