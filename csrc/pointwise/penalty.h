/* Penalties on weights, and bounds on their norms. Sums are accumulated in double, in eight interleaved parts. */
typedef struct {
    int64_t n, rows, after; /* after: elements from one row to the next; rows repeat until n */
    const REAL *w;
    REAL *out, l1, l2;
    double limit, *sums; /* sums: absolute values and squares of each block */
} penalty_job;

enum { PENALTY_BLOCK = 8192, PENALTY_PARTS = 8 };

INLINE double sum_of_parts(const double *part) {
    double sum = 0;
    for (int i = 0; i < PENALTY_PARTS; i++) sum += part[i];
    return sum;
}

/* g += l2*w + l1*sign(w) */
static void add_penalty_task(void *context, int64_t task, int thread) {
    const penalty_job job = *(const penalty_job *)context;
    const vec up = broadcast(job.l1), down = broadcast(-job.l1), l2 = broadcast(job.l2);
    int64_t i = task * PENALTY_BLOCK, last = min64(i + PENALTY_BLOCK, job.n);
    (void)thread;
    for (; i < last; i += LANES) {
        vec w = load_part(job.w + i, last - i), g = load_part(job.out + i, last - i);
        vec sign = blend(w > (vec){0}, up, blend(w < (vec){0}, down, (vec){0}));
        store_part(job.out + i, g + multiply_add(l2, w, sign), last - i);
    }
}

static void add_penalty(int64_t n, const void *w, void *g, double l1, double l2) {
    penalty_job job = {.n = n, .w = w, .out = g, .l1 = (REAL)l1, .l2 = (REAL)l2};
    fn_parallel(ceil_div(n, PENALTY_BLOCK), 4 * (double)n / LANES, add_penalty_task, &job);
}

static void weight_sums_task(void *context, int64_t task, int thread) {
    const penalty_job *job = context;
    int64_t i = task * PENALTY_BLOCK, last = min64(i + PENALTY_BLOCK, job->n);
    double absolute[PENALTY_PARTS] = {0}, squares[PENALTY_PARTS] = {0};
    (void)thread;
    for (; i < last; i += PENALTY_PARTS)
        for (int64_t j = 0; j < PENALTY_PARTS && i + j < last; j++) {
            double w = (double)job->w[i + j];
            absolute[j] += w < 0 ? -w : w;
            squares[j] = multiply_add_double(w, w, squares[j]);
        }
    job->sums[2 * task] = sum_of_parts(absolute), job->sums[2 * task + 1] = sum_of_parts(squares);
}

static fn_status weight_sums(int64_t n, const void *w, double *absolute, double *squares) {
    int64_t blocks = ceil_div(n, PENALTY_BLOCK);
    penalty_job job = {.n = n, .w = w, .sums = fn_alloc((size_t)(2 * blocks) * sizeof(double), FN_SCRATCH)};
    *absolute = *squares = 0;
    if (!job.sums) return FN_NO_MEMORY;
    fn_parallel(blocks, 4 * (double)n / LANES, weight_sums_task, &job);
    for (int64_t i = 0; i < blocks; i++) *absolute += job.sums[2 * i], *squares += job.sums[2 * i + 1];
    fn_free(job.sums);
    return FN_OK;
}

/* Each row, w[b][row][i], times limit / its norm where that is larger. */
static void limit_norms_task(void *context, int64_t task, int thread) {
    const penalty_job *job = context;
    int64_t stride = job->rows * job->after, after = job->after;
    double squares[PENALTY_PARTS] = {0};
    (void)thread;
    for (int64_t b = task * after; b < job->n; b += stride)
        for (int64_t i = 0; i < after; i += PENALTY_PARTS)
            for (int64_t j = 0; j < PENALTY_PARTS && i + j < after; j++) {
                double w = (double)job->out[b + i + j];
                squares[j] = multiply_add_double(w, w, squares[j]);
            }
    double norm = __builtin_sqrt(sum_of_parts(squares));
    if (!(norm > job->limit)) return;
    const REAL factor = (REAL)(job->limit / norm);
    for (int64_t b = task * after; b < job->n; b += stride)
        for (int64_t i = b; i < b + after; i++) job->out[i] *= factor;
}

static void limit_norms(int64_t n, void *w, int64_t rows, int64_t after, double limit) {
    penalty_job job = {.n = n, .rows = rows, .after = after, .out = w, .limit = limit};
    if (n > 0) fn_parallel(rows, 4 * (double)n / LANES, limit_norms_task, &job);
}
