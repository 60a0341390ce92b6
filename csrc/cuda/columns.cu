/* Sums of columns (bias gradients) in double: a block for each part of the rows, then the parts.  Bound by memory. */
#include "cuda/reduce.h"
#include "cuda/rows.h"

/* sums (parts, columns) */
KERNEL(column_parts)(IN(real) x, OUT(double) sums, Int rows, Int columns) {
    SHARED(double, room, 256);
    const Int column = COLUMN_OF_BLOCK, part = blockIdx.x;
    const Int first = rows * part / gridDim.x, end = rows * (part + 1) / gridDim.x;
    double sum = 0;
    for (Int row = first + threadIdx.y; column < columns && row < end; row += blockDim.y)
        sum += (double)x[row * columns + column];
    sum = column_sum(sum, room);
    if (threadIdx.y == 0 && column < columns) sums[part * columns + column] = sum;
}

/* y (columns) */
KERNEL(column_totals)(IN(double) sums, OUT(real) y, Int parts, Int columns) {
    SHARED(double, room, 256);
    const Int column = COLUMN_OF_BLOCK;
    double sum = 0;
    for (Int part = threadIdx.y; column < columns && part < parts; part += blockDim.y)
        sum += sums[part * columns + column];
    sum = column_sum(sum, room);
    if (threadIdx.y == 0 && column < columns) y[column] = (real)sum;
}
