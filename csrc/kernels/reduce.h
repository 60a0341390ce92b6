/* Sums over many rows: a fixed partition and a fixed tree, so that the bits depend on neither threads nor ISA. */

/* parts[0] += parts[1] + ..., pairwise: ((0+1)+(2+3))+((4+5)+...); each part has `size` numbers. */
typedef struct {
    int64_t parts, size;
    REAL *data;
} tree_job;

enum { TREE_BLOCK = 4096 };

static void tree_task(void *context, int64_t task, int thread) {
    const tree_job *job = context;
    int64_t first = task * TREE_BLOCK, last = min64(first + TREE_BLOCK, job->size);
    (void)thread;
    for (int64_t gap = 1; gap < job->parts; gap *= 2)
        for (int64_t part = 0; part + gap < job->parts; part += 2 * gap) {
            REAL *restrict to = job->data + part * job->size;
            const REAL *restrict from = to + gap * job->size;
            for (int64_t i = first; i < last; i++) to[i] += from[i];
        }
}

static void sum_parts(int64_t parts, int64_t size, REAL *data) {
    tree_job job = {parts, size, data};
    if (parts > 1) fn_parallel(ceil_div(size, TREE_BLOCK), (double)parts * (double)size / LANES, tree_task, &job);
}

/* sum[j] = sum over i of x[i][j]: rows in 64 parts at most, blocks of 64 rows in REAL, blocks added in double. */
typedef struct {
    int64_t rows, columns, parts;
    const REAL *x;
    double *sums;
} column_job;

static void column_part(void *context, int64_t part, int thread) {
    const column_job *job = context;
    int64_t first = job->rows * part / job->parts, last = job->rows * (part + 1) / job->parts, columns = job->columns;
    double *sums = job->sums + part * columns;
    (void)thread;
    memset(sums, 0, (size_t)columns * sizeof(double));
    for (; first < last; first += 64) {
        int64_t end = min64(first + 64, last);
        for (int64_t j = 0; j < columns; j += 4 * LANES) {
            vec sum[4] = {{0}};
            int64_t lanes = columns - j;
            if (lanes >= 4 * LANES)
                for (int64_t i = first; i < end; i++)
                    for (int v = 0; v < 4; v++) sum[v] += load(job->x + i * columns + j + v * LANES);
            else
                for (int64_t i = first; i < end; i++)
                    for (int v = 0; v < 4; v++) sum[v] += load_part(job->x + i * columns + j + v * LANES, lanes - v * LANES);
            for (int64_t k = 0; k < min64(lanes, 4 * LANES); k++) sums[j + k] += (double)sum[k / LANES][k % LANES];
        }
    }
}

static fn_status column_sum(int64_t rows, int64_t columns, const void *x, void *sum) {
    REAL *out = sum;
    column_job job = {rows, columns, max64(1, min64(64, rows / 256)), x, NULL};
    job.sums = fn_alloc((size_t)(job.parts * columns) * sizeof(double), FN_SCRATCH);
    if (!job.sums) return FN_NO_MEMORY;
    fn_parallel(job.parts, (double)rows * (double)columns / LANES, column_part, &job);
    for (int64_t j = 0; j < columns; j++) {
        double total = 0;
        for (int64_t part = 0; part < job.parts; part++) total += job.sums[part * columns + j];
        out[j] = (REAL)total;
    }
    fn_free(job.sums);
    return FN_OK;
}
