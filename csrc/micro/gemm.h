/* C = A * B, and an epilogue, for any operand orders.  A task is a range of rows of C times one panel of columns: it
 * packs its panel of B, GEMM_KC steps at a time, and multiplies all tiles of its rows by it, so B is read once per
 * task along M. Needs micro/tile.h.
 *
 * Assumptions: C is contiguous (a row is N elements); a_row == 1 or a_col == 1; b_row and b_col are arbitrary.
 */

enum { GEMM_SCRATCH = GEMM_KC * PANEL };

typedef struct {
    int64_t M, N, K, a_row, a_col, b_row, b_col;
    int64_t block_rows, row_blocks; /* rows of C per task; tasks along M */
    const REAL *a, *b;
    epilogue end;
    REAL *c, *scratch; /* one panel of B per thread */
} gemm_job;

static void gemm_task(void *context, int64_t task, int thread) {
    const gemm_job *job = context;
    int64_t jr = task / job->row_blocks * PANEL, n_left = min64(PANEL, job->N - jr);
    int64_t m_start = task % job->row_blocks * job->block_rows, m_end = min64(m_start + job->block_rows, job->M);
    REAL *b = job->scratch + (int64_t)thread * GEMM_SCRATCH;

    /* Loop over the reduction, GEMM_KC steps at a time. */
    for (int64_t pc = 0; pc == 0 || pc < job->K; pc += GEMM_KC) {
        int64_t k_iter = min64(GEMM_KC, job->K - pc);
        pack_panel(k_iter, n_left, job->b + pc * job->b_row + jr * job->b_col, job->b_row, job->b_col, b);
        epilogue add = {.out = job->c};
        if (pc + GEMM_KC >= job->K) add = job->end;
        if (pc > 0) add.add = job->c;
        tile_store end = {&add, jr, n_left};
        const int64_t start = 0;
        segments along = {1, k_iter, &start};

        /* Loop over the rows, a register tile at a time. */
        for (int64_t ir = m_start; ir < m_end; ir += TILE_ROWS) {
            int m_left = (int)min64(TILE_ROWS, m_end - ir);
            const REAL *rows[TILE_ROWS];
            REAL *c[TILE_ROWS];
            for (int i = 0; i < m_left; i++) {
                rows[i] = job->a + (ir + i) * job->a_row + pc * job->a_col;
                c[i] = job->c + (ir + i) * job->N;
            }
            if (job->a_col == 1) row_tile(m_left, rows, along, b, c, end);
            else column_tile(m_left, rows[0], job->a_col, along, b, c, end);
        }
    }
}

static fn_status gemm(int64_t M, int64_t N, int64_t K, const void *a, int64_t a_row, int64_t a_col, const void *b,
                      int64_t b_row, int64_t b_col, const fn_epilogue *end, void *c) {
    int64_t block_rows = fn_speed.gemm_tiles * TILE_ROWS;
    gemm_job job = {
        M, N,   K, a_row, a_col, b_row, b_col, block_rows, ceil_div(M, block_rows), a, b, epilogue_of(end, 0, c),
        c, NULL};
    if (M == 0 || N == 0) return FN_OK;
    int threads = fn_threads();
    job.scratch = fn_alloc(sizeof(REAL) * (size_t)threads * GEMM_SCRATCH, FN_SCRATCH);
    if (!job.scratch) return FN_NO_MEMORY;
    double work = (double)M * (double)N * (double)K / LANES;
    fn_parallel_on(threads, job.row_blocks * ceil_div(N, PANEL), work, gemm_task, &job);
    fn_free(job.scratch);
    return FN_OK;
}
