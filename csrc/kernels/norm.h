/* Batch norm over x (rows, C): statistics, normalisation, and the gradients of both.
 *
 * Statistics: rows in 64 parts at most, a part in blocks of 64 rows that stay in cache; a block is reduced in REAL
 * about a pivot, blocks and parts are combined in double, always in the same order.  With few channels, `fold` rows
 * are looked at as one wide row (the partition depends on C alone, never on the width of vectors).
 */
typedef struct {
    int64_t rows, C, parts; /* of the wide rows */
    const REAL *x, *dy, *end; /* end of x (and, with dy, of dy): vectors are cut short there only */
    const REAL *mean;         /* of each column, rounded to REAL */
    double *first, *second;   /* (parts, C): mean and sum of squares; or the sums of dy and of dy*(x-mean) */
} norm_job;

enum { NORM_ROWS = 64, WIDE = 4 * LANES };

INLINE int64_t fold_of(int64_t rows, int64_t C) { return C <= 32 ? max64(1, min64(64 / C, rows)) : 1; }
INLINE int64_t norm_parts(int64_t rows) { return max64(1, min64(64, rows / 256)); }

INLINE vec load_before(const REAL *p, const REAL *end) { return load_part(p, end - p); }

/* Chan, Golub, LeVeque 1983: add `count` numbers of mean `mean` and sum of squared deviations `squares` to a total. */
INLINE void combine(double *to_mean, double *to_squares, double before, double count, double mean, double squares) {
    double delta = mean - *to_mean, share = count / (before + count);
    *to_mean += delta * share;
    *to_squares += squares + delta * delta * (before * share);
}

/* Columns [0, vectors*LANES) of a block: its mean in REAL is the pivot; then, with d = x - pivot (exact where it
 * matters), mean = pivot + sum d / n and squares = sum d^2 - (sum d)^2 / n. */
INLINE void moments_block(int vectors, const norm_job *job, const REAL *x, int64_t rows, double before, double *mean,
                          double *squares) {
    vec pivot[4] = {{0}}, sum[4] = {{0}}, square[4] = {{0}};
    const vec share = broadcast(1 / (REAL)rows);
    for (int64_t i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++) pivot[v] += load_before(x + i * job->C + v * LANES, job->end);
    for (int v = 0; v < vectors; v++) pivot[v] *= share;
    for (int64_t i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++) {
            vec d = load_before(x + i * job->C + v * LANES, job->end) - pivot[v];
            sum[v] += d;
            square[v] += d * d;
        }
    REAL p[WIDE], s[WIDE], q[WIDE];
    for (int v = 0; v < vectors; v++)
        store(p + v * LANES, pivot[v]), store(s + v * LANES, sum[v]), store(q + v * LANES, square[v]);
    double inverse = 1 / (double)rows;
    for (int k = 0; k < vectors * LANES; k++) {
        double shift = (double)s[k] * inverse;
        combine(mean + k, squares + k, before, (double)rows, (double)p[k] + shift, (double)q[k] - (double)s[k] * shift);
    }
}

/* Columns of a block: sum dy and sum dy*(x - mean), added to double totals. */
INLINE void sums_block(int vectors, const norm_job *job, const REAL *x, const REAL *dy, int64_t column, int64_t rows,
                       double *beta, double *gamma) {
    vec mean[4], first[4] = {{0}}, second[4] = {{0}};
    for (int v = 0; v < vectors; v++) mean[v] = load(job->mean + column + v * LANES);
    for (int64_t i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++) {
            const REAL *at = x + i * job->C + v * LANES, *dy_at = dy + i * job->C + v * LANES;
            vec g = load_part(dy_at, job->end - at);
            first[v] += g;
            second[v] += g * (load_before(at, job->end) - mean[v]);
        }
    REAL b[WIDE], g[WIDE];
    for (int v = 0; v < vectors; v++) store(b + v * LANES, first[v]), store(g + v * LANES, second[v]);
    for (int k = 0; k < vectors * LANES; k++) beta[k] += (double)b[k], gamma[k] += (double)g[k];
}

