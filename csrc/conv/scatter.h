/* The input gradient of a layer with few input channels, whose vectors would be at least half empty, or with a stride,
 * whose phases have short sums: computes the products first and sums over taps afterwards.  Needs conv/job.h.
 *
 * A row of dy times the weights gives each pixel's contributions to all its taps, [pixel][r][s][c]: a matrix product
 * that reduces over output channels only. The S*C elements of a filter row are then added to a run of a row of dx. Each
 * element of dx sums its contributions by row of dy, then by SCATTER_SPAN of pixels, then by class: pixels of one class
 * are so far apart that their runs do not overlap, so their additions are independent.
 */
static int scatter_fits(const fn_conv *g) {
    int winograd = g->stride_h == 1 && g->stride_w == 1 && g->dilation_h == 1 && g->R == g->S &&
                   choose_winograd(g->R, g->K, g->C, g->H, g->W);
    return g->groups == 1 && g->dilation_w == 1 && g->R * g->S > 1 && !winograd &&
           g->C <= (g->stride_h * g->stride_w > 1 ? SCATTER_STRIDED : SCATTER_CHANNELS);
}

typedef struct {
    const input_gradient *of;
    int64_t band, bands; /* rows of dx in a task, tasks in an image */
    int64_t width, classes; /* elements of a pixel, R*S*C rounded up; pixels from one of a class to the next */
    REAL *weights; /* [panel][k][lane], lane for (r, s, c) */
    REAL *sums; /* for each thread: [pixel][r][s][c] of a span */
} scatter_job;

/* to[j] += from[j] for j < run; a run takes `vectors` vectors (0: any number). */
INLINE void add_run(const int vectors, int64_t run, const REAL *from, REAL *to) {
    int64_t j = 0;
    if (vectors)
        UNROLL_FOR (int v = 0; v < vectors - 1; v++, j += LANES) store(to + j, load(to + j) + load(from + j));
    else
        for (; j + LANES < run; j += LANES) store(to + j, load(to + j) + load(from + j));
    store_part(to + j, load_part(to + j, run - j) + load_part(from + j, run - j), run - j);
}

/* One class of pixels: for i < count, r < rows, j < run,
 * to[i*to_step + r*row_stride + j] += from[i*from_step + r*run + j]. */
INLINE void add_class_sized(const int vectors, int64_t count, int64_t rows, int64_t run, const REAL *from,
                            int64_t from_step, REAL *to, int64_t to_step, int64_t row_stride) {
    for (int64_t i = 0; i < count; i++, from += from_step, to += to_step)
        for (int64_t r = 0; r < rows; r++) add_run(vectors, run, from + r * run, to + r * row_stride);
}

static void add_class(int64_t count, int64_t rows, int64_t run, const REAL *from, int64_t from_step, REAL *to,
                      int64_t to_step, int64_t row_stride) {
    if (run <= LANES) add_class_sized(1, count, rows, run, from, from_step, to, to_step, row_stride);
    else if (run <= 2 * LANES) add_class_sized(2, count, rows, run, from, from_step, to, to_step, row_stride);
    else add_class_sized(0, count, rows, run, from, from_step, to, to_step, row_stride);
}

/* Products of dy pixels [q, q + count) of one row. */
static void scatter_products(const scatter_job *job, const REAL *dy, int64_t count, REAL *sums) {
    const fn_conv *g = job->of->g;
    const int64_t start = 0;
    segments along = {1, g->K, &start};
    epilogue none = {0};
    const REAL *rows[SCATTER_SPAN];
    REAL *outs[SCATTER_SPAN];
    for (int64_t i = 0; i < count; i++) {
        rows[i] = dy + i * g->K;
        outs[i] = sums + i * job->width;
    }
    const char *ahead = (const char *)(dy + count * g->K); /* the next pixels, prefetched gradually */
    int64_t tiles = ceil_div(count, TILE_ROWS) * ceil_div(job->width, PANEL);
    int64_t share = ceil_div(count * g->K * (int64_t)sizeof(REAL), 64 * tiles) * 64;
    for (int64_t column = 0; column < job->width; column += PANEL) {
        tile_store end = {&none, column, min64(PANEL, job->width - column), LIVE};
        for (int64_t i = 0; i < count; i += TILE_ROWS, ahead += share) {
            for (int64_t j = 0; j < share; j += 64) __builtin_prefetch(ahead + j);
            row_tiles(min64(TILE_ROWS, count - i), rows + i, along, job->weights + column * g->K, outs + i, end,
                      (tile_ahead){0});
        }
    }
}

