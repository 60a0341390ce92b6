/* The input gradient of a convolution before max pooling, patch by patch, for images and filters that fit in the cache.
 * Needs conv/pool_patches.h and conv/narrow.h.
 *
 * For each output pixel, the filters with a maximum there are listed, summed in registers, and added to the pixel's
 * patch of a frame: the gradient of an image including its padding.
 */
typedef struct {
    patch_job patches;
    int64_t rows, frame,
        scratch_bytes; /* rows of the frame; elements, including those that vectors reach past its end */
    const REAL *add; /* or NULL */
    REAL *dx, *filters; /* filters: (K, R, S*C rounded up with zeros) */
    char *scratch;
} pooled_input_job;

/* One pooled pixel: a list of filters for each tap, each with room for K; the last list holds filters whose window the
 * ReLU zeroed. */
INLINE void spread_pixel(const pooled_input_job *job, int64_t at, REAL *to, int32_t *counts, int32_t *offsets,
                         REAL *values) {
    const patch_job *patches = &job->patches;
    const conv_problem *conv = &patches->conv;
    int64_t K = conv->K, taps = patches->pool->R * patches->pool->S,
            row_stride = conv->tap_h * patches->slab_columns * conv->C;
    for (int64_t tap = 0; tap <= taps; tap++) counts[tap] = (int32_t)(tap * K);
    for (int64_t k = 0; k < K; k++) {
        int32_t count = counts[min64(patches->index[at + k], taps)]++;
        offsets[count] = (int32_t)(k * patches->size);
        values[count] = patches->dy[at + k];
    }
    for (int64_t tap = 0; tap < taps; tap++) {
        int64_t first = tap * K, count = counts[tap] - first;
        REAL *patch = to + patches->taps[tap];
        sum_list(patches, count, offsets + first, values + first, job->filters, patches->row, patch, row_stride);
    }
}

/* dx = add + the part of the frame inside the image. */
INLINE void take_frame(const pooled_input_job *job, int64_t image, const REAL *frame) {
    const conv_problem *conv = &job->patches.conv;
    int64_t W = conv->W * conv->C, inside = max64(0, min64(W, (job->patches.slab_columns + conv->first_w) * conv->C));
    for (int64_t h = 0; h < conv->H; h++) {
        int64_t at = (image * conv->H + h) * W, row = h - conv->first_h, here = row < job->rows ? inside : 0;
        const REAL *from = here ? frame + (row * job->patches.slab_columns - conv->first_w) * conv->C : frame;
        for (int64_t i = 0; i < W; i += LANES) {
            vec value = load_part(from + (i < here ? i : 0), here - i);
            if (job->add) value += load_part(job->add + at + i, W - i);
            store_part(job->dx + at + i, value, W - i);
        }
    }
}

static void pooled_input_task(void *context, int64_t image, int thread) {
    const pooled_input_job *job = context;
    const fn_pool *pool = job->patches.pool;
    int64_t step = window_step(&job->patches), lists = pool->R * pool->S + 1;
    REAL *frame = (REAL *)(job->scratch + thread * job->scratch_bytes), *values = frame + job->frame;
    int32_t *offsets = (int32_t *)(values + lists * pool->C), *counts = offsets + lists * pool->C;
    memset(frame, 0, (size_t)job->frame * sizeof(REAL));
    for (int64_t p = 0; p < pool->P; p++) {
        int64_t at = (image * pool->P + p) * pool->Q * pool->C, window = first_window(&job->patches, p, 0);
        for (int64_t q = 0; q < pool->Q; q++, at += pool->C, window += step)
            spread_pixel(job, at, frame + window, counts, offsets, values);
    }
    take_frame(job, image, frame);
}

/* Whether it pays, by estimated cycles per pooled output: the products with a filter, plus a penalty if filters come
 * from L2, plus a patch read and written for each non-empty list. */
INLINE int pooled_input_fits(const fn_conv *g, const fn_pool *pool) {
    int64_t vectors = g->R * ceil_div(g->S * g->C, MODEL_LANES), filters = MODEL_LANES * g->K * vectors;
    double lists = (double)min64(pool->R * pool->S, g->K) / (double)g->K;
    double cycles = (double)vectors * (MODEL_PATCH + (double)filters / MODEL_FAR + MODEL_LIST * lists) + MODEL_PIXEL;
    double channels =
        g->C <= NARROW_CHANNELS ? (double)g->C / MODEL_LANES : (double)ceil_div(g->C, MODEL_LANES); /* in vectors */
    int64_t pixels = g->H * g->W / (g->stride_h * g->stride_w);
    double others = cycles_of_others(g, pool, pixels) * (double)(g->R * g->S) * channels;
    int cached = patch_slab(g, g->P) <= FRAME_ELEMENTS && filters <= FRAME_FILTERS;
    return cached && can_be_patches(g, pool) && cycles < others;
}

static fn_status pooled_input_run(const fn_conv *g, const fn_pool *pool, int threads, const REAL *w, const void *dy,
                                  const void *index, const void *add, void *dx) {
    pooled_input_job job = {.patches = patches_of(g, pool, NULL, dy, index), .add = add, .dx = dx};
    int64_t lists = pool->R * pool->S + 1, size = g->K * job.patches.size;
    job.rows = patch_slab(g, g->P) / patch_row_stride(g);
    job.frame = patch_slab(g, g->P) + LANES;
    job.scratch_bytes =
        (job.frame + lists * g->K) * (int64_t)sizeof(REAL) + (lists * g->K + lists) * (int64_t)sizeof(int32_t);
    job.scratch_bytes = whole_lines(job.scratch_bytes);
    job.filters = fn_alloc((size_t)size * sizeof(REAL), FN_SCRATCH);
    job.scratch = fn_alloc((size_t)(threads * job.scratch_bytes), FN_SCRATCH);
    fn_status status = job.filters && job.scratch ? FN_OK : FN_NO_MEMORY;
    if (status == FN_OK) {
        fn_note(PATCHES);
        memset(job.filters, 0, (size_t)size * sizeof(REAL));
        pack_filters(&job.patches, w, job.filters);
        fn_parallel_on(threads, g->N, (double)(g->N * pool->P * pool->Q) * (double)size / LANES, pooled_input_task,
                       &job);
    }
    fn_free(job.filters);
    fn_free(job.scratch);
    return status;
}
