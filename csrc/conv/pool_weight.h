/* The weight gradient of a convolution before max pooling, patch by patch.  Needs conv/pool_patches.h.
 *
 * The pooled rows of the batch are split into parts, whose number depends on the shape alone, and each part into bands.
 * A band's input rows are copied into a slab. Then, for a few filters at a time, the patches at which a filter has a
 * gradient are listed. Each filter's patches, times their gradients, are summed in registers and added to the part's
 * gradient (K, R, S*C rounded up to vectors). In the end, the parts are added in a fixed tree.
 */
typedef struct {
    patch_job patches;
    int64_t parts, band_rows, slab_bytes, scratch_bytes;
    REAL *partial;
    char *scratch;
} pooled_weight_job;

/* List the patches of filters [k, k + filters) in pooled rows [p, p + rows) of an image. Offsets are in a slab that
 * starts at output row `top`; list j starts at element j * apart. Where the ReLU zeroed a window (index 255), its entry
 * is not counted, and the next one overwrites it. */
INLINE void list_patches(const patch_job *job, int filters, int64_t k, int64_t image, int64_t p, int64_t rows,
                         int64_t top, int64_t apart, int32_t *counts, int32_t *offsets, REAL *values) {
    const fn_pool *pool = job->pool;
    int64_t K = pool->C, step = window_step(job);
    for (int j = 0; j < filters; j++) counts[j] = (int32_t)(j * apart);
    for (int64_t i = p; i < p + rows; i++) {
        int64_t at = (image * pool->P + i) * pool->Q * K + k, window = first_window(job, i, top);
        for (int64_t q = 0; q < pool->Q; q++, at += K, window += step)
            for (int j = 0; j < filters; j++) {
                uint8_t which = job->index[at + j];
                int32_t count = counts[j];
                offsets[count] = (int32_t)window + job->taps[which];
                values[count] = job->dy[at + j];
                counts[j] = count + (which != 255);
            }
    }
    for (int j = 0; j < filters; j++) counts[j] -= (int32_t)(j * apart);
}

static void pooled_weight_task(void *context, int64_t part, int thread) {
    const pooled_weight_job *job = context;
    const patch_job *patches = &job->patches;
    const conv_problem *conv = &patches->conv;
    const fn_pool *pool = patches->pool;
    int64_t all = conv->N * pool->P, first = all * part / job->parts, last = all * (part + 1) / job->parts;
    int64_t size = patches->size, apart = job->band_rows * pool->Q + 1,
            row_stride = conv->tap_h * patches->slab_columns * conv->C;
    char *scratch = job->scratch + thread * job->scratch_bytes;
    REAL *slab = (REAL *)scratch, *values = (REAL *)(scratch + job->slab_bytes),
         *to = job->partial + part * conv->K * size;
    int32_t *offsets = (int32_t *)(values + LISTED_FILTERS * apart), counts[LISTED_FILTERS];
    memset(to, 0, (size_t)(conv->K * size) * sizeof(REAL));
    for (int64_t rows; first < last; first += rows) {
        int64_t image = first / pool->P, p = first % pool->P;
        rows = min64(min64(job->band_rows, pool->P - p), last - first);
        int64_t top = max64(p * pool->stride_h - pool->pad_top, 0);
        int64_t end = min64((p + rows - 1) * pool->stride_h - pool->pad_top + pool->R, conv->P);
        fill_slab(conv, patches->x, conv->C, patches->slab_columns, image, top * conv->stride_h + conv->first_h,
                  slab_rows(conv, end - top), slab);
        for (int64_t k = 0; k < conv->K; k += LISTED_FILTERS) {
            int filters = (int)min64(LISTED_FILTERS, conv->K - k);
            if (filters == LISTED_FILTERS)
                list_patches(patches, LISTED_FILTERS, k, image, p, rows, top, apart, counts, offsets, values);
            else list_patches(patches, filters, k, image, p, rows, top, apart, counts, offsets, values);
            for (int64_t j = 0, at = 0; j < filters; j++, at += apart)
                sum_list(patches, counts[j], offsets + at, values + at, slab, row_stride, to + (k + j) * size,
                         patches->row);
        }
    }
}

/* Bytes of a gradient whose rows are rounded up to MODEL_LANES, not LANES: the same for every instruction set. */
INLINE int64_t patch_gradient_bytes(const fn_conv *g) {
    return g->K * g->R * ceil_div(g->S * g->C, MODEL_LANES) * MODEL_LANES * (int64_t)sizeof(REAL);
}

/* Whether patches beat the other algorithms in estimated cycles per pooled output (csrc/tuning.h). Unaligned loads make
 * each vector of a patch cost a cycle. Large gradients do not fit: they would have few parts, and so few tasks. */
INLINE int pooled_weight_fits(const fn_conv *g, const fn_pool *pool) {
    double cycles = (double)(g->R * ceil_div(g->S * g->C, MODEL_LANES) + MODEL_PIXEL);
    double filled = (double)g->K / (double)(ceil_div(g->K, MODEL_LANES) * MODEL_LANES);
    double others = cycles_of_others(g, pool, g->P * g->Q) * (double)(g->R * g->S * g->C) / MODEL_LANES / filled;
    int enough_parts = WEIGHT_PARTS / 2 * patch_gradient_bytes(g) <= WEIGHT_PARTIAL_BYTES;
    return can_be_patches(g, pool) && enough_parts && cycles < others;
}

static fn_status pooled_weight_run(const fn_conv *g, const fn_pool *pool, int threads, const void *x, const void *dy,
                                   const void *index, REAL *dw) {
    pooled_weight_job job = {.patches = patches_of(g, pool, x, dy, index)};
    int64_t all = g->N * pool->P, total = g->K * job.patches.size;

    /* Parts and bands set the order of summation, so they must depend on the shape alone. The partial gradients take at
     * most WEIGHT_PARTIAL_BYTES together. */
    int64_t least = patch_slab(g, pool->R), more = pool->stride_h * g->stride_h * patch_row_stride(g);
    job.parts = 1;
    while (job.parts < WEIGHT_PARTS && 2 * job.parts * patch_gradient_bytes(g) <= WEIGHT_PARTIAL_BYTES &&
           2 * job.parts <= all)
        job.parts *= 2;
    job.band_rows = min64(min64(pool->P, BAND_PIXELS / pool->Q), (BAND_ELEMENTS - least) / more + 1);
    job.band_rows = max64(1, job.band_rows);

    int64_t listed = LISTED_FILTERS * (job.band_rows * pool->Q + 1);
    job.slab_bytes = whole_lines((least + (job.band_rows - 1) * more + LANES) * (int64_t)sizeof(REAL));
    job.scratch_bytes = whole_lines(job.slab_bytes + listed * (int64_t)(sizeof(REAL) + sizeof(int32_t)));
    job.partial = fn_alloc((size_t)(job.parts * total) * sizeof(REAL), FN_SCRATCH);
    job.scratch = fn_alloc((size_t)(threads * job.scratch_bytes), FN_SCRATCH);
    fn_status status = job.partial && job.scratch ? FN_OK : FN_NO_MEMORY;
    if (status == FN_OK) {
        fn_note(PATCHES);
        fn_parallel_on(threads, job.parts, (double)(all * pool->Q) * (double)total / LANES, pooled_weight_task, &job);
        sum_parts(threads, job.parts, total, job.partial);
        unpack_filters(&job.patches, job.partial, dw);
    }
    fn_free(job.partial);
    fn_free(job.scratch);
    return status;
}
