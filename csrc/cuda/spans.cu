/* Max pooling with windows of several sizes, adaptive or fractional.  `rows` and `columns` hold [first, end) of each
 * window along an axis, ascending in both; those of image n begin at n*row_step and n*column_step, so a step of 0 means
 * the same windows for all images.  Threads as in pool.cu. */
#include "rows.h"

/* y: the first NaN of a window, else the first of its largest; its place r*S + s goes to `bytes` or `words`. */
KERNEL(span_max)(IN(real) x, IN(Int) rows, IN(Int) columns, Int row_step, Int column_step, OUT(real) y,
                 OUT(unsigned char) bytes, OUT(int) words, Int outputs, Int C, Int H, Int W, Int P, Int Q, Int S)
{
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
DEVICE Int window_behind(IN(Int) spans, Int count, int which, Int at)
{
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
                          Int Q, Int S)
{
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
