/* Batch norm, element by element:
 *   y = min(max((x - mean)*scale + shift + add, 0), top)    and    dx = dy*slope + ((x - mean)*scale + shift),
 * where dy is masked by 0 < (x - mean)*slope + gate < top; without a ReLU there is neither, and top is ReLU6's.
 *
 * The channels' coefficients are tabulated for a period: as many rows as fill whole pairs of vectors, unless C is large
 * and odd.  Arrays are read from front to back, which hardware prefetches; the tables stay in L1.
 */
typedef struct {
    int64_t period;
    int flags; /* which of the following terms a formula has */
    REAL top; /* NaN: none */
    const REAL *x, *dy, *add;
    REAL *y, *tables;
} affine_job;

enum { HAS_X = 1, HAS_DY = 2, HAS_GATE = 4, HAS_ADD = 8, HAS_RELU = 16, IS_LARGE = 32 };
enum { MEAN, SCALE, SHIFT, SLOPE, GATE, TABLES }; /* one period each; x - mean is exact near the mean */

/* `vectors` adjacent vectors from element `at` on, whose coefficients begin at t; the last has `lanes` elements. */
INLINE void affine_vectors(const affine_job *job, const int flags, const int vectors, const REAL *t, int64_t at,
                           int64_t lanes) {
    UNROLL_FOR (int v = 0; v < vectors; v++, at += LANES, t += LANES) {
        vec value = {0}, d = {0}, slope = {0};
        if (flags & HAS_DY) slope = load_part(t + SLOPE * job->period, lanes);
        if (flags & (HAS_X | HAS_GATE)) d = load_part(job->x + at, lanes) - load_part(t + MEAN * job->period, lanes);
        if (flags & HAS_X)
            value =
                multiply_add(d, load_part(t + SCALE * job->period, lanes), load_part(t + SHIFT * job->period, lanes));
        if (flags & HAS_DY) {
            vec g = load_part(job->dy + at, lanes);
            if (flags & HAS_GATE)
                g = gate_by(multiply_add(d, slope, load_part(t + GATE * job->period, lanes)), job->top, g);
            value = multiply_add(g, slope, value);
        }
        if (flags & HAS_ADD) value += load_part(job->add + at, lanes);
        if (flags & HAS_RELU) value = limit(value, job->top);
        if (vectors > 1 && flags & IS_LARGE) store_around(job->y + at, value);
        else store_part(job->y + at, value, lanes);
    }
}

INLINE void affine_rows(const affine_job *given, const int flags, int64_t first, int64_t last) {
    const affine_job job = *given;
    for (; first < last; first += job.period) {
        int64_t i = 0, count = min64(job.period, last - first);
        for (; i + 2 * LANES <= count; i += 2 * LANES) affine_vectors(&job, flags, 2, job.tables + i, first + i, LANES);
        for (; i < count; i += LANES)
            affine_vectors(&job, flags, 1, job.tables + i, first + i, min64(LANES, count - i));
    }
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
    if (fold * C % (2 * LANES)) fold = 1;
    int64_t period = job->period = fold * C * max64(1, fn_speed.affine_period / 4 / (fold * C));
    REAL *tables = job->tables = fn_alloc((size_t)(TABLES * period) * sizeof(REAL), FN_SCRATCH);
    if (!tables) return FN_NO_MEMORY;
    memset(tables, 0, (size_t)(TABLES * period) * sizeof(REAL));
    for (int64_t c = 0; c < C; c++) {
        tables[c] = (REAL)by.mean[c];
        fill_entry(tables + c, tables + SCALE * period + c, tables + SHIFT * period + c, by.mean[c], by.scale[c],
                   by.shift[c]);
        if (by.gate)
            fill_entry(tables + c, tables + SLOPE * period + c, tables + GATE * period + c, by.mean[c], by.slope[c],
                       by.gate[c]);
        else if (by.slope) tables[SLOPE * period + c] = (REAL)by.slope[c];
    }
    for (int64_t k = 0; k < TABLES; k++)
        for (int64_t j = C; j < period; j += C)
            memcpy(tables + k * period + j, tables + k * period, (size_t)C * sizeof(REAL));
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
    int threads = fn_threads(), relu6 = end->activation == FN_ACTIVATION_relu6;
    int relu = relu6 || end->activation == FN_ACTIVATION_relu;
    ending last = {.activation = FN_NO_ACTIVATION};
    if (size == 0) return FN_OK;
    double *scale = fn_alloc((size_t)(2 * C) * sizeof(double), FN_SCRATCH);
    if (!scale) return FN_NO_MEMORY;
    norm_factors(n, scale, scale + C);
    affine_job job = {.flags = HAS_X | (end->add ? HAS_ADD : 0) | (relu ? HAS_RELU : 0),
                      .top = top_of(relu6 ? 6 : relu),
                      .x = x,
                      .add = end->add,
                      .y = y};
    fn_status status = affine_tables(C, (affine_factors){n->mean, scale, scale + C, NULL, NULL}, &job);
    if (status == FN_OK && !relu && ends_apart(end->activation)) {
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
    job->top = top_of(n->relu);
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
