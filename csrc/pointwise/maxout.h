/* Maxout: the largest of each `pieces` adjacent channels; NaN is the largest, and the first of equals wins. */
typedef struct {
    int64_t size, pieces; /* size: maxima */
    const REAL *in;
    REAL *out;
    uint8_t *to_index;
    const uint8_t *index;
} maxout_job;

enum { MAXOUT_BLOCK = 8192 };

INLINE void maxout_block(const maxout_job *job, const int64_t pieces, int64_t first, int64_t last) {
    const REAL *restrict in = job->in;
    REAL *restrict out = job->out;
    for (int64_t i = first; i < last; i++) {
        REAL best = in[i * pieces];
        uint8_t which = 0;
        for (int64_t j = 1; j < pieces; j++) {
            REAL value = in[i * pieces + j];
            int larger = !(value <= best) && best == best;
            best = larger ? value : best;
            which = larger ? (uint8_t)j : which;
        }
        out[i] = best;
        if (job->to_index) job->to_index[i] = which;
    }
}

static void maxout_task(void *context, int64_t task, int thread) {
    const maxout_job *job = context;
    int64_t first = task * MAXOUT_BLOCK, last = min64(first + MAXOUT_BLOCK, job->size);
    (void)thread;
    if (job->pieces == 2) maxout_block(job, 2, first, last);
    else maxout_block(job, job->pieces, first, last);
}

INLINE void maxout_gradient(const maxout_job *job, const int64_t pieces, int64_t first, int64_t last) {
    const REAL *restrict dy = job->in;
    REAL *restrict dx = job->out;
    for (int64_t i = first; i < last; i++)
        for (int64_t j = 0; j < pieces; j++) dx[i * pieces + j] = job->index[i] == j ? dy[i] : 0;
}

static void maxout_backward_task(void *context, int64_t task, int thread) {
    const maxout_job *job = context;
    int64_t first = task * MAXOUT_BLOCK, last = min64(first + MAXOUT_BLOCK, job->size);
    (void)thread;
    if (job->pieces == 2) maxout_gradient(job, 2, first, last);
    else maxout_gradient(job, job->pieces, first, last);
}

static void maxout_on(int threads, int64_t rows, int64_t C, int64_t pieces, const REAL *x, REAL *y, uint8_t *index) {
    maxout_job job = {rows * C, pieces, x, y, index, NULL};
    double work = (double)(job.size * pieces) * 2 / LANES;
    fn_parallel_on(threads, ceil_div(job.size, MAXOUT_BLOCK), work, maxout_task, &job);
}

static void maxout_gradient_on(int threads, int64_t rows, int64_t C, int64_t pieces, const REAL *dy,
                               const uint8_t *index, REAL *dx) {
    maxout_job job = {rows * C, pieces, dy, dx, NULL, index};
    double work = (double)(job.size * pieces) * 2 / LANES;
    fn_parallel_on(threads, ceil_div(job.size, MAXOUT_BLOCK), work, maxout_backward_task, &job);
}

static void maxout(int64_t rows, int64_t C, int64_t pieces, const void *x, void *y, uint8_t *index) {
    maxout_on(fn_threads(), rows, C, pieces, x, y, index);
}

static void maxout_backward(int64_t rows, int64_t C, int64_t pieces, const void *dy, const uint8_t *index, void *dx) {
    maxout_gradient_on(fn_threads(), rows, C, pieces, dy, index, dx);
}
