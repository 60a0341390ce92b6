/* Batch norm, element by element:
 *   y = max((x - mean)*scale + shift + add, 0)    and    dx = dy*slope + ((x - mean)*scale + shift),
 * where dy is masked by (x - mean)*slope + gate > 0. The channels' coefficients are tabulated for a period: as many
 * rows as fill whole pairs of vectors, unless C is large and odd.
 */
typedef struct {
    int64_t period;
    int flags; /* which of the following terms a formula has */
    const REAL *x, *dy, *add;
    REAL *y, *tables;
} affine_job;

enum { HAS_X = 1, HAS_DY = 2, HAS_GATE = 4, HAS_ADD = 8, HAS_RELU = 16, IS_LARGE = 32 };
enum { MEAN, SCALE, SHIFT, SLOPE, GATE, TABLES }; /* one period each; x - mean is exact near the mean */

/* `vectors` adjacent vectors of columns from element i on, period by period up to `last`; the last vector has `lanes`
 * columns. The coefficients stay in registers. */
INLINE void affine_columns(const affine_job *given, const int flags, const int vectors, const int whole, int64_t column,
                           int64_t lanes, int64_t first, int64_t last) {
    const affine_job job = *given;
    const int large = whole && flags & IS_LARGE;
    vec t[TABLES][2];
    UNROLL_FOR (int k = 0; k < TABLES; k++)
        UNROLL_FOR (int v = 0; v < vectors; v++)
            t[k][v] = column_load(v, vectors, job.tables + k * job.period + column, lanes);
    for (int64_t i = first + column; i < last; i += job.period)
        UNROLL_FOR (int v = 0; v < vectors; v++) {
            int64_t at = i + v * LANES, here = whole ? LANES : min64(v < vectors - 1 ? LANES : lanes, last - at);
            vec value = {0}, d = {0};
            if (large && flags & HAS_X) __builtin_prefetch(job.x + at + AFFINE_AHEAD);
            if ((large || flags & HAS_GATE) && flags & HAS_DY) __builtin_prefetch(job.dy + at + AFFINE_AHEAD);
            if (flags & (HAS_X | HAS_GATE)) d = load_part(job.x + at, here) - t[MEAN][v];
            if (flags & HAS_X) value = multiply_add(d, t[SCALE][v], t[SHIFT][v]);
            if (flags & HAS_DY) {
                vec g = load_part(job.dy + at, here);
                if (flags & HAS_GATE) g = blend(multiply_add(d, t[SLOPE][v], t[GATE][v]) > (vec){0}, g, (vec){0});
                value = multiply_add(g, t[SLOPE][v], value);
            }
            if (flags & HAS_ADD) value += load_part(job.add + at, here);
            if (flags & HAS_RELU) value = rectify(value);
            if (large) store_around(job.y + at, value);
            else store_part(job.y + at, value, here);
        }
}

INLINE void affine_block(const affine_job *job, const int flags, int64_t first, int64_t last) {
    int64_t period = job->period, column = 0, whole = first + (last - first) / period * period;
    for (; column + 2 * LANES <= period; column += 2 * LANES) {
        affine_columns(job, flags, 2, 1, column, LANES, first, whole);
        affine_columns(job, flags, 2, 0, column, LANES, whole, last);
    }
    for (; column < period; column += LANES)
        affine_columns(job, flags, 1, 0, column, min64(LANES, period - column), first, last);
}

/* Loop over blocks that fit in L1, and within them over pairs of vectors of columns. */
INLINE void affine_rows(const affine_job *job, const int flags, int64_t first, int64_t last) {
    int64_t step = job->period * max64(1, fn_speed.affine_block / job->period);
    for (; first < last; first += step) affine_block(job, flags, first, min64(first + step, last));
}

