/* Batch norm over x (rows, C): statistics, normalisation, and the gradients of both, with ReLU and a residual sum.
 *
 * y = max((x - mean)*scale + shift + add, 0).  ReLU's gradient passes where that is positive: the first pass back finds it
 * from y and leaves the gated gradient behind where there is an `add` (whose gradient it is), else both passes compute it
 * again from x (the gate below).
 *
 * Statistics: rows in 64 parts at most, a part in blocks of 64 rows that stay in cache; a block is reduced in REAL
 * about a pivot, blocks and parts are combined in double, always in the same order.  With few channels, `fold` rows
 * are looked at as one wide row (the partition depends on C alone, never on the width of vectors).
 */
typedef struct {
    int64_t rows, C, parts; /* of the wide rows */
    const REAL *x, *dy, *end; /* end of x (and, with dy, of dy): vectors are cut short there only */
    const REAL *mean;         /* of each column, rounded to REAL */
    const REAL *gate_scale, *gate_shift; /* dy counts where (x - mean)*gate_scale + gate_shift > 0; or NULL */
    const REAL *y;                       /* dy counts where y > 0, and goes to `gated`; or NULL */
    REAL *gated;
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
typedef enum { UNGATED, GATED_BY_X, GATED_BY_Y } gating;

INLINE void sums_block(const gating gate, const int vectors, const norm_job *job, int64_t at, int64_t column, int64_t rows,
                       double *beta, double *gamma) {
    vec mean[4], scale[4], shift[4], first[4] = {{0}}, second[4] = {{0}};
    for (int v = 0; v < vectors; v++) {
        int64_t c = column + v * LANES;
        mean[v] = load(job->mean + c);
        if (gate == GATED_BY_X) scale[v] = load(job->gate_scale + c), shift[v] = load(job->gate_shift + c);
    }
    for (int64_t i = 0; i < rows; i++, at += job->C)
        for (int v = 0; v < vectors; v++) {
            int64_t to = at + v * LANES, lanes = job->end - (job->x + to);
            vec d = load_part(job->x + to, lanes) - mean[v], g = load_part(job->dy + to, lanes);
            if (gate == GATED_BY_X) g = blend(multiply_add(d, scale[v], shift[v]) > (vec){0}, g, (vec){0});
            if (gate == GATED_BY_Y) {
                g = blend(load_part(job->y + to, lanes) > (vec){0}, g, (vec){0});
                store_part(job->gated + to, g, job->C - column - v * LANES);
            }
            first[v] += g;
            second[v] += g * d;
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
            int64_t at = row * C + column;
            const REAL *x = job->x + at;
            memset(a, 0, sizeof a), memset(b, 0, sizeof b);
            memcpy(a, totals[0] + column, bytes), memcpy(b, totals[1] + column, bytes);
            double before = (double)(row - first);
            int vectors = width == WIDE ? 4 : 1;
            if (job->dy && job->y) sums_block(GATED_BY_Y, vectors, job, at, column, rows, a, b);
            else if (job->dy && job->gate_scale) sums_block(GATED_BY_X, vectors, job, at, column, rows, a, b);
            else if (job->dy) sums_block(UNGATED, vectors, job, at, column, rows, a, b);
            else if (width == WIDE) moments_block(4, job, x, rows, before, a, b);
            else moments_block(1, job, x, rows, before, a, b);
            memcpy(totals[0] + column, a, bytes), memcpy(totals[1] + column, b, bytes);
        }
    }
}

/* x -> (x - mean)*scale + shift with a mean rounded to REAL: what rounding left goes into the shift. */
INLINE void fill_entry(const REAL *mean, REAL *scale, REAL *shift, double exact_mean, double exact_scale, double exact_shift) {
    *scale = (REAL)exact_scale;
    *shift = (REAL)(exact_shift - (exact_mean - (double)*mean) * (double)*scale);
}

/* Tables of mean, scale and shift, `size` numbers each, for `used` columns of period C, zeros behind them; scale: or NULL. */
static void fill_tables(REAL *tables, int64_t size, int64_t used, int64_t C, const double *mean, const double *scale,
                        const double *shift) {
    for (int64_t j = 0; j < size; j++) {
        int64_t c = j % C;
        tables[j] = j < used ? (REAL)mean[c] : 0;
        if (!scale) continue;
        tables[size + j] = tables[2 * size + j] = 0;
        if (j < used) fill_entry(tables + j, tables + size + j, tables + 2 * size + j, mean[c], scale[c], shift[c]);
    }
}

/* Reduce all rows to (mean, sum of squares), or to both sums when job has a dy: first, second, C doubles each.
 * `mean`, `scale`, `shift` of each channel: for the gradient and its gate. */
