/* Batch norm over x (images*pixels, C): the statistics of each channel, and the two sums of their gradient. Needs
 * micro/epilogue.h.
 *
 * Images (rows, if there are few images) are split into at most NORM_PARTS parts, and parts into blocks of NORM_ROWS
 * rows that fit in the cache. Blocks are reduced in REAL; blocks and parts are combined in double, always in the same
 * order.  With few channels, `fold` rows are treated as one wide row.  The partition depends on the shape alone, never
 * on the vector width. A part of whole images can be reduced as soon as a convolution has written it (conv/norm.h).
 */
typedef struct {
    int64_t images, pixels, C, parts;
    const REAL *x, *dy;
    const REAL *tables; /* with dy: mean, and the gate's scale and shift, repeated per column of a folded row */
    int gated_by_x; /* mask dy by v = (x - mean)*scale + shift */
    REAL top; /* the mask is 0 < v < top; NaN: no top */
    const REAL *y; /* mask dy by v = y and store it in `gated`; or NULL */
    REAL *gated;
    double *first, *second; /* (parts, C): mean and sum of squares; or the sums of dy and of dy*(x - mean) */
} norm_job;

/* The least number of rows whose columns are a multiple of NORM_FOLD, or 1 if that exceeds NORM_WIDE. */
INLINE int64_t fold_of(int64_t C) {
    for (int64_t fold = 1; fold * C <= NORM_WIDE; fold++)
        if (fold * C % NORM_FOLD == 0) return fold;
    return 1;
}

/* The number of parts, from the shape alone; from NORM_IMAGES images on, parts are whole images. */
INLINE int64_t norm_parts(int64_t images, int64_t pixels) {
    int64_t parts = max64(1, min64(NORM_PARTS, images * pixels / NORM_PART_ROWS));
    return images < NORM_IMAGES ? parts : min64(parts, images);
}

/* The first row of a part. */
INLINE int64_t part_start(const norm_job *job, int64_t part) {
    if (job->images < NORM_IMAGES) return job->images * job->pixels * part / job->parts;
    return job->images * part / job->parts * job->pixels;
}

/* Chan, Golub, LeVeque 1983: add elements of mean `mean` and sum of squared deviations `squares` to a total. */
INLINE void combine_moments(double *to_mean, double *to_squares, double share, double before, double mean,
                            double squares) {
    double delta = mean - *to_mean;
    *to_mean += delta * share;
    *to_squares += squares + delta * delta * (before * share);
}

/* Vector v of up to 4 vectors of adjacent columns: all are full except the last, which has `lanes`. */
INLINE vec column_load(const int v, const int vectors, const REAL *p, int64_t lanes) {
    return v < vectors - 1 ? load(p + v * LANES) : load_part(p + v * LANES, lanes);
}

/* A block of rows: its mean in REAL is the pivot; then, with d = x - pivot (exact where it matters),
 * mean = pivot + sum d / n and squares = sum d^2 - (sum d)^2 / n. */
INLINE void moments_block(const int vectors, const REAL *x, int64_t step, int64_t rows, int64_t lanes, double before,
                          double *mean, double *squares) {
    vec pivot[4] = {{0}}, sum[4] = {{0}}, square[4] = {{0}};
    const vec inverse = broadcast(1 / (REAL)rows);
    for (int64_t i = 0; i < rows; i++)
        UNROLL_FOR (int v = 0; v < vectors; v++) pivot[v] += column_load(v, vectors, x + i * step, lanes);
    UNROLL_FOR (int v = 0; v < vectors; v++) pivot[v] *= inverse;
    for (int64_t i = 0; i < rows; i++)
        UNROLL_FOR (int v = 0; v < vectors; v++) {
            vec d = column_load(v, vectors, x + i * step, lanes) - pivot[v];
            __builtin_prefetch(x + (i + NORM_ROWS) * step + v * LANES); /* the next block */
            sum[v] += d;
            square[v] = multiply_add(d, d, square[v]);
        }
    REAL p[4 * LANES], s[4 * LANES], q[4 * LANES];
    UNROLL_FOR (int v = 0; v < vectors; v++) {
        store(p + v * LANES, pivot[v]);
        store(s + v * LANES, sum[v]);
        store(q + v * LANES, square[v]);
    }
    double one = 1 / (double)rows, share = (double)rows / (before + (double)rows);
    for (int64_t k = 0; k < (vectors - 1) * LANES + lanes; k++) {
        double shift = (double)s[k] * one;
        combine_moments(mean + k, squares + k, share, before, (double)p[k] + shift,
                        (double)q[k] - (double)s[k] * shift);
    }
}

/* Where ReLU (relu = 1) has no top, or ReLU6 (6) has one. */
INLINE REAL top_of(int relu) { return relu > 1 ? (REAL)relu : (REAL)NAN; }