/* Elements [first, last); `first` belongs to channel 0. */
static void affine_some(const affine_job *job, int64_t first, int64_t last) {
    switch (job->flags) {
#define AFFINE_CASE(flags)                                   \
    case flags: affine_rows(job, flags, first, last); break; \
    case (flags) | IS_LARGE: affine_rows(job, (flags) | IS_LARGE, first, last), store_fence(); break;
        AFFINE_CASE(HAS_X)
        AFFINE_CASE(HAS_X | HAS_RELU)
        AFFINE_CASE(HAS_X | HAS_ADD)
        AFFINE_CASE(HAS_X | HAS_ADD | HAS_RELU)
        AFFINE_CASE(HAS_X | HAS_DY)
        AFFINE_CASE(HAS_X | HAS_DY | HAS_GATE)
        AFFINE_CASE(HAS_DY)
        AFFINE_CASE(HAS_DY | HAS_GATE)
    }
}

/* The coefficients of a pass, C doubles each. */
typedef struct {
    const double *mean, *scale, *shift, *slope, *gate; /* the last two: or NULL */
} affine_factors;

/* Set the job's period and tables; the caller frees the tables. */
static fn_status affine_tables(int64_t C, affine_factors by, affine_job *job) {
    int64_t fold = 1;
    while (fold * C % (2 * LANES) && (fold + 1) * C <= fn_speed.affine_period) fold++;
    int64_t period = job->period = (fold * C % (2 * LANES) ? 1 : fold) * C;
    REAL *tables = job->tables = fn_alloc((size_t)(TABLES * period) * sizeof(REAL), FN_SCRATCH);
    if (!tables) return FN_NO_MEMORY;
    memset(tables, 0, (size_t)(TABLES * period) * sizeof(REAL));
    for (int64_t j = 0; j < period; j++) {
        int64_t c = j % C;
        tables[j] = (REAL)by.mean[c];
        fill_entry(tables + j, tables + SCALE * period + j, tables + SHIFT * period + j, by.mean[c], by.scale[c],
                   by.shift[c]);
        if (by.gate)
            fill_entry(tables + j, tables + SLOPE * period + j, tables + GATE * period + j, by.mean[c], by.slope[c],
                       by.gate[c]);
        else if (by.slope) tables[SLOPE * period + j] = (REAL)by.slope[c];
    }
    return FN_OK;
}

typedef struct {
    const affine_job *job;
    int64_t size, step;
    const ending *end; /* of y, or NULL; then a piece of values is computed in a buffer of the thread */
    int64_t piece;
    REAL *buffers, *before;
    int large;
} affine_run;

static void affine_task(void *context, int64_t task, int thread) {
    const affine_run *run = context;
    int64_t first = task * run->step, last = min64(first + run->step, run->size);
    if (!run->end) {
        affine_some(run->job, first, last);
        return;
    }
    affine_job job = *run->job;
    job.y = run->buffers + thread * run->piece;
    for (int64_t i = first; i < last; i += run->piece) {
        int64_t count = min64(run->piece, last - i);
        job.x = run->job->x + i;
        if (job.add) job.add = run->job->add + i;
        affine_some(&job, 0, count);
        ending_store(run->end, 0, count, job.y, run->before ? run->before + i : NULL, run->job->y + i, run->large);
    }
    if (run->large) store_fence();
}

static void affine_on(int threads, affine_run *run) {
    fn_parallel_on(threads, ceil_div(run->size, run->step), 2 * (double)run->size / LANES, affine_task, run);
}

static affine_run affine_run_of(const affine_job *job, int64_t size) {
    int large = is_large(job->y, job->period * (int64_t)sizeof(REAL), size * (int64_t)sizeof(REAL));
    int64_t step = job->period * max64(1, fn_speed.affine_elements / job->period);
    return (affine_run){.job = job, .size = size, .step = step, .large = large};
}

static void affine_all(int threads, const affine_job *given, int64_t size) {
    affine_job job = *given;
    affine_run run = affine_run_of(&job, size);
    if (run.large) job.flags |= IS_LARGE;
    affine_on(threads, &run);
}

