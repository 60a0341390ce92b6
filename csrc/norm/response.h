/* Local response norm (Krizhevsky et al. 2012): y = x * d^-beta, d = k + alpha/size * (sum of x*x in a window of `size`
 * channels around each), for rows of C adjacent channels. Vectors run along channels; a row's terms are copied between
 * zeros, so that every window can be read as it stands. */
typedef struct {
    int64_t rows, C, size, many, room; /* many: rows of a task; room: elements of a thread's buffer */
    REAL scale, beta, k; /* scale: alpha / size */
    int large;
    const REAL *x, *dy;
    REAL *y, *buffers; /* y: or dx; buffers: two for each thread */
} response_job;

/* The sum of `size` adjacent terms, for each lane. */
INLINE vec window_sum(const REAL *terms, int64_t size) {
    vec sum = {0};
    for (int64_t i = 0; i < size; i++) sum += load(terms + i);
    return sum;
}

/* Squares of a row between zeros. */
INLINE void response_squares(const response_job *job, const REAL *x, REAL *terms) {
    for (int64_t c = 0; c < job->C; c += LANES) {
        vec value = load_part(x + c, job->C - c);
        store(terms + job->size / 2 + c, value * value);
    }
}

INLINE vec response_divisor(const response_job *job, const REAL *terms, int64_t c) {
    return multiply_add(window_sum(terms + c, job->size), broadcast(job->scale), broadcast(job->k));
}

INLINE void response_store(const response_job *job, REAL *y, vec value, int64_t here) {
    if (job->large) store_around(y, value);
    else store_part(y, value, here);
}

static void response_forward_task(void *context, int64_t task, int thread) {
    const response_job *job = context;
    REAL *terms = job->buffers + 2 * thread * job->room;
    memset(terms, 0, (size_t)job->room * sizeof(REAL));
    for (int64_t row = task * job->many; row < min64(job->rows, (task + 1) * job->many); row++) {
        const REAL *x = job->x + row * job->C;
        response_squares(job, x, terms);
        for (int64_t c = 0; c < job->C; c += LANES) {
            int64_t here = job->C - c;
            vec power = power_of(response_divisor(job, terms, c), -job->beta);
            response_store(job, job->y + row * job->C + c, load_part(x + c, here) * power, here);
        }
    }
    if (job->large) store_fence();
}

/* dx = dy*d^-beta - 2*alpha*beta/size * x * (sum of dy*x*d^(-beta - 1) over the channels whose windows hold it) */
static void response_backward_task(void *context, int64_t task, int thread) {
    const response_job *job = context;
    REAL *squares = job->buffers + 2 * thread * job->room, *terms = squares + job->room;
    const int64_t before = (job->size - 1) / 2; /* of the transposed window */
    const vec factor = broadcast(-2 * job->scale * job->beta);
    memset(squares, 0, (size_t)(2 * job->room) * sizeof(REAL));
    for (int64_t row = task * job->many; row < min64(job->rows, (task + 1) * job->many); row++) {
        const REAL *x = job->x + row * job->C, *dy = job->dy + row * job->C;
        REAL *dx = job->y + row * job->C;
        response_squares(job, x, squares);
        for (int64_t c = 0; c < job->C; c += LANES) {
            int64_t here = job->C - c;
            vec divisor = response_divisor(job, squares, c), g = load_part(dy + c, here);
            vec product = g * power_of(divisor, -job->beta);
            store(squares + c, product); /* where no later window begins */
            store(terms + before + c, product * load_part(x + c, here) / divisor);
        }
        for (int64_t c = 0; c < job->C; c += LANES) {
            int64_t here = job->C - c;
            vec rest = load_part(x + c, here) * factor, sum = window_sum(terms + c, job->size);
            response_store(job, dx + c, multiply_add(rest, sum, load(squares + c)), here);
        }
        memset(squares, 0, (size_t)(job->size / 2) * sizeof(REAL)); /* the zeros before the next row */
    }
    if (job->large) store_fence();
}

static fn_status response_run(int64_t rows, int64_t C, int64_t size, double alpha, double beta, double k, const void *x,
                              const void *dy, void *y, fn_task body) {
    int threads = fn_threads();
    int64_t row = C * (int64_t)sizeof(REAL);
    if (rows * C == 0) return FN_OK;
    response_job job = {rows,
                        C,
                        size,
                        max64(1, fn_speed.affine_elements / C),
                        C + size + 2 * LANES,
                        (REAL)(alpha / (double)size),
                        (REAL)beta,
                        (REAL)k,
                        is_large(y, row, rows * row),
                        x,
                        dy,
                        y,
                        NULL};
    job.buffers = fn_alloc((size_t)(2 * threads * job.room) * sizeof(REAL), FN_SCRATCH);
    if (!job.buffers) return FN_NO_MEMORY;
    double work = (double)(rows * C) * (40 + (double)size) / LANES;
    fn_parallel_on(threads, ceil_div(rows, job.many), work, body, &job);
    fn_free(job.buffers);
    return FN_OK;
}

static fn_status response_norm(int64_t rows, int64_t C, int64_t size, double alpha, double beta, double k,
                               const void *x, void *y) {
    return response_run(rows, C, size, alpha, beta, k, x, NULL, y, response_forward_task);
}

static fn_status response_norm_backward(int64_t rows, int64_t C, int64_t size, double alpha, double beta, double k,
                                        const void *dy, const void *x, void *dx) {
    return response_run(rows, C, size, alpha, beta, k, x, dy, dx, response_backward_task);
}
