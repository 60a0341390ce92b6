/* A convolution and the max pooling after it, some images at a time (conv_images.h): what is pooled is never kept, and what
 * pooling gives back is made where the convolution's gradients read it, or only its maxima are summed up (conv_pool_patches.h).
 * The bits are those of one operation after the other, but for such sums, of which the bias' is one.
 */
typedef struct {
    const conv_job *conv;
    const fn_pool *pool;
    int relu;
    REAL *y, *buffers; /* buffers: for each thread, outputs of `together` images */
    char *index;
    int64_t together;
    fn_status status;
} conv_pool_job;

INLINE int64_t index_bytes(const fn_pool *pool) { return max_kind(pool) == MAX_BYTES ? 1 : 4; }

static void conv_pool_task(void *context, int64_t task, int thread) {
    conv_pool_job *both = context;
    conv_job conv = *both->conv;
    fn_pool pool = *both->pool;
    int64_t first = task * both->together, pooled = pool.P * pool.Q * pool.C;
    const REAL *in = conv.in + first * conv.H * conv.W * conv.in_pixel;
    pool.N = min64(both->together, conv.N - first);
    conv.out = both->buffers + thread * both->together * conv.out_image;
    int before = fn_use_threads(1);
    note_failure(conv_run_images(&conv, in, 0, pool.N), &both->status);
    max_pool(&pool, conv.out, both->relu, both->y + first * pooled, both->index + first * pooled * index_bytes(&pool));
    fn_use_threads(before);
}

static fn_status conv_pool_forward(const fn_conv *g, const fn_pool *pool, const void *x, const void *w,
                                   const void *bias, int relu, void *y, void *index) {
    const fn_epilogue end = {NULL, bias, NULL, 0};
    int64_t image = g->P * g->Q * g->K, by_images = goes_by_images(g), together = by_images ? few_images(g) : g->N;
    REAL *buffers = fn_alloc((size_t)((by_images ? fn_threads() : 1) * together * image) * sizeof(REAL), FN_SCRATCH);
    if (!buffers) return FN_NO_MEMORY;
    fn_status status = FN_OK;
    if (by_images) {
        conv_job job = forward_job(g, 0, x, w, &end, buffers);
        conv_pool_job both = {&job, pool, relu, y, buffers, index, together, FN_OK};
        job.form = conv_choose(&job);
        conv_measure(&job);
        job.prepared = fn_alloc((size_t)job.prepared_bytes, FN_SCRATCH);
        if (job.prepared) {
            conv_prepare(&job);
            double work = (double)(g->N * image) * (double)(g->C * g->R * g->S) / LANES;
            fn_parallel(ceil_div(g->N, together), work, conv_pool_task, &both);
        } else both.status = FN_NO_MEMORY;
        fn_free(job.prepared);
        status = both.status;
    } else {
        status = conv_forward(g, x, w, &end, buffers);
        if (status == FN_OK) status = max_pool(pool, buffers, relu, y, index);
    }
    fn_free(buffers);
    return status;
}

typedef struct {
    const fn_pool *pool;
    const REAL *dy;
    const char *index;
} pool_images;

static void pool_gradient_of_images(const void *context, int64_t first, int64_t count, REAL *to) {
    const pool_images *pooled = context;
    fn_pool pool = *pooled->pool;
    int64_t from = first * pool.P * pool.Q * pool.C;
    pool.N = count;
    max_pool_backward(&pool, pooled->dy + from, pooled->index + from * index_bytes(&pool), to);
}

static fn_status conv_pool_backward(const fn_conv *g, const fn_pool *pool, const void *x, const void *w, const void *dy,
                                    const void *index, const void *add, void *dx, void *dw, void *db) {
    const pool_images pooled = {pool, dy, index};
    const column_job arrived = {
        .rows = pool->N * pool->P * pool->Q, .columns = pool->C, .x = dy, .kind = max_kind(pool), .index = index};
    fn_status status = db ? column_run(arrived, db) : FN_OK;
    if (status == FN_OK && dw && is_pooled_weight(g, pool))
        status = pooled_weight_run(g, pool, x, dy, index, dw), dw = NULL;
    if (status == FN_OK && dx && is_pooled_input(g, pool))
        status = pooled_input_run(g, pool, w, dy, index, add, dx), dx = NULL;
    if (status == FN_OK && (dx || dw)) status = conv_gradients(g, pool_gradient_of_images, &pooled, x, w, add, dx, dw);
    return status;
}