/* dy where the gradient of ReLU or ReLU6 at `value` is 1, else 0. */
INLINE vec gate_by(vec value, REAL top, vec dy) {
    return blend((value > (vec){0}) & ~(value >= broadcast(top)), dy, (vec){0});
}

/* A block of rows: sum dy and sum dy*(x - mean), added to double totals. */
typedef enum { UNGATED, GATED_BY_X, GATED_BY_Y } gating;

INLINE void sums_block(const gating gate, const int vectors, const norm_job *job, int64_t at, int64_t step,
                       int64_t column, int64_t rows, int64_t lanes, double *beta, double *gamma) {
    vec mean[4], scale[4], shift[4], first[4] = {{0}}, second[4] = {{0}};
    const REAL *tables = job->tables + column;
    UNROLL_FOR (int v = 0; v < vectors; v++) {
        mean[v] = column_load(v, vectors, tables, lanes);
        if (gate != GATED_BY_X) continue;
        scale[v] = column_load(v, vectors, tables + max64(NORM_WIDE, job->C), lanes);
        shift[v] = column_load(v, vectors, tables + 2 * max64(NORM_WIDE, job->C), lanes);
    }
    for (int64_t i = 0; i < rows; i++, at += step)
        UNROLL_FOR (int v = 0; v < vectors; v++) {
            if (gate != UNGATED) __builtin_prefetch(job->dy + at + GATED_AHEAD * step + v * LANES);
            vec d = column_load(v, vectors, job->x + at, lanes) - mean[v],
                g = column_load(v, vectors, job->dy + at, lanes);
            if (gate == GATED_BY_X) g = gate_by(multiply_add(d, scale[v], shift[v]), job->top, g);
            if (gate == GATED_BY_Y) {
                g = gate_by(column_load(v, vectors, job->y + at, lanes), job->top, g);
                store_part(job->gated + at + v * LANES, g, v < vectors - 1 ? LANES : lanes);
            }
            first[v] += g;
            second[v] = multiply_add(g, d, second[v]);
        }
    REAL b[4 * LANES], g[4 * LANES];
    UNROLL_FOR (int v = 0; v < vectors; v++) {
        store(b + v * LANES, first[v]);
        store(g + v * LANES, second[v]);
    }
    for (int64_t k = 0; k < (vectors - 1) * LANES + lanes; k++) {
        beta[k] += (double)b[k];
        gamma[k] += (double)g[k];
    }
}

INLINE void norm_block(const int vectors, const norm_job *job, int64_t at, int64_t step, int64_t column, int64_t rows,
                       int64_t lanes, double before, double *a, double *b) {
    if (!job->dy) moments_block(vectors, job->x + at, step, rows, lanes, before, a, b);
    else if (job->y) sums_block(GATED_BY_Y, vectors, job, at, step, column, rows, lanes, a, b);
    else if (job->gated_by_x) sums_block(GATED_BY_X, vectors, job, at, step, column, rows, lanes, a, b);
    else sums_block(UNGATED, vectors, job, at, step, column, rows, lanes, a, b);
}

/* Reduce `rows` rows of `columns` elements, starting at element `at`, into a[columns] and b[columns]. */
static void norm_rows(const norm_job *job, int64_t at, int64_t rows, int64_t columns, double *a, double *b) {
    for (int64_t row = 0; row < rows; row += NORM_ROWS) {
        int64_t count = min64(NORM_ROWS, rows - row), first = at + row * columns;
        for (int64_t c = 0, vectors; c < columns; c += vectors * LANES) {
            int64_t left = ceil_div(columns - c, LANES);
            vectors = left == 5 ? 3 : min64(left, 4); /* avoid a single vector: its chain of additions would stall */
            int64_t lanes = min64(LANES, columns - c - (vectors - 1) * LANES);
#define NORM_BLOCK(vectors) norm_block(vectors, job, first + c, columns, c, count, lanes, (double)row, a + c, b + c)
            SPECIALISE(vectors, NORM_BLOCK)
        }
    }
}

INLINE void combine_parts(const norm_job *job, int64_t before, int64_t count, const double *a, const double *b,
                          double *to_a, double *to_b) {
    double share = (double)count / ((double)before + (double)count);
    for (int64_t c = 0; c < job->C && count > 0; c++)
        if (job->dy) {
            to_a[c] += a[c];
            to_b[c] += b[c];
        } else combine_moments(to_a + c, to_b + c, share, (double)before, a[c], b[c]);
}

