/* The gradients of a convolution before max pooling, from the gradient of the pooled outputs. Each window has one
 * non-zero, at its maximum, so 2 x 2 windows need a quarter of the products, and none where the ReLU was inactive:
 *   dw[k][c][r][s] = sum over pooled pixels of dy[pixel][k] * x[tap (r, s) of its maximum][c],
 *   dx[tap (r, s) of its maximum][c] += dy[pixel][k] * w[k][c][r][s].
 *
 * Vectors run along a filter's rows: S*C contiguous elements, rounded up to vectors, read against unaligned patches of
 * the input. This header is shared by the two gradients, conv/pool_weight.h and conv/pool_input.h. Needs
 * conv/grad_weight.h and pool/pool.h.
 */
typedef struct {
    conv_problem conv;
    int64_t slab_columns; /* of the slab or frame with the patches */
    const fn_pool *pool;
    const REAL *x, *dy;
    const uint8_t *index;
    int64_t row, size; /* elements of a filter's row, rounded up, and of a filter */
    int32_t taps[256]; /* from a window's start to each tap's; the last entry, for no tap, is 0 */
} patch_job;

static const char PATCHES[] = "patches"; /* as profiles show it */
enum { PATCH_ROWS = 7, PATCH_VECTORS = VECTOR_BYTES == 64 ? 4 : 2 };

INLINE int64_t patch_row_stride(const fn_conv *g) { return ((g->Q - 1) * g->stride_w + g->S) * g->C; }
/* The number of slab elements that `rows` rows of outputs read. */
INLINE int64_t patch_slab(const fn_conv *g, int64_t rows) {
    return ((rows - 1) * g->stride_h + (g->R - 1) * g->dilation_h + 1) * patch_row_stride(g);
}

/* Whether Winograd would compute the weight gradient. */
INLINE int winograd_weight_applies(const fn_conv *g) {
    const weight_gradient of = weight_gradient_of(g, 0, 1, NULL, NULL, NULL);
    return winograd_weight_fits(&of);
}

INLINE int can_be_patches(const fn_conv *g, const fn_pool *pool) {
    if (g->groups > 1 || g->dilation_w > 1 || g->N * pool->P * pool->Q == 0) return 0;
    if (dilated(pool) || max_kind(pool) != MAX_BYTES) return 0;
    return !(winograd_weight_applies(g) && fn_conv_algorithm() == FN_WINOGRAD) && patch_slab(g, pool->R) < 1 << 28;
}

/* Cycles of the other algorithms per tap and MODEL_LANES channels, for all output pixels of one window. */
INLINE double cycles_of_others(const fn_conv *g, const fn_pool *pool, int64_t pixels) {
    double each = !winograd_weight_applies(g) ? MODEL_DIRECT : g->R == 3 ? MODEL_WINOGRAD_3 : MODEL_WINOGRAD_5;
    return each * (double)pixels / (double)(pool->P * pool->Q);
}

static patch_job patches_of(const fn_conv *g, const fn_pool *pool, const void *x, const void *dy, const void *index) {
    patch_job job = {.conv = forward_problem(g), .pool = pool, .x = x, .dy = dy, .index = index};
    job.slab_columns = patch_row_stride(g) / g->C;
    job.row = ceil_div(g->S * g->C, LANES) * LANES;
    job.size = g->R * job.row;
    for (int64_t i = 0; i < pool->R * pool->S; i++) {
        int64_t h = i / pool->S * g->stride_h, w = i % pool->S * g->stride_w;
        job.taps[i] = (int32_t)((h * job.slab_columns + w) * g->C);
    }
    return job;
}

/* Copy weights (K, C, R, S) to filters with rows rounded up to whole vectors. */
INLINE void pack_filters(const patch_job *job, const REAL *weights, REAL *filters) {
    const conv_problem *conv = &job->conv;
    for (int64_t k = 0; k < conv->K; k++, filters += job->size)
        for (int64_t c = 0; c < conv->C; c++)
            for (int64_t r = 0; r < conv->R; r++)
                for (int64_t s = 0; s < conv->S; s++) filters[r * job->row + s * conv->C + c] = *weights++;
}

