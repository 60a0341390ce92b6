/* City-block distances of all pairs of two sets of rows, and the smallest elements of a row. */
#include "cuda/dialect.h"

enum { SIDE = 16, EACH = 4, TILE = SIDE * EACH, STEPS = 16, PITCH = TILE + 1, WARPS = 8 };

/* STEPS elements of TILE rows from element (first, start) on, transposed; 0 outside. Rows have D elements. */
DEVICE void load_tile(IN(real) rows, Int count, Int D, Int first, Int start, SHARED_ARG(real) tile) {
    const int step = threadIdx.x % STEPS;
    for (int i = threadIdx.x / STEPS; i < TILE; i += SIDE) {
        const int inside = first + i < count && start + step < D;
        tile[step * PITCH + i] = inside ? rows[(first + i) * D + start + step] : (real)0;
    }
}

/* distance[i][j] = sum over t of |a[i][t] - b[j][t]|, one chain of sums in the order of t. A block of SIDE * SIDE
 * threads computes TILE x TILE distances, a thread EACH x EACH of them; bound by arithmetic. */
KERNEL(l1_distances)(IN(real) a, IN(real) b, OUT(real) distance, Int M, Int N, Int D) {
    SHARED(real, a_tile, STEPS * PITCH);
    SHARED(real, b_tile, STEPS * PITCH);
    const int x = threadIdx.x % SIDE, y = threadIdx.x / SIDE;
    const Int i0 = (Int)blockIdx.y * TILE, j0 = (Int)blockIdx.x * TILE;
    real sum[EACH][EACH] = {};
    for (Int start = 0; start < D; start += STEPS) {
        load_tile(a, M, D, i0, start, a_tile);
        load_tile(b, N, D, j0, start, b_tile);
        __syncthreads();
        for (int step = 0; step < STEPS; step++)
            for (int i = 0; i < EACH; i++)
                for (int j = 0; j < EACH; j++)
                    sum[i][j] += fabs(a_tile[step * PITCH + y + SIDE * i] - b_tile[step * PITCH + x + SIDE * j]);
        __syncthreads();
    }
    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++) {
            const Int row = i0 + y + SIDE * i, column = j0 + x + SIDE * j;
            if (row < M && column < N) distance[row * N + column] = sum[i][j];
        }
}

/* An element and its place; (infinity, as many as there are) for none. */
struct Found {
    real value;
    Int place;
};

DEVICE Found smaller(Found a, Found b) {
    return b.value < a.value || (b.value == a.value && b.place < a.place) ? b : a;
}

DEVICE Found smallest_of_warp(Found found) {
    for (int apart = 16; apart; apart /= 2) {
        Found other;
        other.value = __shfl_xor_sync(0xffffffffu, found.value, apart);
        other.place = __shfl_xor_sync(0xffffffffu, found.place, apart);
        found = smaller(found, other);
    }
    return found;
}

/* index (rows, k): places of the k smallest of each row's `columns` elements, ascending; of equals, the first. A block
 * for each row reads it once for each of the k. */
KERNEL(smallest)(IN(real) x, OUT(Int) index, Int columns, Int k) {
    SHARED(real, values, WARPS);
    SHARED(Int, places, WARPS);
    IN(real) row = x + blockIdx.x * columns;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    Found last = {-infinity(), -1};
    for (Int n = 0; n < k; n++) {
        Found best = {infinity(), columns};
        for (Int j = threadIdx.x; j < columns; j += blockDim.x) {
            const Found here = {row[j], j};
            if (j != last.place && smaller(last, here).place == last.place) best = smaller(best, here);
        }
        best = smallest_of_warp(best);
        if (lane == 0) {
            values[warp] = best.value;
            places[warp] = best.place;
        }
        __syncthreads();
        for (int i = 0; i < WARPS; i++) {
            const Found other = {values[i], places[i]};
            best = smaller(best, other);
        }
        __syncthreads();
        if (threadIdx.x == 0) index[blockIdx.x * k + n] = best.place;
        last = best;
    }
}
