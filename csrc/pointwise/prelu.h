/* PReLU: y = x where x > 0, else s*x, with a slope s for each channel. Needs micro/ending.h, pointwise/activation.h.
 *
 * For the gradients, elements are taken in periods of as many rows as fill whole vectors, so that the slopes of a
 * period can be tabulated.  Its length depends on C alone, and so do the order and the bits of the sums for the
 * gradient of s: blocks of periods in REAL; blocks, parts and rows in double.
 */
enum { PRELU_FOLD = 16, PRELU_BLOCK = 32, PRELU_PARTS = 64 }; /* FOLD: a multiple of LANES; BLOCK: periods */

typedef struct {
    int64_t size, period, periods, parts; /* parts: of the periods, the last of which may be cut off */
    const REAL *x, *dy;
    REAL *y, *table;
    double *sums; /* (parts, period), or NULL */
} prelu_job;

/* Set period, periods and parts, and fill the table; the caller frees it. */
static fn_status prelu_begin(prelu_job *job, int64_t rows, int64_t C, const REAL *slopes) {
    job->period = C;
    while (job->period % PRELU_FOLD) job->period += C;
    job->size = rows * C;
    job->periods = ceil_div(job->size, job->period);
    job->parts = max64(1, min64(PRELU_PARTS, job->periods / PRELU_BLOCK));
    job->table = fn_alloc((size_t)job->period * sizeof(REAL), FN_SCRATCH);
    for (int64_t j = 0; job->table && j < job->period; j++) job->table[j] = slopes[j % C];
    return job->table ? FN_OK : FN_NO_MEMORY;
}

typedef struct {
    ending end;
    int64_t size;
    const REAL *x;
    REAL *y;
} bend_job;

static void prelu_task(void *context, int64_t task, int thread) {
    const bend_job *job = context;
    int64_t first = task * MAP_BLOCK, count = min64(MAP_BLOCK, job->size - first);
    (void)thread;
    ending_values(&job->end, first, count, job->x + first, job->y + first);
}

/* dx = dy where x > 0, else s*dy;  ds = the sum of x*dy where x is not positive */
static void prelu_backward_task(void *context, int64_t part, int thread) {
    const prelu_job *job = context;
    int64_t begin = job->periods * part / job->parts, end = job->periods * (part + 1) / job->parts;
    double *sums = job->sums ? job->sums + part * job->period : NULL;
    (void)thread;
    if (sums) memset(sums, 0, (size_t)job->period * sizeof(double));
    for (int64_t first = begin; first < end; first += PRELU_BLOCK) {
        int64_t last = min64(first + PRELU_BLOCK, end);
        for (int64_t j = 0; j < job->period; j += LANES) {
            vec slope = load(job->table + j), sum = {0};
            for (int64_t at = first * job->period + j; at < min64(last * job->period, job->size); at += job->period) {
                int64_t lanes = job->size - at;
                vec x = load_part(job->x + at, lanes), dy = load_part(job->dy + at, lanes);
                if (job->y) store_part(job->y + at, blend(x > (vec){0}, dy, dy * slope), lanes);
                sum += blend(x > (vec){0}, (vec){0}, x * dy);
            }
            for (int64_t k = 0; sums && k < LANES; k++) sums[j + k] += (double)sum[k];
        }
    }
}

static fn_status prelu(int64_t rows, int64_t C, const void *x, const void *slopes, void *y) {
    const fn_epilogue given = {.slopes = slopes, .activation = FN_ACTIVATION_prelu};
    bend_job job = {.size = rows * C, .x = x, .y = y};
    if (job.size == 0) return FN_OK;
    fn_status status = ending_begin(&job.end, C, &given);
    if (status == FN_OK) fn_parallel(ceil_div(job.size, MAP_BLOCK), 2 * (double)job.size / LANES, prelu_task, &job);
    ending_end(&job.end);
    return status;
}

static fn_status prelu_backward(int64_t rows, int64_t C, const void *dy, const void *x, const void *slopes, void *dx,
                                void *dslopes) {
    prelu_job job = {.x = x, .dy = dy, .y = dx};
    REAL *to = dslopes;
    if (to) memset(to, 0, (size_t)C * sizeof(REAL));
    if (rows * C == 0) return FN_OK;
    fn_status status = prelu_begin(&job, rows, C, slopes);
    if (status == FN_OK && to) {
        job.sums = fn_alloc((size_t)(job.parts * job.period) * sizeof(double), FN_SCRATCH);
        if (!job.sums) status = FN_NO_MEMORY;
    }
    if (status == FN_OK) fn_parallel(job.parts, 4 * (double)job.size / LANES, prelu_backward_task, &job);
    for (int64_t c = 0; status == FN_OK && to && c < C; c++) {
        double total = 0;
        for (int64_t part = 0; part < job.parts; part++)
            for (int64_t j = c; j < job.period; j += C) total += job.sums[part * job.period + j];
        to[c] = (REAL)total;
    }
    fn_free(job.sums);
    fn_free(job.table);
    return status;
}
