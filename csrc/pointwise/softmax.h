/* Softmax and its logarithm over rows of C adjacent elements. Rows are independent; sums over C are accumulated in
 * eight interleaved parts, in double. */
INLINE double sum_row(int64_t C, const REAL *x) {
    double part[8] = {0};
    int64_t j;
    for (j = 0; j + 8 <= C; j += 8)
        for (int i = 0; i < 8; i++) part[i] += (double)x[j + i];
    for (int i = 0; j + i < C; i++) part[i] += (double)x[j + i];
    return sum_eight(part);
}

/* The largest element; NaN is larger than none. */
INLINE REAL largest_of(int64_t C, const REAL *s) {
    REAL largest[8];
    int64_t j;
    for (int i = 0; i < 8; i++) largest[i] = s[0];
    for (j = 0; j + 8 <= C; j += 8)
        for (int i = 0; i < 8; i++) largest[i] = s[j + i] > largest[i] ? s[j + i] : largest[i];
    for (; j < C; j++) largest[0] = s[j] > largest[0] ? s[j] : largest[0];
    for (int i = 1; i < 8; i++) largest[0] = largest[i] > largest[0] ? largest[i] : largest[0];
    return largest[0];
}

/* e_j = e^(s_j - largest); returns their sum. */
INLINE double exp_row(int64_t C, const REAL *s, REAL largest, REAL *e) {
    for (int64_t j = 0; j < C; j += LANES)
        store_part(e + j, exp_of(load_part(s + j, C - j) - broadcast(largest)), C - j);
    return sum_row(C, e);
}

typedef struct {
    int64_t rows, C, rows_per_task;
    int logarithm;
    const REAL *in, *y;
    REAL *out;
} softmax_job;

static void softmax_run(int64_t rows, int64_t C, int logarithm, const void *in, const void *y, void *out,
                        fn_task body) {
    softmax_job job = {rows, C, max64(1, 4096 / max64(1, C)), logarithm, in, y, out};
    fn_parallel(ceil_div(rows, job.rows_per_task), (double)rows * (double)C * 16 / LANES, body, &job);
}

/* y = e_j / sum e, or its logarithm, s_j - largest - log(sum e) */
static void softmax_forward_task(void *context, int64_t task, int thread) {
    const softmax_job *job = context;
    int64_t first = task * job->rows_per_task, last = min64(first + job->rows_per_task, job->rows), C = job->C;
    (void)thread;
    for (int64_t n = first; n < last; n++) {
        const REAL *s = job->in + n * C, largest = largest_of(C, s);
        REAL *y = job->out + n * C;
        double total = exp_row(C, s, largest, y), scale = 1 / total;
        if (job->logarithm) {
            double shift = log_of(total);
            for (int64_t j = 0; j < C; j++) y[j] = (REAL)((double)(REAL)(s[j] - largest) - shift);
        } else
            for (int64_t j = 0; j < C; j++) y[j] = (REAL)((double)y[j] * scale);
    }
}

/* dx = y (dy - sum of y dy); for the logarithm dx = dy - e^y sum of dy */
static void softmax_backward_task(void *context, int64_t task, int thread) {
    const softmax_job *job = context;
    int64_t first = task * job->rows_per_task, last = min64(first + job->rows_per_task, job->rows), C = job->C, j;
    (void)thread;
    for (int64_t n = first; n < last; n++) {
        const REAL *dy = job->in + n * C, *y = job->y + n * C;
        REAL *dx = job->out + n * C;
        if (job->logarithm) {
            vec total = broadcast((REAL)-sum_row(C, dy));
            for (j = 0; j < C; j += LANES)
                store_part(dx + j, multiply_add(exp_of(load_part(y + j, C - j)), total, load_part(dy + j, C - j)),
                           C - j);
            continue;
        }
        double part[8] = {0};
        for (j = 0; j + 8 <= C; j += 8)
            for (int i = 0; i < 8; i++) part[i] = multiply_add_double((double)y[j + i], (double)dy[j + i], part[i]);
        for (int i = 0; j + i < C; i++) part[i] = multiply_add_double((double)y[j + i], (double)dy[j + i], part[i]);
        double inner = sum_eight(part);
        for (j = 0; j < C; j++) dx[j] = (REAL)((double)y[j] * ((double)dy[j] - inner));
    }
}

static void softmax(int64_t rows, int64_t C, int logarithm, const void *x, void *y) {
    softmax_run(rows, C, logarithm, x, NULL, y, softmax_forward_task);
}

static void softmax_backward(int64_t rows, int64_t C, int logarithm, const void *dy, const void *y, void *dx) {
    softmax_run(rows, C, logarithm, dy, y, dx, softmax_backward_task);
}
