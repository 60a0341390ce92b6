/* A convolution and the batch norm after it, a few images at a time. Forward, the moments of each block of outputs are
 * accumulated while the block is in the cache. Backward, the norm's input gradient is computed block by block, and the
 * convolution's gradients read it from the cache. The results have the same bits as those of the separate operations.
 * Needs conv/images.h, norm/moments.h, norm/apply.h.
 */
static void add_moments(void *context, int64_t part, int64_t first, int64_t count, const REAL *y, int thread) {
    (void)first, (void)count, (void)y; /* norm_part finds its rows by the part's number */
    norm_part(context, part, thread);
}

static fn_status conv_norm_forward(const fn_conv *g, const void *x, const void *w, const void *bias, void *y,
                                   double *mean, double *var) {
    const fn_epilogue end = {.shift = bias};
    int64_t pixels = g->P * g->Q;
    if (!goes_by_images(g)) {
        fn_status status = conv_forward(g, x, w, &end, y);
        return status == FN_OK ? norm_moments(g->N, pixels, g->K, y, mean, var) : status;
    }
    norm_job moments = {.images = g->N, .pixels = pixels, .C = g->K, .x = y};
    fn_status status = norm_begin(&moments);
    if (status == FN_OK) {
        status = conv_forward_blocks(g, fn_threads(), x, w, bias, y, moments.parts, add_moments, &moments);
        norm_end(&moments, mean, var);
    }
    return status;
}

typedef struct {
    affine_job job;
    int64_t image_size;
} norm_images;

static void make_norm_gradient(const void *context, int threads, int64_t first, int64_t count, REAL *to) {
    const norm_images *norm = context;
    affine_job job = norm->job;
    job.x += first * norm->image_size;
    job.dy += first * norm->image_size;
    job.y = to;
    affine_all(threads, &job, count * norm->image_size);
}

static fn_status conv_norm_backward(const fn_conv *g, const fn_norm *n, const void *x, const void *w, const void *dy,
                                    const void *y, const double *dgamma, const double *dbeta, const void *add, void *dx,
                                    void *dw) {
    norm_images norm = {{.x = y, .dy = dy}, g->P * g->Q * g->K};
    fn_status status = norm_gradient(n, dgamma, dbeta, &norm.job);
    if (status == FN_OK) status = conv_gradients(g, fn_threads(), make_norm_gradient, &norm, x, w, add, dx, dw);
    fn_free(norm.job.tables);
    return status;
}
