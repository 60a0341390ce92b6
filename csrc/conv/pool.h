/* A convolution and the max pooling after it, a few images at a time: the convolution's output is never stored, and its
 * gradient is computed block by block for the convolution's gradients, unless these visit only the maxima
 * (conv/pool_patches.h). The bits are those of the separate operations, except for sums over the maxima, such as the
 * bias gradient.  Needs conv/images.h, conv/pool_weight.h, conv/pool_input.h, pool/pool.h.
 */
typedef struct {
    const fn_pool *pool;
    int relu;
    REAL *y;
    char *index;
} pool_outputs_job;

INLINE int64_t index_bytes(const fn_pool *pool) { return max_kind(pool) == MAX_BYTES ? 1 : 4; }

static void pool_images(void *context, int64_t block, int64_t first, int64_t count, const REAL *x, int thread) {
    const pool_outputs_job *job = context;
    fn_pool pool = *job->pool;
    int64_t from = first * pool.P * pool.Q * pool.C;
    (void)block, (void)thread;
    pool.N = count;
    max_pool_run(1, &pool, x, job->relu, job->y + from, job->index + from * index_bytes(&pool));
}

static fn_status conv_pool_forward(const fn_conv *g, const fn_pool *pool, const void *x, const void *w,
                                   const void *bias, int relu, void *y, void *index) {
    if (goes_by_images(g)) {
        pool_outputs_job job = {pool, relu, y, index};
        int64_t blocks = ceil_div(g->N, few_images(g));
        return conv_forward_blocks(g, fn_threads(), x, w, bias, NULL, blocks, pool_images, &job);
    }
    const fn_epilogue end = {.shift = bias};
    REAL *outputs = fn_alloc((size_t)(g->N * g->P * g->Q * g->K) * sizeof(REAL), FN_SCRATCH);
    if (!outputs) return FN_NO_MEMORY;
    fn_status status = conv_forward(g, x, w, &end, outputs);
    if (status == FN_OK) status = max_pool(pool, outputs, relu, y, index);
    fn_free(outputs);
    return status;
}

typedef struct {
    const fn_pool *pool;
    const REAL *dy;
    const char *index;
} pool_gradient;

static void make_pool_gradient(const void *context, int threads, int64_t first, int64_t count, REAL *to) {
    const pool_gradient *pooled = context;
    fn_pool pool = *pooled->pool;
    int64_t from = first * pool.P * pool.Q * pool.C;
    pool.N = count;
    max_pool_gradient(threads, &pool, pooled->dy + from, pooled->index + from * index_bytes(&pool), to);
}

static fn_status conv_pool_backward(const fn_conv *g, const fn_pool *pool, const void *x, const void *w, const void *dy,
                                    const void *index, const void *add, void *dx, void *dw, void *db) {
    int threads = fn_threads();
    const pool_gradient pooled = {pool, dy, index};
    const column_job gated = {
        .rows = pool->N * pool->P * pool->Q, .columns = pool->C, .x = dy, .kind = max_kind(pool), .index = index};
    fn_status status = db ? column_run(gated, db) : FN_OK;
    if (status == FN_OK && dw && pooled_weight_fits(g, pool)) {
        status = pooled_weight_run(g, pool, threads, x, dy, index, dw);
        dw = NULL;
    }
    if (status == FN_OK && dx && pooled_input_fits(g, pool)) {
        status = pooled_input_run(g, pool, threads, w, dy, index, add, dx);
        dx = NULL;
    }
    if (status == FN_OK && (dx || dw))
        status = conv_gradients(g, threads, make_pool_gradient, &pooled, x, w, add, dx, dw);
    return status;
}
