/* The weight gradient of a convolution before max pooling, from what comes to the pooled outputs: each goes to the one
 * output that was its window's maximum, so that
 *   dw[k][c][r][s] = sum over pooled pixels of dy[pixel][k] * x[tap (r, s) of its maximum][c],
 * with windows of 2 x 2 a quarter of the products, and none for what a ReLU held back.
 *
 * Vectors run along a filter's rows, (S, C) side by side, over unaligned patches of x.  The pooled rows of the batch are
 * cut into a fixed number of parts, a part into bands: the input rows of a band are copied into a slab, and for each
 * filter those patches that count are listed, then summed up in registers, then added to the part's gradient
 * (K, R, S*C rounded up to vectors).  Parts are added in a fixed tree.
 */
typedef struct {
    conv_job input; /* where taps are, and the slab's shape */
    const fn_pool *pool;
    const REAL *dy;
    const uint8_t *index;
    int64_t parts, band_rows, row, size; /* numbers of a filter's row in partial gradients, and of all of one */
    int64_t slab_bytes, scratch_bytes;
    int32_t taps[256]; /* from where in the slab a window begins to its tap; the last: to nowhere in particular */
    REAL *partial;
    char *scratch;
} pooled_weight_job;

enum { PATCH_ROWS = 7, PATCH_VECTORS = VECTOR_BYTES == 64 ? 4 : 2, PATCH_SLAB = 8192, PATCH_PIXELS = 256, PATCH_FILTERS = 16 };

/* Add the sum of value * patch over a list to `rows` x `vectors` of the gradient. */
INLINE void sum_patches(const int rows, const int vectors, int64_t count, const int32_t *offsets, const REAL *values,
                        const REAL *x, int64_t line, REAL *to, int64_t to_row) {
    vec sum[PATCH_ROWS][PATCH_VECTORS] = {{{0}}};
    for (int64_t i = 0; i < count; i++) {
        const REAL *from = x + offsets[i];
        vec value = broadcast(values[i]);
        UNROLL for (int r = 0; r < rows; r++, from += line)
            UNROLL for (int v = 0; v < vectors; v++) sum[r][v] += value * load(from + v * LANES);
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++) store(to + r * to_row + v * LANES, load(to + r * to_row + v * LANES) + sum[r][v]);
}

INLINE void sum_patch_rows(const int rows, int vectors, int64_t count, const int32_t *offsets, const REAL *values,
                           const REAL *x, int64_t line, REAL *to, int64_t to_row) {
    switch (vectors) {
        case 1: sum_patches(rows, 1, count, offsets, values, x, line, to, to_row); break;
        case 2: sum_patches(rows, 2, count, offsets, values, x, line, to, to_row); break;
#if VECTOR_BYTES == 64
        case 3: sum_patches(rows, 3, count, offsets, values, x, line, to, to_row); break;
        default: sum_patches(rows, 4, count, offsets, values, x, line, to, to_row);
#endif
    }
}

/* All taps of one filter. */
static void sum_filter(const pooled_weight_job *job, int64_t count, const int32_t *offsets, const REAL *values, const REAL *slab,
                       REAL *to) {
    const conv_job *in = &job->input;
    int64_t line = in->tap_h * in->slab_columns * in->C;
    for (int64_t c = 0; c < job->row; c += PATCH_VECTORS * LANES) {
        int vectors = (int)min64(PATCH_VECTORS, (job->row - c) / LANES);
        for (int64_t r = 0, rows; r < in->R; r += rows) {
            int64_t left = in->R - r;
            const REAL *x = slab + r * line + c;
            REAL *sums = to + r * job->row + c;
            if (left >= PATCH_ROWS) rows = 7, sum_patch_rows(7, vectors, count, offsets, values, x, line, sums, job->row);
            else if (left >= 5) rows = 5, sum_patch_rows(5, vectors, count, offsets, values, x, line, sums, job->row);
            else if (left >= 3) rows = 3, sum_patch_rows(3, vectors, count, offsets, values, x, line, sums, job->row);
            else rows = 1, sum_patch_rows(1, vectors, count, offsets, values, x, line, sums, job->row);
        }
    }
}