static void norm_part(void *context, int64_t part, int thread) {
    const norm_job *job = context;
    int64_t first = part_start(job, part), rows = part_start(job, part + 1) - first, C = job->C, fold = fold_of(C);
    double *a = job->first + part * C, *b = job->second + part * C, wide[2][NORM_WIDE];
    (void)thread;
    memset(a, 0, (size_t)C * sizeof(double));
    memset(b, 0, (size_t)C * sizeof(double));
    if (fold == 1) {
        norm_rows(job, first * C, rows, C, a, b);
        return;
    }
    int64_t count = rows / fold, rest = rows % fold;
    memset(wide, 0, sizeof wide);
    norm_rows(job, first * C, count, fold * C, wide[0], wide[1]);
    for (int64_t f = 0; f < fold; f++) combine_parts(job, f * count, count, wide[0] + f * C, wide[1] + f * C, a, b);
    memset(wide, 0, sizeof wide);
    norm_rows(job, (first + count * fold) * C, rest, C, wide[0], wide[1]);
    combine_parts(job, count * fold, rest, wide[0], wide[1], a, b);
}

/* Reduce in reverse order, while norm/apply.h goes forwards: the most recently touched data is still cached. */
static void norm_task(void *context, int64_t task, int thread) {
    const norm_job *job = context;
    norm_part(context, job->parts - 1 - task, thread);
}

/* x -> (x - mean)*scale + shift with the mean rounded to REAL; the shift compensates for the rounding error. */
INLINE void fill_entry(const REAL *mean, REAL *scale, REAL *shift, double exact_mean, double exact_scale,
                       double exact_shift) {
    *scale = (REAL)exact_scale;
    *shift = (REAL)(exact_shift - (exact_mean - (double)*mean) * (double)*scale);
}

/* scale = gamma * inverse_std, shift = beta. */
static void norm_factors(const fn_norm *n, double *scale, double *shift) {
    const REAL *gamma = n->gamma, *beta = n->beta;
    for (int64_t c = 0; c < n->C; c++) {
        scale[c] = gamma ? n->inverse_std[c] * (double)gamma[c] : n->inverse_std[c];
        shift[c] = beta ? (double)beta[c] : 0;
    }
}

/* Allocate the results of all parts. */
static fn_status norm_begin(norm_job *job) {
    job->parts = norm_parts(job->images, job->pixels);
    job->first = fn_alloc((size_t)(2 * job->parts * job->C) * sizeof(double), FN_SCRATCH);
    job->second = job->first + job->parts * job->C;
    return job->first ? FN_OK : FN_NO_MEMORY;
}

/* Combine all parts in order: mean and biased variance, or the two sums. */
static void norm_end(norm_job *job, double *first, double *second) {
    memset(first, 0, (size_t)job->C * sizeof(double));
    memset(second, 0, (size_t)job->C * sizeof(double));
    for (int64_t part = 0; part < job->parts; part++) {
        int64_t from = part_start(job, part), count = part_start(job, part + 1) - from;
        combine_parts(job, from, count, job->first + part * job->C, job->second + part * job->C, first, second);
    }
    int64_t rows = job->images * job->pixels;
    for (int64_t c = 0; c < job->C && !job->dy && rows > 0; c++) second[c] /= (double)rows;
    fn_free(job->first);
}

INLINE void norm_run(norm_job *job) {
    fn_parallel(job->parts, (double)(job->images * job->pixels) * (double)job->C / LANES, norm_task, job);
}

static fn_status norm_moments(int64_t images, int64_t pixels, int64_t C, const void *x, double *mean, double *var) {
    norm_job job = {.images = images, .pixels = pixels, .C = C, .x = x};
    if (C == 0) return FN_OK;
    fn_status status = norm_begin(&job);
    if (status == FN_OK) {
        norm_run(&job);
        norm_end(&job, mean, var);
    }
    return status;
}

static fn_status norm_sums(const fn_norm *n, const void *dy, const void *x, const void *y, void *gated, double *dgamma,
                           double *dbeta) {
    int64_t C = n->C, size = max64(NORM_WIDE, C), used = fold_of(C) * C;
    norm_job job = {.images = n->images, .pixels = n->pixels, .C = C, .x = x, .dy = dy, .y = y, .gated = gated};
    if (C == 0) return FN_OK;
    double *scale = fn_alloc((size_t)(2 * C) * sizeof(double) + (size_t)(3 * size) * sizeof(REAL), FN_SCRATCH);
    fn_status status = scale ? norm_begin(&job) : FN_NO_MEMORY;
    if (status == FN_OK) {
        REAL *tables = (REAL *)(scale + 2 * C);
        norm_factors(n, scale, scale + C);
        for (int64_t j = 0; j < used; j++) {
            tables[j] = (REAL)n->mean[j % C];
            fill_entry(tables + j, tables + size + j, tables + 2 * size + j, n->mean[j % C], scale[j % C],
                       scale[C + j % C]);
        }
        job.tables = tables;
        job.gated_by_x = n->relu && !y;
        job.top = top_of(n->relu);
        norm_run(&job);
        norm_end(&job, dbeta, dgamma);
        for (int64_t c = 0; c < C; c++) /* compensate for the rounding of the mean in every row */
            dgamma[c] = (dgamma[c] - (n->mean[c] - (double)(REAL)n->mean[c]) * dbeta[c]) * n->inverse_std[c];
    }
    fn_free(scale);
    return status;
}
