/* Penalties on weights, and bounds on their norms. Needs sum_eight() of pointwise/sums.h. */
typedef struct {
    int64_t n, rows, after; /* after: elements from one row to the next; rows repeat until n */
    const REAL *w;
    REAL *out, l1, l2;
    double limit;
} penalty_job;

enum { PENALTY_BLOCK = 8192 };

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
    fn_parallel_batched(ceil_div(n, PENALTY_BLOCK), 4 * (double)n / LANES, add_penalty_task, &job, sizeof job, g);
}

/* The norm of a row, w[b][row][i], whose elements are multiplied by `scale` before they are squared. */
INLINE double row_norm(const penalty_job *job, int64_t row, double scale) {
    double squares[8] = {0};
    for (int64_t b = row * job->after; b < job->n; b += job->rows * job->after)
        for (int64_t i = 0; i < job->after; i += 8)
            for (int64_t j = 0; j < 8 && i + j < job->after; j++) {
                double w = (double)job->out[b + i + j] * scale;
                squares[j] = multiply_add_double(w, w, squares[j]);
            }
    return __builtin_sqrt(sum_eight(squares));
}

/* Each row times limit / its norm where that is larger. The scale is 2^-600 where squares of doubles overflow. */
static void limit_norms_task(void *context, int64_t task, int thread) {
    const penalty_job *job = context;
    int64_t after = job->after;
    double limit = job->limit, norm = row_norm(job, task, 1);
    (void)thread;
    if (norm == INFINITY) norm = row_norm(job, task, 0x1p-600), limit *= 0x1p-600;
    if (!(norm > limit)) return;
    const REAL factor = (REAL)(limit / norm);
    for (int64_t b = task * after; b < job->n; b += job->rows * after)
        for (int64_t i = b; i < b + after; i++) job->out[i] *= factor;
}

static void limit_norms(int64_t n, void *w, int64_t rows, int64_t after, double limit) {
    penalty_job job = {.n = n, .rows = rows, .after = after, .out = w, .limit = limit};
    if (n > 0) fn_parallel_batched(rows, 4 * (double)n / LANES, limit_norms_task, &job, sizeof job, w);
}
