/* Input gradients of strided layers with few input channels (of RGB images, say): as a job for each phase of the stride they
 * would have short sums and vectors that are mostly empty.
 *
 * A pixel of dy times all weights, (K) x (K, R*S*C), gives what it adds to the R x S pixels of dx under its window: R
 * segments of S*C neighbours.  The products of a block of pixels lie in a buffer per thread and are then added where
 * they belong, in the order of the pixels.  A task makes a band of rows of one image's dx, and computes again what its
 * neighbours compute for the rows that they share.
 */
typedef struct {
    const fn_conv *g;
    const REAL *w, *dy, *add;
    REAL *dx, *panels, *buffers; /* panels: the weights; buffers: per thread, SCATTER_BLOCK x columns */
    int64_t columns, bands, band_rows;
} scatter_job;

enum { SCATTER_CHANNELS = 4, SCATTER_BLOCK = 4 * TILE_ROWS };

INLINE int is_scattered(const fn_conv *g) { /* measured: 1.3 to 3 times as fast as phases; even at 6 to 16 channels */
    return g->C <= SCATTER_CHANNELS && g->groups == 1 && g->dilation_w == 1 && g->K >= 8 && g->S > 1 &&
           g->stride_h * g->stride_w > 1;
}

static void scatter_weights(void *context, int64_t panel, int thread) { /* (K, PANEL) of columns (r, s, c) */
    const scatter_job *job = context;
    const fn_conv *g = job->g;
    REAL *to = job->panels + panel * PANEL * g->K;
    int64_t taps = g->R * g->S, size = taps * g->C;
    (void)thread;
    for (int64_t k = 0; k < g->K; k++)
        for (int64_t i = panel * PANEL; i < (panel + 1) * PANEL; i++)
            *to++ = i < size ? job->w[k * size + i % g->C * taps + i / g->C] : 0;
}

INLINE void add_numbers(REAL *to, const REAL *from, int64_t count) {
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) store(to + i, load(to + i) + load(from + i));
    if (VECTOR_BYTES == 64) store_part(to + i, load_part(to + i, count - i) + load_part(from + i, count - i), count - i);
    else
        for (; i < count; i++) to[i] += from[i];
}

/* Add the products of the pixel (p, q) to rows [first, last) of an image's dx. */
INLINE void scatter_pixel(const fn_conv *g, int64_t p, int64_t q, const REAL *products, REAL *dx, int64_t first, int64_t last) {
    int64_t left = q * g->stride_w - g->pad_left, s0 = max64(0, -left), s1 = min64(g->S, g->W - left);
    for (int64_t r = 0; r < g->R && s0 < s1; r++) {
        int64_t h = p * g->stride_h - g->pad_top + r * g->dilation_h;
        if (h < first || h >= last) continue;
        add_numbers(dx + (h * g->W + left + s0) * g->C, products + (r * g->S + s0) * g->C, (s1 - s0) * g->C);
    }
}

static void scatter_task(void *context, int64_t task, int thread) {
    const scatter_job *job = context;
    const fn_conv *g = job->g;
    int64_t image = task / job->bands, line = g->W * g->C, size = g->H * line, K = g->K;
    int64_t first = task % job->bands * job->band_rows, last = min64(first + job->band_rows, g->H);
    REAL *dx = job->dx + image * size, *buffer = job->buffers + thread * SCATTER_BLOCK * job->columns;
    if (job->add) memcpy(dx + first * line, job->add + image * size + first * line, (size_t)((last - first) * line) * sizeof(REAL));
    else memset(dx + first * line, 0, (size_t)((last - first) * line) * sizeof(REAL));
    int64_t above = first + g->pad_top - (g->R - 1) * g->dilation_h; /* windows that start there reach row `first` */
    int64_t p = above > 0 ? ceil_div(above, g->stride_h) : 0, q = 0, end = min64(g->P, (last - 1 + g->pad_top) / g->stride_h + 1);
    const REAL *dy = job->dy + (image * g->P + p) * g->Q * K;
    const epilogue none = {0};
    const ending whole_panel = {&none, 0, PANEL};
    const int64_t start = 0;
    for (int64_t pixels = (end - p) * g->Q; pixels > 0; pixels -= SCATTER_BLOCK, dy += SCATTER_BLOCK * K) {
        int64_t block = min64(SCATTER_BLOCK, pixels);
        for (int64_t panel = 0; panel < job->columns; panel += PANEL)
            for (int64_t i = 0; i < block; i += TILE_ROWS) {
                int live = (int)min64(TILE_ROWS, block - i);
                const REAL *rows[TILE_ROWS];
                REAL *products[TILE_ROWS];
                for (int j = 0; j < TILE_ROWS; j++) {
                    int64_t pixel = i + min64(j, live - 1);
                    rows[j] = dy + pixel * K, products[j] = buffer + pixel * job->columns + panel;
                }
                row_tile(live, rows, (segments){1, K, &start}, job->panels + panel * K, products, whole_panel);
            }
        for (int64_t i = 0; i < block; i++) {
            scatter_pixel(g, p, q, buffer + i * job->columns, dx, first, last);
            if (++q == g->Q) q = 0, p++;
        }
    }
}

static fn_status scatter_grad_input(const fn_conv *g, const void *dy, const void *w, const void *add, void *dx) {
    int64_t panels = ceil_div(g->R * g->S * g->C, PANEL);
    scatter_job job = {.g = g, .w = w, .dy = dy, .add = add, .dx = dx, .columns = panels * PANEL};
    job.band_rows = max64(32, 8 * g->R * g->dilation_h); /* an eighth is computed twice at most */
    job.bands = ceil_div(g->H, job.band_rows);
    job.panels = fn_alloc((size_t)(job.columns * g->K) * sizeof(REAL), FN_SCRATCH);
    job.buffers = fn_alloc((size_t)(fn_threads() * SCATTER_BLOCK * job.columns) * sizeof(REAL), FN_SCRATCH);
    fn_status status = job.panels && job.buffers ? FN_OK : FN_NO_MEMORY;
    if (status == FN_OK) {
        double work = (double)(g->N * g->P * g->Q) * (double)job.columns * (double)(g->K + 4) / LANES;
        fn_parallel(panels, (double)job.columns * (double)g->K, scatter_weights, &job);
        fn_parallel(g->N * job.bands, work + (double)(g->N * g->H * g->W * g->C) / LANES, scatter_task, &job);
    }
    fn_free(job.panels);
    fn_free(job.buffers);
    return status;
}
