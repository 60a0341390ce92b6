/* Separable linear maps of images, and their gradients, whose maps are transposed: y[p][q] = sum of weight_i * weight_j
 * * x[row_i][column_j] over the taps i of row p and j of column q, or `outside` if there are none.  Output p has the
 * taps starts[p] to starts[p + 1] - 1.  Threads as in pool.cu; bound by memory. */
#include "cuda/rows.h"

KERNEL(resample)(IN(real) x, OUT(real) y, IN(Int) row_starts, IN(Int) row_inputs, IN(double) row_weights,
                 IN(Int) column_starts, IN(Int) column_inputs, IN(double) column_weights, Int outputs, Int C, Int H,
                 Int W, Int P, Int Q, double outside) {
    const Int output = ROW_OF_BLOCK, c = COLUMN_OF_BLOCK;
    if (output >= outputs || c >= C) return;
    const Int p = output / Q % P, q = output % Q;
    const Int row_end = row_starts[p + 1], column_first = column_starts[q], column_end = column_starts[q + 1];
    IN(real) image = x + output / Q / P * H * W * C + c;
    real sum = (real)outside;
    int first = 1;
    for (Int i = row_starts[p]; i < row_end; i++)
        for (Int j = column_first; j < column_end; j++) {
            const real value = image[(row_inputs[i] * W + column_inputs[j]) * C];
            const real weight = (real)(row_weights[i] * column_weights[j]);
            sum = first ? value * weight : fma(value, weight, sum); /* -0 stays -0 */
            first = 0;
        }
    y[output * C + c] = sum;
}
