/* C = A * B, and an epilogue, for any operand orders. Needs micro/tile.h.
 *
 * A task is a block of rows of C times a group of panels of columns.  GEMM_KC steps at a time, it multiplies its block
 * of A, which stays in L2, by one packed panel of B after another.  Rows of A are read in place.  Columns of A are
 * packed tile by tile: of every cache line a tile reads only TILE_ROWS elements, and lines a power of two apart evict
 * each other.  For few panels packing would cost more than it saves.
 *
 * Assumptions: C is contiguous (a row is N elements); a_row == 1 or a_col == 1; b_row and b_col are arbitrary.
 */

enum { GEMM_SCRATCH = GEMM_KC * PANEL };

typedef struct {
    int64_t M, N, K, a_row, a_col, b_row, b_col;
    int64_t block_rows, row_blocks, group; /* rows of C per task; tasks along M; panels per task */
    int packed, far_panels; /* whether A is packed, and panels of B are prefetched */
    const REAL *a, *b;
    epilogue end;
    REAL *c, *scratch; /* per thread: a panel of B, and a block of A */
    int64_t scratch_size;
} gemm_job;

/* to[tile][t][i] = A[row + tile*TILE_ROWS + i][step + t] for `count` rows, which are adjacent in memory. */
static void pack_columns(const gemm_job *job, int64_t row, int64_t count, int64_t step, int64_t steps, REAL *to) {
    for (int64_t ir = 0; ir < count; ir += TILE_ROWS, to += TILE_ROWS * steps) {
        const REAL *a = job->a + row + ir + step * job->a_col;
        int64_t live = min64(TILE_ROWS, count - ir);
        for (int64_t t = 0; t < steps; t++, a += job->a_col) {
            if (live == TILE_ROWS) memcpy(to + t * TILE_ROWS, a, TILE_ROWS * sizeof(REAL));
            else
                for (int64_t i = 0; i < live; i++) to[t * TILE_ROWS + i] = a[i];
        }
    }
}

/* Prefetch part `part` of `parts` of a panel of B, whose rows lie apart. */
INLINE void prefetch_panel(const gemm_job *job, const REAL *b, int64_t steps, int64_t part, int64_t parts) {
    for (int64_t t = steps * part / parts; t < steps * (part + 1) / parts; t++)
        UNROLL_FOR (int j = 0; j < PANEL; j += 64 / (int)sizeof(REAL)) __builtin_prefetch(b + t * job->b_row + j);
}

static void gemm_task(void *context, int64_t task, int thread) {
    const gemm_job *job = context;
    int64_t column = task / job->row_blocks * job->group * PANEL, columns = min64(job->N, column + job->group * PANEL);
    int64_t row = task % job->row_blocks * job->block_rows, rows = min64(job->block_rows, job->M - row);
    REAL *b = job->scratch + thread * job->scratch_size, *a = job->packed ? b + GEMM_SCRATCH : NULL;

    for (int64_t step = 0; step == 0 || step < job->K; step += GEMM_KC) {
        int64_t steps = min64(GEMM_KC, job->K - step);
        const int64_t start = 0;
        segments along = {1, steps, &start};
        epilogue add = {.out = job->c};
        if (step + GEMM_KC >= job->K) add = job->end;
        if (step > 0) add.add = job->c;
        if (a) pack_columns(job, row, rows, step, steps, a);

        for (int64_t jr = column; jr < columns; jr += PANEL) {
            int64_t live_columns = min64(PANEL, job->N - jr);
            tile_store end = {&add, jr, live_columns, LIVE};
            const REAL *panel = job->b + step * job->b_row + jr * job->b_col;
            pack_panel(steps, live_columns, panel, job->b_row, job->b_col, b);
            for (int64_t ir = 0; ir < rows; ir += TILE_ROWS) {
                int live = (int)min64(TILE_ROWS, rows - ir);
                const REAL *from[TILE_ROWS];
                REAL *c[TILE_ROWS];
                if (job->far_panels)
                    prefetch_panel(job, panel + PANEL, steps, ir / TILE_ROWS, ceil_div(rows, TILE_ROWS));
                for (int i = 0; i < live; i++) {
                    from[i] = job->a + (row + ir + i) * job->a_row + step * job->a_col;
                    c[i] = job->c + (row + ir + i) * job->N;
                }
                if (job->a_col == 1) row_tiles(live, from, along, b, c, end, (tile_ahead){0});
                else if (a) column_tile(live, a + ir * steps, TILE_ROWS, along, b, c, end);
                else column_tile(live, from[0], job->a_col, along, b, c, end);
            }
        }
    }
}

static fn_status gemm(int64_t M, int64_t N, int64_t K, const void *a, int64_t a_row, int64_t a_col, const void *b,
                      int64_t b_row, int64_t b_col, const fn_epilogue *end, void *c) {
    if (M == 0 || N == 0) return FN_OK;
    int threads = fn_threads();
    int64_t panels = ceil_div(N, PANEL), tiles = ceil_div(M, TILE_ROWS); /* of columns, and of rows */
    int64_t tile = TILE_ROWS * min64(max64(K, 1), GEMM_KC), wanted = threads > 1 ? fn_speed.gemm_tasks * threads : 1;
    int64_t most = min64(fn_speed.gemm_bytes / (tile * (int64_t)sizeof(REAL)), tiles * panels / wanted);
    gemm_job job = {M, N, K, a_row, a_col, b_row, b_col, .a = a, .b = b, .end = epilogue_of(end, 0, c), .c = c};
    job.block_rows = ceil_div(tiles, ceil_div(tiles, max64(1, most))) * TILE_ROWS;
    job.row_blocks = ceil_div(M, job.block_rows);
    job.group = max64(1, min64(min64(panels, fn_speed.gemm_group), panels * job.row_blocks / wanted));
    job.far_panels = b_col == 1 && N * K * (int64_t)sizeof(REAL) >= fn_speed.stream_bytes;
    job.packed = a_col != 1 && job.group >= fn_speed.gemm_panels;
    job.scratch_size = GEMM_SCRATCH + (job.packed ? ceil_div(job.block_rows / TILE_ROWS * tile, PANEL) * PANEL : 0);
    job.scratch = fn_alloc(sizeof(REAL) * (size_t)(threads * job.scratch_size), FN_SCRATCH);
    if (!job.scratch) return FN_NO_MEMORY;
    double work = (double)M * (double)N * (double)K / LANES;
    fn_parallel_on(threads, job.row_blocks * ceil_div(panels, job.group), work, gemm_task, &job);
    fn_free(job.scratch);
    return FN_OK;
}
