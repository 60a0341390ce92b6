/* Sums over whole arrays, of many arrays in one launch, and bounds of rows' norms; in double, in an order that depends
 * on the arrays' lengths alone. `arrays` and `pieces` are those of updates.cu. Bound by memory. */
#include "cuda/dialect.h"
#include "cuda/reduce.h"

/* sums[piece] = sum of |x|, sum of x*x; a block for each piece */
KERNEL(piece_sums)(TABLE(real) arrays, IN(Int) pieces, OUT(double) sums) {
    SHARED(double, warps, REDUCE_WARPS);
    const Int piece = blockIdx.x, end = pieces[3 * piece + 2];
    IN(real) x = arrays[pieces[3 * piece]];
    double magnitudes = 0, squares = 0;
    for (Int i = pieces[3 * piece + 1] + threadIdx.x; i < end; i += blockDim.x) {
        const double value = (double)x[i];
        magnitudes += fabs(value);
        squares = fma(value, value, squares);
    }
    magnitudes = block_sum(magnitudes, warps);
    squares = block_sum(squares, warps);
    if (threadIdx.x == 0) {
        sums[2 * piece] = magnitudes;
        sums[2 * piece + 1] = squares;
    }
}

/* totals[row] = the sums of both over the row's pieces, starts[row] to starts[row + 1] - 1; a block for each row */
KERNEL(row_sums)(IN(double) sums, IN(Int) starts, OUT(double) totals) {
    SHARED(double, warps, REDUCE_WARPS);
    const Int row = blockIdx.x, end = starts[row + 1];
    double magnitudes = 0, squares = 0;
    for (Int piece = starts[row] + threadIdx.x; piece < end; piece += blockDim.x) {
        magnitudes += sums[2 * piece];
        squares += sums[2 * piece + 1];
    }
    magnitudes = block_sum(magnitudes, warps);
    squares = block_sum(squares, warps);
    if (threadIdx.x == 0) {
        totals[2 * row] = magnitudes;
        totals[2 * row + 1] = squares;
    }
}

/* The place in w[b][row][i], i < after, of element j of the `count` elements of a row, counted over all b. */
DEVICE Int place_of(Int j, Int row, Int rows, Int after, Int count) {
    if (after == count) return row * after + j; /* the usual case, without divisions */
    return (j / after * rows + row) * after + j % after;
}

/* The norm of a row of `count` elements, which are multiplied by `scale` before they are squared. */
DEVICE double row_norm(IN(real) w, Int count, Int row, Int rows, Int after, double scale, SHARED_ARG(double) warps) {
    double squares = 0;
    for (Int j = threadIdx.x; j < count; j += blockDim.x) {
        const double value = (double)w[place_of(j, row, rows, after, count)] * scale;
        squares = fma(value, value, squares);
    }
    return sqrt(block_sum(squares, warps));
}

/* Each row times limit / its norm where that is larger; a block for each row of each array, which is one piece. The
 * scale is 2^-600 where squares of doubles overflow. */
KERNEL(limit_norms)(TABLE(real) arrays, IN(Int) pieces, Int rows, Int after, double limit) {
    SHARED(double, warps, REDUCE_WARPS);
    const Int piece = blockIdx.y, row = blockIdx.x, count = pieces[3 * piece + 2] / rows;
    OUT(real) w = arrays[pieces[3 * piece]];
    double norm = row_norm(w, count, row, rows, after, 1, warps);
    if (norm > 1.7976931348623157e308) { /* the same in all threads of the block */
        norm = row_norm(w, count, row, rows, after, 0x1p-600, warps);
        limit *= 0x1p-600;
    }
    if (!(norm > limit)) return;
    const real factor = (real)(limit / norm);
    for (Int j = threadIdx.x; j < count; j += blockDim.x) {
        const Int i = place_of(j, row, rows, after, count);
        w[i] = w[i] * factor;
    }
}