/* For `filters` filters from k on, the patches that pooled rows [p, p + rows) of an image count, in a slab that begins with
 * conv output row `top`; their numbers in `counts`, their lists `most` apart. */
INLINE void list_patches(const pooled_weight_job *job, int filters, int64_t k, int64_t image, int64_t p, int64_t rows, int64_t top,
                         int64_t most, int32_t *counts, int32_t *offsets, REAL *values) {
    const conv_job *in = &job->input;
    const fn_pool *pool = job->pool;
    int64_t K = in->K, step = pool->stride_w * in->step_w * in->C;
    for (int i = 0; i < filters; i++) counts[i] = (int32_t)(i * most);
    for (int64_t i = p; i < p + rows; i++) {
        int64_t up = (i * pool->stride_h - pool->pad_top - top) * in->step_h * in->slab_columns;
        int64_t at = (image * pool->P + i) * pool->Q * K + k, window = (up - pool->pad_left * in->step_w) * in->C;
        for (int64_t q = 0; q < pool->Q; q++, at += K, window += step)
            for (int j = 0; j < filters; j++) {
                uint8_t which = job->index[at + j];
                int32_t count = counts[j];
                offsets[count] = (int32_t)window + job->taps[which];
                values[count] = job->dy[at + j];
                counts[j] = count + (which != 255);
            }
    }
    for (int i = 0; i < filters; i++) counts[i] -= (int32_t)(i * most);
}

static void pooled_weight_task(void *context, int64_t part, int thread) {
    const pooled_weight_job *job = context;
    const conv_job *in = &job->input;
    const fn_pool *pool = job->pool;
    int64_t all = in->N * pool->P, first = all * part / job->parts, last = all * (part + 1) / job->parts;
    char *scratch = job->scratch + thread * job->scratch_bytes;
    REAL *slab = (REAL *)scratch, *values = (REAL *)(scratch + job->slab_bytes), *to = job->partial + part * job->size;
    int64_t most = job->band_rows * pool->Q + 1; /* what does not count is written behind the list */
    int32_t *offsets = (int32_t *)(values + PATCH_FILTERS * most);
    memset(slab, 0, (size_t)job->slab_bytes);
    memset(to, 0, (size_t)job->size * sizeof(REAL));
    for (int64_t rows; first < last; first += rows) {
        int64_t image = first / pool->P, p = first % pool->P;
        rows = min64(min64(job->band_rows, pool->P - p), last - first);
        int64_t top = max64(p * pool->stride_h - pool->pad_top, 0);
        int64_t end = min64((p + rows - 1) * pool->stride_h - pool->pad_top + pool->R, in->P);
        fill_slab(in, image, top * in->step_h + in->first_h, slab_rows(in, end - top), slab);
        for (int64_t k = 0; k < in->K; k += PATCH_FILTERS) {
            int filters = (int)min64(PATCH_FILTERS, in->K - k);
            int32_t counts[PATCH_FILTERS];
            if (filters == PATCH_FILTERS) list_patches(job, PATCH_FILTERS, k, image, p, rows, top, most, counts, offsets, values);
            else list_patches(job, filters, k, image, p, rows, top, most, counts, offsets, values);
            for (int j = 0; j < filters; j++)
                sum_filter(job, counts[j], offsets + j * most, values + j * most, slab, to + (k + j) * in->R * job->row);
        }
    }
}

INLINE int64_t slab_line(const fn_conv *g) { return ((g->Q - 1) * g->stride_w + g->S) * g->C; }
/* Numbers of the slab that one pooled row needs. */
INLINE int64_t least_slab(const fn_conv *g, const fn_pool *pool) {
    return ((pool->R - 1) * g->stride_h + (g->R - 1) * g->dilation_h + 1) * slab_line(g);
}

