/* Products of matrices: a block of 256 threads computes one tile of outputs, each thread ROWS x COLUMNS of them.
 *
 * Both operands pass through shared memory, DEPTH steps of the sum at a time, stored step by step, so that a thread
 * reads the operands of its outputs four at a time; while one half of the buffer is multiplied, the other is filled.
 * Each output is one chain of FMAs in the order of the steps, whatever the tile's shape: the choice of a tile affects
 * no bits. With 8 x 8 outputs of a thread, arithmetic is the bound; with 4 x 4, shared memory is close to it.
 *
 * Operands come from loaders.  A loader has `row` and `step`, this thread's place in the operand's slice of a tile;
 * load(i), the element at row + LANES*i and the current step, 0 outside the operand; and advance(), which moves on by
 * DEPTH steps.  The outputs go to a store, store(row, column, value), whose rows and columns count from the tile's
 * first. */
#ifndef FASTNET_TILE_H
#define FASTNET_TILE_H

#include "cuda/dialect.h"

enum { THREADS = 256, DEPTH = 64 / (int)sizeof(real), LANES = THREADS / DEPTH, FOUR = 4 };

/* `ACROSS` threads lie along a row of the tile.  A thread's rows and columns are runs of four, as far apart as the runs
 * of all threads together, so that neighbours read neighbouring banks. */
template <int ACROSS_, int ROWS_, int COLUMNS_> struct Tile {
    static constexpr int ACROSS = ACROSS_, ROWS = ROWS_, COLUMNS = COLUMNS_;
    static constexpr int DOWN = THREADS / ACROSS, HEIGHT = DOWN * ROWS, WIDTH = ACROSS * COLUMNS;
    /* between steps in shared memory; four more, to spread the stores of loaders that run along steps over the banks */
    static constexpr int LEFT = HEIGHT + FOUR, RIGHT = WIDTH + FOUR;
    static constexpr int HALF = DEPTH * (LEFT + RIGHT), SHARED_SIZE = 2 * HALF;
    static constexpr int LEFT_LOADS = (HEIGHT + LANES - 1) / LANES, RIGHT_LOADS = (WIDTH + LANES - 1) / LANES;
};

/* Where item i of thread t lies among `threads` threads. */
DEVICE int spread_fours(int i, int t, int threads) { return i / FOUR * (FOUR * threads) + t * FOUR + i % FOUR; }

template <int COUNT> DEVICE void take_fours(SHARED_ARG(const real) from, int t, int threads, real *to) {
#pragma unroll
    for (int i = 0; i < COUNT; i += FOUR) {
        const real4 four = load4(from + spread_fours(i, t, threads));
        to[i] = four.x;
        to[i + 1] = four.y;
        to[i + 2] = four.z;
        to[i + 3] = four.w;
    }
}

template <int COUNT> DEVICE void give_fours(SHARED_ARG(real) to, int t, int threads, const real *from) {
#pragma unroll
    for (int i = 0; i < COUNT; i += FOUR)
        store4(to + spread_fours(i, t, threads), {from[i], from[i + 1], from[i + 2], from[i + 3]});
}

template <int LOADS, class Loader> DEVICE void fetch(const Loader &loader, real *next) {
#pragma unroll
    for (int i = 0; i < LOADS; i++) next[i] = loader.load(i);
}

/* SIZE: rows of the operand's slice */
template <int SIZE, class Loader> DEVICE void put(SHARED_ARG(real) slice, const Loader &loader, const real *next) {
#pragma unroll
    for (int i = 0; i < (SIZE + LANES - 1) / LANES; i++)
        if (SIZE % LANES == 0 || loader.row + LANES * i < SIZE)
            slice[loader.step * (SIZE + FOUR) + loader.row + LANES * i] = next[i];
}

/* `shared`: T::SHARED_SIZE reals, dynamic shared memory, which is aligned to 16 bytes; `slices`: how many times DEPTH
 * steps the sum has. */