/* Add the contributions of pixels [q, q + count) of row p to rows [from, to) of one image's dx. */
static void scatter_sums(const scatter_job *job, int64_t p, int64_t q, int64_t count, int64_t from, int64_t to,
                         const REAL *sums, REAL *dx) {
    const fn_conv *g = job->of->g;
    int64_t C = g->C, run = g->S * C, step = g->stride_w * C, row_stride = g->dilation_h * g->W * C, r0, r1;
    int64_t h = p * g->stride_h - g->pad_top, w = q * g->stride_w - g->pad_left; /* of the first pixel and tap */
    int64_t inside = min64(count, ceil_div(max64(0, -w), g->stride_w)); /* pixels [inside, outside) see no edge */
    int64_t outside = max64(inside, min64(count, ceil_div(max64(0, g->W - g->S + 1 - w), g->stride_w)));
    taps_inside(h - from, g->dilation_h, to - from, g->R, &r0, &r1);
    sums += r0 * run;
    dx += h * g->W * C + r0 * row_stride;
    for (int64_t i = inside ? 0 : outside; i < count; i = i + 1 == inside ? outside : i + 1) {
        int64_t left = w + i * g->stride_w, s0 = max64(0, -left), s1 = min64(g->S, g->W - left);
        for (int64_t r = 0; r < r1 - r0 && s0 < s1; r++)
            add_run(0, (s1 - s0) * C, sums + i * job->width + r * run + s0 * C, dx + r * row_stride + (left + s0) * C);
    }
    for (int64_t class = inside; class < min64(inside + job->classes, outside); class ++)
        add_class(ceil_div(outside - class, job->classes), r1 - r0, run, sums + class * job->width,
                  job->classes * job->width, dx + w * C + class * step, job->classes * step, row_stride);
}

static void scatter_task(void *context, int64_t task, int thread) {
    const scatter_job *job = context;
    const fn_conv *g = job->of->g;
    int64_t image = task / job->bands, from = task % job->bands * job->band, to = min64(from + job->band, g->H);
    int64_t row_stride = g->W * g->C, reach = (g->R - 1) * g->dilation_h, first = image * g->H * row_stride;
    int64_t p0 = max64(0, ceil_div(max64(0, from + g->pad_top - reach), g->stride_h));
    int64_t p1 = min64(g->P, (to - 1 + g->pad_top) / g->stride_h + 1);
    REAL *sums = job->sums + thread * SCATTER_SPAN * job->width, *dx = job->of->dx + first;
    memset(dx + from * row_stride, 0, (size_t)((to - from) * row_stride) * sizeof(REAL));
    for (int64_t p = p0; p < p1; p++)
        for (int64_t q = 0; q < g->Q; q += SCATTER_SPAN) {
            int64_t count = min64(SCATTER_SPAN, g->Q - q);
            scatter_products(job, job->of->dy + ((image * g->P + p) * g->Q + q) * g->K, count, sums);
            scatter_sums(job, p, q, count, from, to, sums, dx);
        }
    if (job->of->add)
        add_run(0, (to - from) * row_stride, job->of->add + first + from * row_stride, dx + from * row_stride);
}

static void scatter_weights(const scatter_job *job, const REAL *w) {
    const fn_conv *g = job->of->g;
    int64_t taps = g->R * g->S;
    for (int64_t k = 0; k < g->K; k++, w += g->C * taps)
        for (int64_t column = 0; column < ceil_div(job->width, PANEL) * PANEL; column++) {
            REAL *to = job->weights + column / PANEL * PANEL * g->K + k * PANEL + column % PANEL;
            *to = column < taps * g->C ? w[column % g->C * taps + column / g->C] : 0;
        }
}

static fn_status scatter_run(const input_gradient *of) {
    const fn_conv *g = of->g;
    scatter_job job = {.of = of, .width = ceil_div(g->R * g->S * g->C, LANES) * LANES};
    int threads = of->threads;
    /* A store appears to block its whole vector, so runs are rounded up to SCATTER_APART_BYTES. */
    int64_t run = ceil_div(g->S * g->C * (int64_t)sizeof(REAL), SCATTER_APART_BYTES) * SCATTER_APART_BYTES;
    job.classes = ceil_div(run / (int64_t)sizeof(REAL), g->stride_w * g->C);
    /* Several tasks for each thread. Adjacent bands both compute the products of the dy rows that they share, so bands
     * must not be too low. */
    int64_t wanted = threads > 1 ? ceil_div(fn_speed.tasks_per_thread * threads, g->N) : 1;
    job.band = max64(ceil_div(g->H, wanted), fn_speed.scatter_rows * ((g->R - 1) * g->dilation_h + 1));
    job.bands = ceil_div(g->H, job.band);
    int64_t weights = ceil_div(job.width, PANEL) * PANEL * g->K;
    job.weights = fn_alloc((size_t)(weights + threads * SCATTER_SPAN * job.width) * sizeof(REAL), FN_SCRATCH);
    if (!job.weights) return FN_NO_MEMORY;
    job.sums = job.weights + weights;
    scatter_weights(&job, of->w);
    double work = (double)(g->N * g->P * g->Q) * (double)job.width * (double)(g->K + 2) / LANES;
    fn_parallel_on(threads, g->N * job.bands, work, scatter_task, &job);
    fn_free(job.weights);
    return FN_OK;
}
