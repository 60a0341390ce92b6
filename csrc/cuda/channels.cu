/* PReLU and maxout; bound by memory. */
#include "cuda/reduce.h"
#include "cuda/rows.h"
#include "cuda/walk.h"

enum { MOST = 256 /* threads */, AHEAD = 4 /* rows whose elements a thread loads before it uses them */ };

/* y = x where x > 0, else s*x, for rows of C elements with a slope s for each column. */
KERNEL(prelu_forward)(IN(real) x, IN(real) slopes, OUT(real) y, Int rows, Int C) {
    const Int c = COLUMN_OF_BLOCK, every = (Int)gridDim.x * blockDim.y;
    if (c >= C) return;
    const real slope = slopes[c];
    for (Int row = ROW_OF_BLOCK; row < rows; row += AHEAD * every) {
        real values[AHEAD];
        for (int i = 0; i < AHEAD; i++) values[i] = row + i * every < rows ? x[(row + i * every) * C + c] : (real)0;
        for (int i = 0; i < AHEAD && row + i * every < rows; i++)
            y[(row + i * every) * C + c] = values[i] > 0 ? values[i] : values[i] * slope;
    }
}

/* dx = dy where x > 0, else s*dy;  ds = the sum of x*dy where x is not positive, in double: sums (parts, C) are those
 * of each block's rows.  dx or sums may be absent. */
KERNEL(prelu_backward)(IN(real) dy, IN(real) x, IN(real) slopes, OUT(real) dx, OUT(double) sums, Int rows, Int C) {
    SHARED(double, room, MOST);
    const Int c = COLUMN_OF_BLOCK, every = blockDim.y, end = rows * ((Int)blockIdx.x + 1) / gridDim.x;
    const real slope = c < C ? slopes[c] : (real)0;
    double sum = 0;
    for (Int row = rows * blockIdx.x / gridDim.x + threadIdx.y; c < C && row < end; row += AHEAD * every) {
        real values[AHEAD], gradients[AHEAD];
        for (int i = 0; i < AHEAD; i++) {
            const Int at = (row + i * every) * C + c;
            values[i] = row + i * every < end ? x[at] : (real)0;
            gradients[i] = row + i * every < end ? dy[at] : (real)0;
        }
        for (int i = 0; i < AHEAD && row + i * every < end; i++) {
            const real gradient = gradients[i];
            if (dx) dx[(row + i * every) * C + c] = values[i] > 0 ? gradient : gradient * slope;
            if (!(values[i] > 0)) sum += (double)(values[i] * gradient);
        }
    }
    if (!sums) return;
    sum = column_sum(sum, room);
    if (threadIdx.y == 0 && c < C) sums[blockIdx.x * C + c] = sum;
}

/* The largest of each `pieces` adjacent channels, and which it is; NaN is the largest, and the first of equals wins. */
KERNEL(maxout_forward)(IN(real) x, OUT(real) y, OUT(unsigned char) index, Int n, Int pieces) {
    for (Int i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS) {
        real best = x[i * pieces];
        int which = 0;
        for (int j = 1; j < (int)pieces; j++) {
            const real value = x[i * pieces + j];
            if (value <= best || best != best) continue;
            best = value;
            which = j;
        }
        y[i] = best;
        index[i] = (unsigned char)which;
    }
}

KERNEL(maxout_backward)(IN(real) dy, IN(unsigned char) index, OUT(real) dx, Int n, Int pieces) {
    Walk at = walk_from(pieces);
    for (Int i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS, at = walk_on(at))
        dx[i] = index[at.row] == at.column ? dy[at.row] : (real)0;
}