static void norm_part(void *context, int64_t part, int thread) {
    const norm_job *job = context;
    int64_t first = job->rows * part / job->parts, last = job->rows * (part + 1) / job->parts, C = job->C;
    double *totals[2] = {job->first + part * C, job->second + part * C};
    (void)thread;
    for (int i = 0; i < 2; i++) memset(totals[i], 0, (size_t)C * sizeof(double));
    for (int64_t row = first; row < last; row += NORM_ROWS) {
        int64_t rows = min64(NORM_ROWS, last - row);
        for (int64_t column = 0, width; column < C; column += width) {
            double a[WIDE], b[WIDE]; /* the last vector may be wider than what is left of the columns */
            width = C - column >= WIDE ? WIDE : LANES;
            size_t bytes = (size_t)min64(width, C - column) * sizeof(double);
            const REAL *x = job->x + row * C + column, *dy = job->dy + row * C + column;
            memset(a, 0, sizeof a), memset(b, 0, sizeof b);
            memcpy(a, totals[0] + column, bytes), memcpy(b, totals[1] + column, bytes);
            double before = (double)(row - first);
            if (job->dy && width == WIDE) sums_block(4, job, x, dy, column, rows, a, b);
            else if (job->dy) sums_block(1, job, x, dy, column, rows, a, b);
            else if (width == WIDE) moments_block(4, job, x, rows, before, a, b);
            else moments_block(1, job, x, rows, before, a, b);
            memcpy(totals[0] + column, a, bytes), memcpy(totals[1] + column, b, bytes);
        }
    }
}

/* Reduce all rows to (mean, sum of squares), or to both sums when dy is given: out_first, out_second, C doubles each. */
static fn_status norm_reduce(int64_t rows, int64_t C, const REAL *x, const REAL *dy, const double *mean, double *out_first,
                             double *out_second) {
    int64_t fold = fold_of(rows, C), wide = fold * C, padded = wide + WIDE;
    norm_job job = {.rows = rows / fold, .C = wide, .parts = norm_parts(rows / fold), .x = x, .dy = dy, .end = x + rows * C};
    size_t numbers = (size_t)(2 * job.parts * wide + padded);
    double *scratch = fn_alloc(numbers * sizeof(double), FN_SCRATCH);
    if (!scratch) return FN_NO_MEMORY;
    REAL *means = (REAL *)(scratch + 2 * job.parts * wide);
    job.first = scratch, job.second = scratch + job.parts * wide, job.mean = means;
    for (int64_t j = 0; j < padded && dy; j++) means[j] = j < wide ? (REAL)mean[j % C] : 0;
    memset(out_first, 0, (size_t)C * sizeof(double));
    memset(out_second, 0, (size_t)C * sizeof(double));
    double before = 0;
    for (int tail = 0; tail < 2; tail++) {
        if (tail) { /* the rows that fill no wide row */
            int64_t done = rows / fold * fold * C;
            job.x = x + done, job.dy = dy ? dy + done : NULL, job.rows = rows % fold, job.C = C, job.parts = 1, fold = 1;
        }
        if (job.rows == 0) continue;
        fn_parallel(job.parts, (double)rows * (double)C / LANES, norm_part, &job);
        for (int64_t part = 0; part < job.parts; part++) {
            int64_t count = job.rows * (part + 1) / job.parts - job.rows * part / job.parts;
            for (int64_t f = 0; f < fold; f++, before += (double)count) {
                const double *a = job.first + part * job.C + f * C, *b = job.second + part * job.C + f * C;
                for (int64_t c = 0; c < C; c++)
                    if (dy) out_first[c] += a[c], out_second[c] += b[c];
                    else combine(out_first + c, out_second + c, before, (double)count, a[c], b[c]);
            }
        }
    }
    fn_free(scratch);
    return FN_OK;
}

static fn_status norm_moments(int64_t rows, int64_t C, const void *x, double *mean, double *var) {
    if (C == 0) return FN_OK;
    fn_status status = norm_reduce(rows, C, x, NULL, NULL, mean, var);
    for (int64_t c = 0; c < C && rows > 0; c++) var[c] /= (double)rows;
    return status;
}

static fn_status norm_sums(int64_t rows, int64_t C, const void *dy, const void *x, const double *mean,
                           const double *inverse_std, double *dgamma, double *dbeta) {
    if (C == 0) return FN_OK;
    fn_status status = norm_reduce(rows, C, x, dy, mean, dbeta, dgamma);
    for (int64_t c = 0; c < C; c++) /* what rounding the mean left counts for every row */
        dgamma[c] = (dgamma[c] - (mean[c] - (double)(REAL)mean[c]) * dbeta[c]) * inverse_std[c];
    return status;
}

/* ---- element by element: y = (x - mean)*scale + shift;  dx = dy*slope + ((x - mean)*scale + shift) ----
 * The coefficients of a channel repeat with a period that is a whole number of vectors, unless C is large and odd. */
typedef struct {
    int64_t size, period, periods_per_task;
    const REAL *x, *dy;
    REAL *y, *mean, *scale, *shift, *slope; /* one period each; x - mean is exact near the mean, the rest is in shift */
} affine_job;