/* Copy such filters back to weights (K, C, R, S). */
INLINE void unpack_filters(const patch_job *job, const REAL *filters, REAL *weights) {
    const conv_problem *conv = &job->conv;
    for (int64_t k = 0; k < conv->K; k++, filters += job->size)
        for (int64_t c = 0; c < conv->C; c++)
            for (int64_t r = 0; r < conv->R; r++)
                for (int64_t s = 0; s < conv->S; s++) *weights++ = filters[r * job->row + s * conv->C + c];
}

/* The offset of pooled row p's first window, in a slab starting at output row `top`, and the windows' distance.
 */
INLINE int64_t first_window(const patch_job *job, int64_t p, int64_t top) {
    const conv_problem *conv = &job->conv;
    const fn_pool *pool = job->pool;
    return ((p * pool->stride_h - pool->pad_top - top) * conv->stride_h * job->slab_columns -
            pool->pad_left * conv->stride_w) *
           conv->C;
}
INLINE int64_t window_step(const patch_job *job) { return job->pool->stride_w * job->conv.stride_w * job->conv.C; }

/* to += the sum over a list of values[i] * from[offsets[i]...], for `rows` x `vectors` vectors; of a row's last vector
 * only the lanes in `last`. */
INLINE void sum_patches(const int rows, const int vectors, int64_t count, const int32_t *offsets, const REAL *values,
                        const REAL *from, int64_t from_row, mask last, REAL *to, int64_t to_row) {
    vec sum[PATCH_ROWS][PATCH_VECTORS] = {{{0}}};
    for (int64_t i = 0; i < count; i++) {
        const REAL *at = from + offsets[i];
        vec value = broadcast(values[i]);
        UNROLL_FOR (int r = 0; r < rows; r++, at += from_row)
            UNROLL_FOR (int v = 0; v < vectors; v++) sum[r][v] += value * load(at + v * LANES);
    }
    UNROLL_FOR (int r = 0; r < rows; r++, to += to_row)
        UNROLL_FOR (int v = 0; v < vectors; v++) {
            vec old = load(to + v * LANES), more = old + sum[r][v];
            store(to + v * LANES, v < vectors - 1 ? more : blend(last, more, old));
        }
}

INLINE void sum_patch_rows(const int rows, int vectors, int64_t count, const int32_t *offsets, const REAL *values,
                           const REAL *from, int64_t from_row, mask last, REAL *to, int64_t to_row) {
    switch (vectors) {
    case 1: sum_patches(rows, 1, count, offsets, values, from, from_row, last, to, to_row); break;
    case 2: sum_patches(rows, 2, count, offsets, values, from, from_row, last, to, to_row); break;
#if VECTOR_BYTES == 64
    case 3: sum_patches(rows, 3, count, offsets, values, from, from_row, last, to, to_row); break;
    default: sum_patches(rows, 4, count, offsets, values, from, from_row, last, to, to_row);
#endif
    }
}

/* All rows of the patches. */
static void sum_list(const patch_job *job, int64_t count, const int32_t *offsets, const REAL *values, const REAL *from,
                     int64_t from_row, REAL *to, int64_t to_row) {
    int64_t length = job->conv.S * job->conv.C, rows;
    if (count == 0) return;
    for (int64_t c = 0; c < length; c += PATCH_VECTORS * LANES) {
        int vectors = (int)min64(PATCH_VECTORS, ceil_div(length - c, LANES));
        mask last = lane_numbers() < broadcast_whole(length - c - (vectors - 1) * LANES);
        for (int64_t r = 0; r < job->conv.R; r += rows) {
            const REAL *here = from + r * from_row + c;
            REAL *there = to + r * to_row + c;
            int64_t left = job->conv.R - r;
            rows = left >= PATCH_ROWS ? PATCH_ROWS : left >= 5 ? 5 : left >= 3 ? 3 : 1;
#define PATCH_CASE(rows) \
    case rows: sum_patch_rows(rows, vectors, count, offsets, values, here, from_row, last, there, to_row); break;
            switch (rows) { PATCH_CASE(1) PATCH_CASE(3) PATCH_CASE(5) PATCH_CASE(PATCH_ROWS) }
        }
    }
}