static fn_status norm_reduce(norm_job job, const double *mean, const double *scale, const double *shift, double *out_first,
                             double *out_second) {
    int64_t rows = job.rows, C = job.C, fold = fold_of(rows, C), wide = fold * C, padded = wide + WIDE;
    job.rows = rows / fold, job.C = wide, job.parts = norm_parts(rows / fold), job.end = job.x + rows * C;
    double *scratch = fn_alloc((size_t)(2 * job.parts * wide) * sizeof(double) + (size_t)(3 * padded) * sizeof(REAL), FN_SCRATCH);
    if (!scratch) return FN_NO_MEMORY;
    REAL *tables = (REAL *)(scratch + 2 * job.parts * wide);
    job.first = scratch, job.second = scratch + job.parts * wide, job.mean = tables;
    if (job.dy) fill_tables(tables, padded, wide, C, mean, scale, shift);
    if (scale && !job.y) job.gate_scale = tables + padded, job.gate_shift = tables + 2 * padded;
    memset(out_first, 0, (size_t)C * sizeof(double));
    memset(out_second, 0, (size_t)C * sizeof(double));
    double before = 0;
    for (int tail = 0; tail < 2; tail++) {
        if (tail) { /* the rows that fill no wide row */
            int64_t done = rows / fold * fold * C;
            job.x += done, job.rows = rows % fold, job.C = C, job.parts = 1, fold = 1;
            if (job.dy) job.dy += done;
            if (job.y) job.y += done, job.gated += done;
        }
        if (job.rows == 0) continue;
        fn_parallel(job.parts, (double)rows * (double)C / LANES, norm_part, &job);
        for (int64_t part = 0; part < job.parts; part++) {
            int64_t count = job.rows * (part + 1) / job.parts - job.rows * part / job.parts;
            for (int64_t f = 0; f < fold; f++, before += (double)count) {
                const double *a = job.first + part * job.C + f * C, *b = job.second + part * job.C + f * C;
                for (int64_t c = 0; c < C; c++)
                    if (job.dy) out_first[c] += a[c], out_second[c] += b[c];
                    else combine(out_first + c, out_second + c, before, (double)count, a[c], b[c]);
            }
        }
    }
    fn_free(scratch);
    return FN_OK;
}

static fn_status norm_moments(int64_t rows, int64_t C, const void *x, double *mean, double *var) {
    if (C == 0) return FN_OK;
    fn_status status = norm_reduce((norm_job){.rows = rows, .C = C, .x = x}, NULL, NULL, NULL, mean, var);
    for (int64_t c = 0; c < C && rows > 0; c++) var[c] /= (double)rows;
    return status;
}

/* ---- element by element: y = max((x - mean)*scale + shift + add, 0);  dx = gated dy*slope + ((x - mean)*scale + shift) ----
 * The coefficients of a channel repeat with a period that is a whole number of vectors, unless C is large and odd. */
typedef struct {
    int64_t size, period, periods_per_task;
    int flags; /* what a formula has, of the following */
    const REAL *x, *dy, *add;
    REAL *y, *tables;
} affine_job;

enum { HAS_X = 1, HAS_DY = 2, HAS_GATE = 4, HAS_ADD = 8, HAS_RELU = 16 };
enum { MEAN, SCALE, SHIFT, SLOPE, GATE_SCALE, GATE_SHIFT, TABLES }; /* a period each; x - mean is exact near the mean */

INLINE vec affine(const affine_job *job, const int flags, int64_t i, int64_t j, int64_t lanes) {
    const REAL *tables = job->tables + j;
    vec value = {0}, d = {0};
    if (flags & (HAS_X | HAS_GATE)) d = load_part(job->x + i, lanes) - load_part(tables + MEAN * job->period, lanes);
    if (flags & HAS_X)
        value = multiply_add(d, load_part(tables + SCALE * job->period, lanes), load_part(tables + SHIFT * job->period, lanes));
    if (flags & HAS_DY) {
        vec g = load_part(job->dy + i, lanes);
        if (flags & HAS_GATE) {
            vec y = multiply_add(d, load_part(tables + GATE_SCALE * job->period, lanes),
                                 load_part(tables + GATE_SHIFT * job->period, lanes));
            g = blend(y > (vec){0}, g, (vec){0});
        }
        value = multiply_add(g, load_part(tables + SLOPE * job->period, lanes), value);
    }
    if (flags & HAS_ADD) value += load_part(job->add + i, lanes);
    return flags & HAS_RELU ? rectify(value) : value;
}

INLINE void affine_rows(const affine_job *given, const int flags, int64_t i, int64_t last) {
    const affine_job job = *given;
    for (; i < last; i += job.period) {
        int64_t width = min64(job.period, last - i), j = 0;
        for (; j + LANES <= width; j += LANES) store(job.y + i + j, affine(&job, flags, i + j, j, LANES));
        if (j < width) store_part(job.y + i + j, affine(&job, flags, i + j, j, width - j), width - j);
    }
}

