/* City-block distances of all pairs of two sets of rows, and the smallest elements of a row. Needs micro/tile.h and
 * magnitude() of pointwise/loss.h.
 *
 * distance[i][j] = sum over t of |a[i][t] - b[j][t]|, one chain of sums in the order of t.  Like a matrix product, a
 * task packs a panel of b, GEMM_KC steps at a time, and reads it for all of its rows of a.
 */
enum { DISTANCE_ROWS = VECTOR_BYTES == 64 ? 8 : 4 }; /* with two sums each, b, and temporaries: all in registers */

typedef struct {
    int64_t M, N, D, block_rows, row_blocks;
    const REAL *a, *b;
    REAL *distance, *scratch; /* scratch: one panel of b per thread */
} distance_job;

/* Continue, or with `first` begin, the sums of DISTANCE_ROWS rows; those from `held` on repeat the last. */
INLINE void distance_tile(const REAL *const *rows, int held, int64_t steps, const REAL *b, REAL *const *to,
                          int64_t columns, int first) {
    vec sum[DISTANCE_ROWS][2];
    UNROLL_FOR (int i = 0; i < DISTANCE_ROWS; i++)
        UNROLL_FOR (int v = 0; v < 2; v++)
            sum[i][v] = first ? (vec){0} : load_part(to[i] + v * LANES, columns - v * LANES);
    for (int64_t t = 0; t < steps; t++) {
        vec b0 = *(const vec *)(b + t * PANEL), b1 = *(const vec *)(b + t * PANEL + LANES);
        UNROLL_FOR (int i = 0; i < DISTANCE_ROWS; i++) {
            vec value = broadcast(rows[i][t]);
            sum[i][0] += magnitude(value - b0);
            sum[i][1] += magnitude(value - b1);
        }
    }
    UNROLL_FOR (int i = 0; i < DISTANCE_ROWS; i++)
        if (i < held)
            UNROLL_FOR (int v = 0; v < 2; v++) store_part(to[i] + v * LANES, sum[i][v], columns - v * LANES);
}

static void distance_task(void *context, int64_t task, int thread) {
    const distance_job *job = context;
    int64_t jr = task / job->row_blocks * PANEL, columns = min64(PANEL, job->N - jr);
    int64_t start = task % job->row_blocks * job->block_rows, end = min64(start + job->block_rows, job->M);
    REAL *b = job->scratch + (int64_t)thread * GEMM_SCRATCH;
    for (int64_t pc = 0; pc == 0 || pc < job->D; pc += GEMM_KC) {
        int64_t steps = min64(GEMM_KC, job->D - pc);
        pack_panel(steps, columns, job->b + jr * job->D + pc, 1, job->D, b);
        for (int64_t ir = start; ir < end; ir += DISTANCE_ROWS) {
            const REAL *rows[DISTANCE_ROWS];
            REAL *to[DISTANCE_ROWS];
            for (int i = 0; i < DISTANCE_ROWS; i++) {
                int64_t row = min64(ir + i, end - 1);
                rows[i] = job->a + row * job->D + pc;
                to[i] = job->distance + row * job->N + jr;
            }
            distance_tile(rows, (int)min64(DISTANCE_ROWS, end - ir), steps, b, to, columns, pc == 0);
        }
    }
}

static fn_status l1_distances(int64_t M, int64_t N, int64_t D, const void *a, const void *b, void *distance) {
    int64_t block_rows = fn_speed.distance_tiles * DISTANCE_ROWS;
    distance_job job = {M, N, D, block_rows, ceil_div(M, block_rows), a, b, distance, NULL};
    if (M == 0 || N == 0) return FN_OK;
    int threads = fn_threads();
    job.scratch = fn_alloc(sizeof(REAL) * (size_t)threads * GEMM_SCRATCH, FN_SCRATCH);
    if (!job.scratch) return FN_NO_MEMORY;
    double work = 3 * (double)M * (double)N * (double)D / LANES;
    fn_parallel_on(threads, job.row_blocks * ceil_div(N, PANEL), work, distance_task, &job);
    fn_free(job.scratch);
    return FN_OK;
}

/* Positions of the k smallest elements of each row, ascending; of equal elements, the first come first. */
typedef struct {
    int64_t rows, columns, k;
    const REAL *x;
    int64_t *index;
} smallest_job;

enum { SMALLEST_RUN = 64 }; /* elements that are skipped together if none is small enough */

INLINE int any_below(const REAL *x, REAL bound) {
    mask below = {0};
    UNROLL_FOR (int v = 0; v < SMALLEST_RUN / LANES; v++) below |= load(x + v * LANES) < broadcast(bound);
    whole any = 0;
    for (int i = 0; i < LANES; i++) any |= below[i];
    return any != 0;
}

static void smallest_task(void *context, int64_t row, int thread) {
    const smallest_job *job = context;
    const REAL *x = job->x + row * job->columns;
    int64_t *best = job->index + row * job->k, held = 0, last = job->k - 1;
    (void)thread;
    for (int64_t j = 0; j < job->columns;) {
        int64_t end = min64(j + SMALLEST_RUN, job->columns);
        if (held > last && end - j == SMALLEST_RUN && !any_below(x + j, x[best[last]])) {
            j = end;
            continue;
        }
        for (; j < end; j++) {
            if (held > last && !(x[j] < x[best[last]])) continue;
            int64_t at = held > last ? last : held++;
            for (; at > 0 && x[j] < x[best[at - 1]]; at--) best[at] = best[at - 1];
            best[at] = j;
        }
    }
}

static void smallest(int64_t rows, int64_t columns, int64_t k, const void *x, int64_t *index) {
    smallest_job job = {rows, columns, k, x, index};
    if (k > 0) fn_parallel(rows, (double)rows * (double)columns / LANES, smallest_task, &job);
}
