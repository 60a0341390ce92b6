/* Sums over many rows: a fixed partition and a fixed tree, so that the bits depend on neither threads nor ISA.
 * Needs micro/index.h.
 */

/* parts[0] += parts[1] + ..., pairwise: ((0+1)+(2+3))+((4+5)+...); each part has `size` elements. */
typedef struct {
    int64_t parts, size, block; /* block: elements of a task */
    REAL *data;
} tree_job;

static void tree_task(void *context, int64_t task, int thread) {
    const tree_job *job = context;
    int64_t first = task * job->block, last = min64(first + job->block, job->size);
    (void)thread;
    for (int64_t gap = 1; gap < job->parts; gap *= 2)
        for (int64_t part = 0; part + gap < job->parts; part += 2 * gap) {
            REAL *restrict to = job->data + part * job->size;
            const REAL *restrict from = to + gap * job->size;
            for (int64_t i = first; i < last; i++) to[i] += from[i];
        }
}

static void sum_parts(int threads, int64_t parts, int64_t size, REAL *data) {
    tree_job job = {parts, size, fn_speed.tree_elements, data};
    double work = (double)parts * (double)size / LANES;
    if (parts > 1) fn_parallel_on(threads, ceil_div(size, job.block), work, tree_task, &job);
}

/* sum[j] = sum over i of x[i][j]: blocks of COLUMN_ROWS rows in REAL, blocks and parts added in double. With an index
 * of max pooling, elements whose window the ReLU zeroed are skipped; with one of maxout, those of other pieces. */
typedef struct {
    int64_t rows, columns, parts;
    const REAL *x;
    pool_kind kind; /* of the index, or AVERAGE: none */
    const void *index;
    int64_t piece; /* of maxout, counted from 1; 0: the index is one of max pooling */
    double *sums;
} column_job;

enum { COLUMN_VECTORS = 4 };

/* Add rows [first, end) of `count` vectors of columns; the last vector has `lanes` columns. */
INLINE void column_rows(const column_job *job, const pool_kind kind, const int count, int64_t lanes, int64_t column,
                        int64_t first, int64_t end, double *sums) {
    const mask skipped = broadcast_whole(job->piece          ? job->piece - 1
                                         : kind == MAX_BYTES ? 255
                                                             : -1),
               others = broadcast_whole(job->piece ? -1 : 0);
    vec sum[COLUMN_VECTORS] = {{0}};
    for (int64_t i = first; i < end; i++)
        UNROLL_FOR (int v = 0; v < count; v++) {
            int64_t at = i * job->columns + column + v * LANES;
            vec value = v < count - 1 ? load(job->x + at) : load_part(job->x + at, lanes);
            if (kind != AVERAGE) {
                mask which = load_index(kind, job->index, at, job->rows * job->columns - at);
                value = blend((which == skipped) ^ others, (vec){0}, value);
            }
            sum[v] += value;
        }
    for (int64_t k = 0; k < (count - 1) * LANES + lanes; k++) sums[column + k] += (double)sum[k / LANES][k % LANES];
}

INLINE void column_blocks(const column_job *job, const pool_kind kind, int64_t first, int64_t last, double *sums) {
    for (; first < last; first += COLUMN_ROWS) {
        int64_t end = min64(first + COLUMN_ROWS, last);
        for (int64_t j = 0; j < job->columns; j += COLUMN_VECTORS * LANES) {
            int64_t count = min64(COLUMN_VECTORS, ceil_div(job->columns - j, LANES));
            int64_t lanes = min64(LANES, job->columns - j - (count - 1) * LANES);
#define COLUMN_ROWS_OF(count) column_rows(job, kind, count, lanes, j, first, end, sums)
            SPECIALISE(count, COLUMN_ROWS_OF)
        }
    }
}

static void column_part(void *context, int64_t part, int thread) {
    const column_job *job = context;
    int64_t first = job->rows * part / job->parts, last = job->rows * (part + 1) / job->parts;
    double *sums = job->sums + part * job->columns;
    (void)thread;
    memset(sums, 0, (size_t)job->columns * sizeof(double));
    if (job->kind == AVERAGE) column_blocks(job, AVERAGE, first, last, sums);
    else if (job->kind == MAX_BYTES) column_blocks(job, MAX_BYTES, first, last, sums);
    else column_blocks(job, MAX_WORDS, first, last, sums);
}

static fn_status column_run(column_job job, REAL *sum) {
    int64_t columns = job.columns;
    job.parts = max64(1, min64(COLUMN_PARTS, job.rows / COLUMN_PART_ROWS));
    job.sums = fn_alloc((size_t)(job.parts * columns) * sizeof(double), FN_SCRATCH);
    if (!job.sums) return FN_NO_MEMORY;
    fn_parallel(job.parts, (double)job.rows * (double)columns / LANES, column_part, &job);
    for (int64_t j = 0; j < columns; j++) {
        double total = 0;
        for (int64_t part = 0; part < job.parts; part++) total += job.sums[part * columns + j];
        sum[j] = (REAL)total;
    }
    fn_free(job.sums);
    return FN_OK;
}

static fn_status column_sum(int64_t rows, int64_t columns, const void *x, void *sum) {
    return column_run((column_job){.rows = rows, .columns = columns, .x = x, .kind = AVERAGE}, sum);
}
