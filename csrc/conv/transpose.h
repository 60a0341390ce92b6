/* Transposed convolution: the input gradient of a convolution, and a bias. */
typedef struct {
    int64_t C, rows, rows_per_task;
    const REAL *bias;
    REAL *y;
} bias_job;

static void bias_task(void *context, int64_t task, int thread) {
    const bias_job *job = context;
    int64_t first = task * job->rows_per_task, last = min64(first + job->rows_per_task, job->rows), C = job->C;
    (void)thread;
    for (int64_t row = first; row < last; row++)
        for (int64_t c = 0; c < C; c += LANES) {
            REAL *y = job->y + row * C + c;
            store_part(y, load_part(y, C - c) + load_part(job->bias + c, C - c), C - c);
        }
}

/* g is the convolution from y to x. */
static fn_status conv_transpose(const fn_conv *g, const void *x, const void *w, const void *bias, void *y) {
    bias_job job = {g->C, g->N * g->H * g->W, max64(1, COPY_TASK / g->C), bias, y};
    fn_status status = conv_grad_input(g, x, w, NULL, y);
    if (status == FN_OK && bias)
        fn_parallel(ceil_div(job.rows, job.rows_per_task), 2 * (double)job.rows * (double)g->C / LANES, bias_task,
                    &job);
    return status;
}