/* Whether it pays, by cycles for a pooled output on vectors of 16: unaligned loads bound the one, FMAs the other, of which
 * Winograd leaves about half. */
INLINE int is_pooled_weight(const fn_conv *g, const fn_pool *pool) {
    if (g->groups > 1 || g->dilation_w > 1 || max_kind(pool) != MAX_BYTES || g->N * pool->P * pool->Q == 0) return 0;
    if ((is_winograd_weight(g) && fn_conv_algorithm() == FN_WINOGRAD) || least_slab(g, pool) > 1 << 28) return 0;
    double each = (double)(g->P * g->Q) / (double)(pool->P * pool->Q) * (is_winograd_weight(g) ? 0.27 : 0.5);
    double filled = (double)g->K / (double)(ceil_div(g->K, 16) * 16);
    return (double)(g->R * ceil_div(g->S * g->C, 16) + 3) < each * (double)(g->R * g->S * g->C) / 16 / filled;
}

static fn_status pooled_weight_run(const fn_conv *g, const fn_pool *pool, const void *x, const void *dy, const void *index,
                                   REAL *dw) {
    pooled_weight_job job = {.input = forward_job(g, 0, x, dw, NULL, NULL), .pool = pool, .dy = dy, .index = index};
    conv_job *in = &job.input;
    int64_t length = g->S * g->C, all = g->N * pool->P;
    in->slab_columns = slab_line(g) / g->C;
    job.row = ceil_div(length, LANES) * LANES, job.size = g->K * g->R * job.row;
    job.taps[255] = 0;
    for (int64_t i = 0; i < pool->R * pool->S; i++)
        job.taps[i] = (int32_t)((i / pool->S * in->step_h * in->slab_columns + i % pool->S * in->step_w) * g->C);

    /* Parts and bands set the order of summation: they depend on the shape alone.  Partial gradients take 4 MiB at most. */
    int64_t gradient_bytes = g->K * g->R * length * (int64_t)sizeof(REAL);
    job.parts = 1;
    while (job.parts < 16 && 2 * job.parts * gradient_bytes <= ((int64_t)4 << 20) && 2 * job.parts <= all) job.parts *= 2;
    job.band_rows = max64(1, min64(pool->P, PATCH_PIXELS / pool->Q));
    int64_t least = least_slab(g, pool), more = pool->stride_h * in->step_h * slab_line(g);
    job.band_rows = max64(1, min64(job.band_rows, (PATCH_SLAB - least) / more + 1));

    job.slab_bytes = whole_lines((least + (job.band_rows - 1) * more + LANES) * (int64_t)sizeof(REAL));
    job.scratch_bytes = whole_lines(job.slab_bytes + PATCH_FILTERS * (job.band_rows * pool->Q + 1) * (int64_t)(sizeof(REAL) + sizeof(int32_t)));
    job.partial = fn_alloc((size_t)(job.parts * job.size) * sizeof(REAL), FN_SCRATCH);
    job.scratch = fn_alloc((size_t)(fn_threads() * job.scratch_bytes), FN_SCRATCH);
    fn_status status = job.partial && job.scratch ? FN_OK : FN_NO_MEMORY;
    if (status == FN_OK) {
        fn_note("patches");
        fn_parallel(job.parts, (double)all * (double)pool->Q * (double)job.size / LANES, pooled_weight_task, &job);
        sum_parts(job.parts, job.size, job.partial);
        for (int64_t k = 0; k < g->K; k++)
            for (int64_t c = 0; c < g->C; c++)
                for (int64_t r = 0; r < g->R; r++)
                    for (int64_t s = 0; s < g->S; s++)
                        *dw++ = job.partial[(k * g->R + r) * job.row + s * g->C + c];
    }
    fn_free(job.partial);
    fn_free(job.scratch);
    return status;
}