static void affine_task(void *context, int64_t task, int thread) {
    const affine_job *job = context;
    int64_t step = job->period * job->periods_per_task, first = task * step, last = min64(first + step, job->size);
    (void)thread;
    switch (job->flags) {
#define AFFINE_CASE(flags) \
    case flags: affine_rows(job, flags, first, last); break;
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

/* What a pass multiplies with, C doubles each. */
typedef struct {
    const double *mean, *scale, *shift, *slope, *gate_scale, *gate_shift; /* the last three: or NULL */
} affine_factors;

static fn_status affine_run(int64_t rows, int64_t C, affine_job job, affine_factors by) {
    int64_t fold = LANES;
    while (fold > 1 && C % 2 == 0 && fold / 2 * C % LANES == 0) fold /= 2;
    if (C > 512) fold = 1;
    job.size = rows * C, job.period = fold * C, job.periods_per_task = max64(1, 16384 / job.period);
    job.tables = fn_alloc((size_t)(TABLES * job.period) * sizeof(REAL), FN_SCRATCH);
    if (!job.tables) return FN_NO_MEMORY;
    REAL *tables = job.tables;
    fill_tables(tables, job.period, job.period, C, by.mean, by.scale, by.shift);
    for (int64_t j = 0; j < job.period && by.slope; j++) tables[SLOPE * job.period + j] = (REAL)by.slope[j % C];
    for (int64_t j = 0; j < job.period && by.gate_scale; j++)
        fill_entry(tables + j, tables + GATE_SCALE * job.period + j, tables + GATE_SHIFT * job.period + j, by.mean[j % C],
                   by.gate_scale[j % C], by.gate_shift[j % C]);
    fn_parallel(ceil_div(job.size, job.period * job.periods_per_task), 2 * (double)job.size / LANES, affine_task, &job);
    fn_free(job.tables);
    return FN_OK;
}

/* scale = gamma * inverse_std, shift = beta. */
static void norm_factors(int64_t C, const double *inverse_std, const REAL *gamma, const REAL *beta, double *scale,
                         double *shift) {
    for (int64_t c = 0; c < C; c++) {
        scale[c] = gamma ? inverse_std[c] * (double)gamma[c] : inverse_std[c];
        shift[c] = beta ? (double)beta[c] : 0;
    }
}

static fn_status norm_apply(int64_t rows, int64_t C, const void *x, const double *mean, const double *inverse_std,
                            const void *gamma, const void *beta, const void *add, int relu, void *y) {
    if (rows == 0 || C == 0) return FN_OK;
    double *scale = fn_alloc((size_t)(2 * C) * sizeof(double), FN_SCRATCH);
    if (!scale) return FN_NO_MEMORY;
    norm_factors(C, inverse_std, gamma, beta, scale, scale + C);
    affine_job job = {.flags = HAS_X | (add ? HAS_ADD : 0) | (relu ? HAS_RELU : 0), .x = x, .add = add, .y = y};
    fn_status status = affine_run(rows, C, job, (affine_factors){mean, scale, scale + C, NULL, NULL, NULL});
    fn_free(scale);
    return status;
}

static fn_status norm_sums(int64_t rows, int64_t C, const void *dy, const void *x, const double *mean,
                           const double *inverse_std, const void *gamma, const void *beta, int relu, const void *y,
                           void *gated, double *dgamma, double *dbeta) {
    if (C == 0) return FN_OK;
    double *scale = fn_alloc((size_t)(2 * C) * sizeof(double), FN_SCRATCH), *shift = scale + C;
    if (!scale) return FN_NO_MEMORY;
    norm_factors(C, inverse_std, gamma, beta, scale, shift);
    norm_job job = {.rows = rows, .C = C, .x = x, .dy = dy, .y = y, .gated = gated};
    fn_status status = norm_reduce(job, mean, relu ? scale : NULL, relu ? shift : NULL, dbeta, dgamma);
    for (int64_t c = 0; c < C; c++) /* what rounding the mean left counts for every row */
        dgamma[c] = (dgamma[c] - (mean[c] - (double)(REAL)mean[c]) * dbeta[c]) * inverse_std[c];
    fn_free(scale);
    return status;
}

static fn_status norm_backward(int64_t rows, int64_t C, const void *dy, const void *x, const double *mean,
                               const double *inverse_std, const void *gamma, const void *beta, int relu,
                               const double *dgamma, const double *dbeta, int training, void *dx) {
    if (rows == 0 || C == 0) return FN_OK;
    double *slope = fn_alloc((size_t)(4 * C) * sizeof(double), FN_SCRATCH);
    if (!slope) return FN_NO_MEMORY;
    double *beta_of = slope + C, *scale = beta_of + C, *shift = scale + C;
    norm_factors(C, inverse_std, gamma, beta, slope, beta_of);
    for (int64_t c = 0; c < C; c++) {
        scale[c] = -slope[c] * inverse_std[c] * dgamma[c] / (double)rows;
        shift[c] = -slope[c] * dbeta[c] / (double)rows;
    }
    affine_job job = {.flags = HAS_DY | (training ? HAS_X : 0) | (relu ? HAS_GATE : 0), .x = x, .dy = dy, .y = dx};
    affine_factors by = {mean, scale, shift, slope, relu ? slope : NULL, relu ? beta_of : NULL};
    fn_status status = affine_run(rows, C, job, by);
    fn_free(slope);
    return status;
}