INLINE vec affine(const affine_job *job, int64_t i, int64_t j, int64_t lanes) {
    vec value = {0};
    if (job->x)
        value = (load_part(job->x + i, lanes) - load_part(job->mean + j, lanes)) * load_part(job->scale + j, lanes) +
                load_part(job->shift + j, lanes);
    if (job->dy) value = load_part(job->dy + i, lanes) * load_part(job->slope + j, lanes) + value;
    return value;
}

INLINE void affine_rows(const affine_job *job, int64_t i, int64_t last) {
    for (; i < last; i += job->period) {
        int64_t width = min64(job->period, last - i), j = 0;
        for (; j + LANES <= width; j += LANES) store(job->y + i + j, affine(job, i + j, j, LANES));
        if (j < width) store_part(job->y + i + j, affine(job, i + j, j, width - j), width - j);
    }
}

static void affine_task(void *context, int64_t task, int thread) {
    affine_job job = *(const affine_job *)context;
    int64_t step = job.period * job.periods_per_task, first = task * step, last = min64(first + step, job.size);
    (void)thread;
    if (job.x && job.dy) affine_rows(&job, first, last);
    else if (job.x) job.dy = NULL, affine_rows(&job, first, last);
    else job.x = NULL, affine_rows(&job, first, last);
}

static fn_status affine_run(int64_t rows, int64_t C, const REAL *x, const REAL *dy, const double *mean, const double *scale,
                            const double *shift, const double *slope, REAL *y) {
    int64_t fold = LANES;
    while (fold > 1 && C % 2 == 0 && fold / 2 * C % LANES == 0) fold /= 2;
    if (C > 512) fold = 1;
    affine_job job = {.size = rows * C, .period = fold * C, .x = x, .dy = dy, .y = y};
    job.periods_per_task = max64(1, 16384 / job.period);
    REAL *tables = fn_alloc((size_t)(4 * job.period) * sizeof(REAL), FN_SCRATCH);
    if (!tables) return FN_NO_MEMORY;
    job.mean = tables, job.scale = tables + job.period, job.shift = job.scale + job.period, job.slope = job.shift + job.period;
    for (int64_t j = 0; j < job.period; j++) {
        int64_t c = j % C;
        job.mean[j] = (REAL)mean[c];
        job.scale[j] = (REAL)scale[c];
        job.shift[j] = (REAL)(shift[c] - (mean[c] - (double)job.mean[j]) * (double)job.scale[j]);
        job.slope[j] = (REAL)slope[c];
    }
    fn_parallel(ceil_div(job.size, job.period * job.periods_per_task), 2 * (double)job.size / LANES, affine_task, &job);
    fn_free(tables);
    return FN_OK;
}

static fn_status norm_apply(int64_t rows, int64_t C, const void *x, const double *mean, const double *inverse_std,
                            const void *gamma, const void *beta, void *y) {
    if (rows == 0 || C == 0) return FN_OK;
    double *scale = fn_alloc((size_t)(2 * C) * sizeof(double), FN_SCRATCH);
    if (!scale) return FN_NO_MEMORY;
    double *shift = scale + C;
    for (int64_t c = 0; c < C; c++) {
        scale[c] = gamma ? inverse_std[c] * (double)((const REAL *)gamma)[c] : inverse_std[c];
        shift[c] = beta ? (double)((const REAL *)beta)[c] : 0;
    }
    fn_status status = affine_run(rows, C, x, NULL, mean, scale, shift, scale, y);
    fn_free(scale);
    return status;
}

static fn_status norm_backward(int64_t rows, int64_t C, const void *dy, const void *x, const double *mean,
                               const double *inverse_std, const void *gamma, const double *dgamma, const double *dbeta,
                               int training, void *dx) {
    if (rows == 0 || C == 0) return FN_OK;
    double *slope = fn_alloc((size_t)(3 * C) * sizeof(double), FN_SCRATCH);
    if (!slope) return FN_NO_MEMORY;
    double *scale = slope + C, *shift = scale + C;
    for (int64_t c = 0; c < C; c++) {
        slope[c] = gamma ? inverse_std[c] * (double)((const REAL *)gamma)[c] : inverse_std[c];
        scale[c] = -slope[c] * inverse_std[c] * dgamma[c] / (double)rows;
        shift[c] = -slope[c] * dbeta[c] / (double)rows;
    }
    fn_status status = affine_run(rows, C, training ? x : NULL, dy, mean, scale, shift, slope, dx);
    fn_free(slope);
    return status;
}