/* The same, then an activation, whose argument `before` receives, or NULL. */
static fn_status affine_ended(int threads, const affine_job *job, int64_t size, const ending *end, REAL *before) {
    affine_run run = affine_run_of(job, size);
    run.end = end;
    run.before = before;
    run.piece = job->period * max64(1, fn_speed.affine_block / job->period);
    run.buffers = fn_alloc((size_t)(threads * run.piece) * sizeof(REAL), FN_SCRATCH);
    if (!run.buffers) return FN_NO_MEMORY;
    affine_on(threads, &run);
    fn_free(run.buffers);
    return FN_OK;
}

static fn_status norm_apply(const fn_norm *n, const void *x, const fn_epilogue *end, void *y) {
    int64_t C = n->C, size = n->images * n->pixels * C;
    int threads = fn_threads(), relu = end->activation == FN_ACTIVATION_relu;
    ending last = {.activation = FN_NO_ACTIVATION};
    if (size == 0) return FN_OK;
    double *scale = fn_alloc((size_t)(2 * C) * sizeof(double), FN_SCRATCH);
    if (!scale) return FN_NO_MEMORY;
    norm_factors(n, scale, scale + C);
    affine_job job = {
        .flags = HAS_X | (end->add ? HAS_ADD : 0) | (relu ? HAS_RELU : 0), .x = x, .add = end->add, .y = y};
    fn_status status = affine_tables(C, (affine_factors){n->mean, scale, scale + C, NULL, NULL}, &job);
    if (status == FN_OK && ends_apart(end->activation)) {
        status = ending_begin(&last, C, end);
        if (status == FN_OK) status = affine_ended(threads, &job, size, &last, end->before);
        ending_end(&last);
    } else if (status == FN_OK) affine_all(threads, &job, size);
    fn_free(job.tables);
    fn_free(scale);
    return status;
}

/* The job of the input gradient; the caller frees its tables. dgamma, dbeta: NULL if statistics were fixed. */
static fn_status norm_gradient(const fn_norm *n, const double *dgamma, const double *dbeta, affine_job *job) {
    int64_t C = n->C;
    double *slope = fn_alloc((size_t)(4 * C) * sizeof(double), FN_SCRATCH), *beta = slope + C, *scale = beta + C;
    double *shift = scale + C, rows = (double)(n->images * n->pixels);
    if (!slope) return FN_NO_MEMORY;
    norm_factors(n, slope, beta);
    for (int64_t c = 0; c < C; c++) {
        scale[c] = dgamma ? -slope[c] * n->inverse_std[c] * dgamma[c] / rows : 0;
        shift[c] = dbeta ? -slope[c] * dbeta[c] / rows : 0;
    }
    job->flags = HAS_DY | (dgamma ? HAS_X : 0) | (n->relu ? HAS_GATE : 0);
    affine_factors by = {n->mean, scale, shift, slope, n->relu ? beta : NULL};
    fn_status status = affine_tables(C, by, job);
    fn_free(slope);
    return status;
}

static fn_status norm_backward(const fn_norm *n, const void *dy, const void *x, const double *dgamma,
                               const double *dbeta, void *dx) {
    affine_job job = {.x = x, .dy = dy, .y = dx};
    if (n->images * n->pixels * n->C == 0) return FN_OK;
    fn_status status = norm_gradient(n, dgamma, dbeta, &job);
    if (status == FN_OK) affine_all(fn_threads(), &job, n->images * n->pixels * n->C);
    fn_free(job.tables);
    return status;
}

static void norm_inverse_std(int64_t C, double eps, const double *var, double *inverse_std) {
    for (int64_t c = 0; c < C; c++) inverse_std[c] = 1 / sqrt(var[c] + eps);
}

static void norm_track(int64_t C, double momentum, double factor, const double *statistic, void *running) {
    REAL *r = running;
    for (int64_t c = 0; c < C; c++) {
        volatile REAL target = (REAL)(factor * statistic[c]); /* volatile: each product is rounded, no FMA */
        volatile REAL change = (REAL)momentum * (target - r[c]);
        r[c] += change;
    }
}
