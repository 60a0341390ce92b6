/* A convolution and the maxout after it, a few images at a time, as in conv/pool.h: the convolution's output is never
 * stored, and its gradient is computed block by block.  The bits are those of the separate operations.
 * Needs conv/images.h, pointwise/maxout.h.
 */
typedef struct {
    int64_t pixels, C, pieces; /* of an image of maxout's output */
    const REAL *dy;
    REAL *y;
    uint8_t *index;
} maxout_images;

INLINE maxout_images maxout_of(const fn_conv *g, int64_t pieces) {
    return (maxout_images){.pixels = g->P * g->Q, .C = g->K / pieces, .pieces = pieces};
}

static void maxout_outputs(void *context, int64_t block, int64_t first, int64_t count, const REAL *x, int thread) {
    const maxout_images *job = context;
    int64_t from = first * job->pixels * job->C;
    (void)block, (void)thread;
    maxout_on(1, count * job->pixels, job->C, job->pieces, x, job->y + from, job->index + from);
}

static fn_status conv_maxout_forward(const fn_conv *g, int64_t pieces, const void *x, const void *w, const void *bias,
                                     void *y, uint8_t *index) {
    if (goes_by_images(g)) {
        maxout_images job = maxout_of(g, pieces);
        job.y = y, job.index = index;
        int64_t blocks = ceil_div(g->N, few_images(g));
        return conv_forward_blocks(g, fn_threads(), x, w, bias, NULL, blocks, maxout_outputs, &job);
    }
    const fn_epilogue end = {.shift = bias};
    REAL *outputs = fn_alloc((size_t)(g->N * g->P * g->Q * g->K) * sizeof(REAL), FN_SCRATCH);
    if (!outputs) return FN_NO_MEMORY;
    fn_status status = conv_forward(g, x, w, &end, outputs);
    if (status == FN_OK) maxout(g->N * g->P * g->Q, g->K / pieces, pieces, outputs, y, index);
    fn_free(outputs);
    return status;
}

static void make_maxout_gradient(const void *context, int threads, int64_t first, int64_t count, REAL *to) {
    const maxout_images *job = context;
    int64_t from = first * job->pixels * job->C;
    maxout_gradient_on(threads, count * job->pixels, job->C, job->pieces, job->dy + from, job->index + from, to);
}

static fn_status conv_maxout_backward(const fn_conv *g, int64_t pieces, const void *x, const void *w, const void *dy,
                                      const uint8_t *index, const void *add, void *dx, void *dw, void *db) {
    maxout_images job = maxout_of(g, pieces);
    job.dy = dy, job.index = (uint8_t *)index;
    fn_status status = FN_OK;
    REAL *sums = db ? fn_alloc((size_t)job.C * sizeof(REAL), FN_SCRATCH) : NULL, *bias = db;
    if (db && !sums) status = FN_NO_MEMORY;
    for (int64_t piece = 0; db && status == FN_OK && piece < pieces; piece++) {
        column_job column = {.rows = g->N * job.pixels, .columns = job.C, .x = dy, .kind = MAX_BYTES};
        column.index = index, column.piece = piece + 1;
        status = column_run(column, sums);
        for (int64_t c = 0; c < job.C; c++) bias[c * pieces + piece] = sums[c];
    }
    fn_free(sums);
    if (status == FN_OK && (dx || dw))
        status = conv_gradients(g, fn_threads(), make_maxout_gradient, &job, x, w, add, dx, dw);
    return status;
}
