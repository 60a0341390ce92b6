/* c = a * b + bias for any operand orders.  A task is a block of rows times one panel of columns: it packs its piece
 * of B, KC steps at a time, and runs the tiles of its rows over it, so B is read from memory once a row block. */

enum { GEMM_SCRATCH = GEMM_KC * PANEL };

typedef struct {
    int64_t M, N, K, a_row, a_col, b_row, b_col;
    int64_t block_rows, row_blocks; /* of C in a task; tasks along M */
    const REAL *a, *b, *bias;
    REAL *c, *scratch; /* per thread: a panel of B */
} gemm_job;

static void gemm_task(void *context, int64_t task, int thread) {
    const gemm_job *job = context;
    int64_t panel = task / job->row_blocks * PANEL, first = task % job->row_blocks * job->block_rows;
    int64_t last = min64(first + job->block_rows, job->M), columns = min64(PANEL, job->N - panel);
    REAL *b = job->scratch + (int64_t)thread * GEMM_SCRATCH;
    for (int64_t k = 0; k == 0 || k < job->K; k += GEMM_KC) {
        int64_t steps = min64(GEMM_KC, job->K - k);
        pack_panel(steps, columns, job->b + k * job->b_row + panel * job->b_col, job->b_row, job->b_col, b);
        epilogue add = {NULL, k + GEMM_KC >= job->K ? job->bias : NULL, k > 0 ? job->c : NULL, job->c, 0};
        ending end = {&add, panel, columns};
        const int64_t start = 0;
        segments along = {1, steps, &start};
        for (int64_t i = first; i < last; i += TILE_ROWS) {
            int live = (int)min64(TILE_ROWS, last - i);
            const REAL *rows[TILE_ROWS];
            REAL *c[TILE_ROWS];
            for (int r = 0; r < live; r++) {
                rows[r] = job->a + (i + r) * job->a_row + k * job->a_col;
                c[r] = job->c + (i + r) * job->N;
            }
            if (job->a_col == 1) row_tile(live, rows, along, b, c, end);
            else column_tile(live, rows[0], job->a_col, along, b, c, end);
        }
    }
}

static fn_status gemm(int64_t M, int64_t N, int64_t K, const void *a, int64_t a_row, int64_t a_col, const void *b,
                      int64_t b_row, int64_t b_col, const void *bias, void *c) {
    int64_t block_rows = fn_speed.gemm_tiles * TILE_ROWS;
    gemm_job job = {M, N, K, a_row, a_col, b_row, b_col, block_rows, ceil_div(M, block_rows), a, b, bias, c, NULL};
    if (M == 0 || N == 0) return FN_OK;
    int threads = fn_threads();
    job.scratch = fn_alloc(sizeof(REAL) * (size_t)threads * GEMM_SCRATCH, FN_SCRATCH);
    if (!job.scratch) return FN_NO_MEMORY;
    double work = (double)M * (double)N * (double)K / LANES;
    fn_parallel_on(threads, job.row_blocks * ceil_div(N, PANEL), work, gemm_task, &job);
    fn_free(job.scratch);
    return FN_OK;
}