template <class T, class Left, class Right, class Store>
DEVICE void multiply(Left left, Right right, Int slices, SHARED_ARG(real) shared, const Store &store) {
    const int thread = threadIdx.x, across = thread % T::ACROSS, down = thread / T::ACROSS;
    real sum[T::ROWS][T::COLUMNS] = {}, next_left[T::LEFT_LOADS], next_right[T::RIGHT_LOADS];
    fetch<T::LEFT_LOADS>(left, next_left);
    fetch<T::RIGHT_LOADS>(right, next_right);
    for (Int slice = 0; slice < slices; slice++) {
        SHARED_ARG(real) now = shared + (int)(slice & 1) * T::HALF;
        put<T::HEIGHT>(now, left, next_left);
        put<T::WIDTH>(now + DEPTH * T::LEFT, right, next_right);
        __syncthreads(); /* this half is full, and nobody reads the other one any more once its reader is here */
        if (slice + 1 < slices) {
            left.advance();
            right.advance();
            fetch<T::LEFT_LOADS>(left, next_left);
            fetch<T::RIGHT_LOADS>(right, next_right);
        }
#pragma unroll
        for (int step = 0; step < DEPTH; step++) {
            real a[T::ROWS], b[T::COLUMNS];
            take_fours<T::ROWS>(now + step * T::LEFT, down, T::DOWN, a);
            take_fours<T::COLUMNS>(now + DEPTH * T::LEFT + step * T::RIGHT, across, T::ACROSS, b);
#pragma unroll
            for (int i = 0; i < T::ROWS; i++)
#pragma unroll
                for (int j = 0; j < T::COLUMNS; j++) sum[i][j] = fma(a[i], b[j], sum[i][j]);
        }
    }
    /* The outputs pass through shared memory, too: there one loop stores them, and neighbours store neighbours. */
    enum { CHUNK = DEPTH / FOUR, CHUNK_SIZE = T::DOWN * CHUNK * T::WIDTH };
    static_assert((int)CHUNK_SIZE <= T::SHARED_SIZE, "a chunk of outputs must fit where the operands were");
#pragma unroll
    for (int first = 0; first < T::ROWS; first += CHUNK) {
        __syncthreads();
#pragma unroll
        for (int i = 0; i < CHUNK; i++)
            give_fours<T::COLUMNS>(shared + (down * CHUNK + i) * T::WIDTH, across, T::ACROSS, sum[first + i]);
        __syncthreads();
        for (int e = thread; e < CHUNK_SIZE; e += THREADS) {
            const int row = e / T::WIDTH;
            store.store(spread_fours(first + row % CHUNK, row / CHUNK, T::DOWN), e % T::WIDTH, shared[e]);
        }
    }
}

/* A matrix's element (row, step) at data[row * row_apart + step * step_apart]; the threads of a warp run along
 * whichever is adjacent in memory.  `first_row`: the tile's; `first` and `end`: of the steps. */
struct Matrix {
    IN(real) here; /* this thread's element of the slice */
    Int lanes_apart, depth_apart, steps;
    int rows, row, step;

    METHOD Matrix(IN(real) data, Int row_apart, Int step_apart, Int first_row, Int all_rows, Int first, Int end)
        : lanes_apart(LANES * row_apart), depth_apart(DEPTH * step_apart), steps(end - first) {
        const int thread = threadIdx.x;
        row = step_apart == 1 ? thread / DEPTH : thread % LANES;
        step = step_apart == 1 ? thread % DEPTH : thread / LANES;
        rows = all_rows - first_row < 1 << 30 ? (int)(all_rows - first_row) : 1 << 30;
        here = data + (first_row + row) * row_apart + (first + step) * step_apart;
    }

    METHOD real load(int i) const { return row + LANES * i < rows && step < steps ? here[i * lanes_apart] : (real)0; }

    METHOD void advance() {
        here += depth_apart;
        steps -= DEPTH;
    }
};

/* Part `part` of `parts` of `steps` steps begins here; parts are whole slices but for the last. */
DEVICE Int first_step(Int steps, Int part, Int parts) {
    const Int slices = (steps + DEPTH - 1) / DEPTH, begin = slices * part / parts * DEPTH;
    return begin < steps ? begin : steps;
}

DEVICE Int slices_of(Int steps) { return (steps + DEPTH - 1) / DEPTH; }

/* The tiles that kernels are compiled for: name, threads across, rows and columns of a thread.  A thread's 64 outputs
 * in double would need more registers than there are.  device/tiles.py chooses among them. */
#define TILES_OF_BOTH(_) _(256x16, 4, 4, 4) _(128x32, 8, 4, 4) _(64x64, 16, 4, 4) _(128x64, 16, 8, 4)
#define IS_float 1
#define IS_double 0
#define IS_(type) IS_##type
#define IS(type) IS_(type)
#if IS(REAL)
#define TILES(_) TILES_OF_BOTH(_) _(128x128, 16, 8, 8)
#else
#define TILES(_) TILES_OF_BOTH(_)
#endif

#endif
