/* Local response norm (Krizhevsky et al. 2012) of rows of C channels: y = x * d^-beta with d = k + scale * (sum of x*x
 * over the `size` channels from c - size/2 on); scale is alpha / size.  A window's channels come from the L1 cache. */
#include "cuda/rows.h"

DEVICE real divisor_of(IN(real) x, Int c, Int C, Int size, real scale, real k) {
    const Int start = c - size / 2, end = start + size < C ? start + size : C;
    real sum = 0;
    for (Int i = start < 0 ? 0 : start; i < end; i++) sum += x[i] * x[i];
    return fma(sum, scale, k);
}

KERNEL(response_norm)(IN(real) x, OUT(real) y, Int rows, Int C, Int size, double scale, double beta, double k) {
    const Int row = ROW_OF_BLOCK, c = COLUMN_OF_BLOCK;
    if (row >= rows || c >= C) return;
    const real divisor = divisor_of(x + row * C, c, C, size, (real)scale, (real)k);
    y[row * C + c] = x[row * C + c] * pow(divisor, -(real)beta);
}

/* direct = dy*d^-beta, terms = direct*x/d */
KERNEL(response_terms)(IN(real) dy, IN(real) x, OUT(real) direct, OUT(real) terms, Int rows, Int C, Int size,
                       double scale, double beta, double k) {
    const Int row = ROW_OF_BLOCK, c = COLUMN_OF_BLOCK, at = row * C + c;
    if (row >= rows || c >= C) return;
    const real divisor = divisor_of(x + row * C, c, C, size, (real)scale, (real)k);
    const real product = dy[at] * pow(divisor, -(real)beta);
    direct[at] = product;
    terms[at] = product * x[at] / divisor;
}

/* dx, which is `direct` before, adds -2*scale*beta * x * (sum of the terms of the channels whose windows hold c). */
KERNEL(response_backward)(IN(real) x, IN(real) terms, OUT(real) dx, Int rows, Int C, Int size, double scale,
                          double beta) {
    const Int row = ROW_OF_BLOCK, c = COLUMN_OF_BLOCK, at = row * C + c, start = c - (size - 1) / 2;
    if (row >= rows || c >= C) return;
    const Int end = start + size < C ? start + size : C;
    real sum = 0;
    for (Int i = start < 0 ? 0 : start; i < end; i++) sum += terms[row * C + i];
    dx[at] = fma(x[at] * (-2 * (real)scale * (real)beta), sum, dx[at]);
}
