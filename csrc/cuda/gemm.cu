/* Dense products: y (M, N) = left (M, D) right (D, N), each with any two strides, for a batch of them.  Bound by
 * arithmetic, but for products with few rows or columns. */
#include "cuda/ending.h"
#include "cuda/tile.h"

/* With several parts, each part's plain sums go to `part`, which is as large as y. */
struct Product {
    Ending ending;
    OUT(real) part;
    Int at, first_column, rows, columns, apart; /* at: of the tile's first element */

    METHOD void store(int row, int column, real value) const {
        if (row >= rows || column >= columns) return;
        if (part) part[at + row * apart + column] = value;
        else ending.store(at + row * apart + column, first_column + column, value);
    }
};

/* Blocks, fastest first: columns, rows, products of the batch, parts. */
template <class T>
DEVICE void gemm(Int M, Int N, Int D, Int batch, IN(real) left, Int left_row, Int left_column, Int left_apart,
                 IN(real) right, Int right_row, Int right_column, Int right_apart, OUT(real) scratch, Int parts,
                 const Ending &ending, SHARED_ARG(real) shared) {
    const unsigned column_tiles = (N + T::WIDTH - 1) / T::WIDTH, row_tiles = (M + T::HEIGHT - 1) / T::HEIGHT;
    unsigned block = blockIdx.x;
    const Int first_column = (Int)(block % column_tiles) * T::WIDTH;
    block /= column_tiles;
    const Int first_row = (Int)(block % row_tiles) * T::HEIGHT;
    block /= row_tiles;
    const Int number = block % (unsigned)batch, part = block / (unsigned)batch;
    const Int first = first_step(D, part, parts), end = first_step(D, part + 1, parts);
    const Matrix rows(left + number * left_apart, left_row, left_column, first_row, M, first, end);
    const Matrix columns(right + number * right_apart, right_column, right_row, first_column, N, first, end);
    const Product product = {ending,
                             parts > 1 ? scratch + part * batch * M * N : scratch,
                             (number * M + first_row) * N + first_column,
                             first_column,
                             M - first_row,
                             N - first_column,
                             N};
    multiply<T>(rows, columns, slices_of(end - first), shared, product);
}

#define GEMM(size, across, rows, columns)                                                                             \
    KERNEL_BOUNDED(gemm_##size, THREADS)                                                                              \
    (Int M, Int N, Int D, Int batch, IN(real) left, Int left_row, Int left_column, Int left_apart, IN(real) right,    \
     Int right_row, Int right_column, Int right_apart, OUT(real) scratch, Int parts, ENDING_ARGUMENTS) {              \
        typedef Tile<across, rows, columns> T;                                                                        \
        DYNAMIC_SHARED(real, shared);                                                                                 \
        const Ending ending = ENDING;                                                                                 \
        gemm<T>(M, N, D, batch, left, left_row, left_column, left_apart, right, right_row, right_column, right_apart, \
                scratch, parts, ending, shared);                                                                      \
    }
TILES(GEMM)
