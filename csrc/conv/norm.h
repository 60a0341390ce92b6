/* A convolution and the batch norm after it, some images at a time (conv_images.h): images are convolved, then their part of
 * the moments is summed up (norm.h's parts are whole images); the norm's input gradient is made where the convolution's
 * gradients read it.  The bits are those of one operation after the other.
 */
typedef struct {
    const conv_job *conv;
    norm_job moments;
    fn_status status;
} conv_moments;

static void conv_moments_task(void *context, int64_t task, int thread) {
    conv_moments *both = context;
    const conv_job *conv = both->conv;
    int64_t N = conv->N, parts = both->moments.parts, part = parts - 1 - task; /* backwards, as norm_task */
    int64_t first = N * part / parts, last = N * (part + 1) / parts;
    int before = fn_use_threads(1);
    note_failure(conv_run_images(conv, conv->in + first * conv->H * conv->W * conv->in_pixel, first, last - first),
                 &both->status);
    norm_part(&both->moments, part, thread);
    fn_use_threads(before);
}

static fn_status conv_norm_forward(const fn_conv *g, const void *x, const void *w, const void *bias, void *y,
                                   double *mean, double *var) {
    const fn_epilogue end = {NULL, bias, NULL, 0};
    int64_t pixels = g->P * g->Q;
    if (!goes_by_images(g)) {
        fn_status status = conv_forward(g, x, w, &end, y);
        return status == FN_OK ? norm_moments(g->N, pixels, g->K, y, mean, var) : status;
    }
    conv_job job = forward_job(g, 0, x, w, &end, y);
    conv_moments both = {&job, {.images = g->N, .pixels = pixels, .C = g->K, .x = y}, FN_OK};
    job.form = conv_choose(&job);
    conv_measure(&job);
    job.prepared = fn_alloc((size_t)job.prepared_bytes, FN_SCRATCH);
    fn_status status = job.prepared ? norm_begin(&both.moments) : FN_NO_MEMORY;
    if (status == FN_OK) {
        conv_prepare(&job);
        fn_parallel(both.moments.parts, (double)(g->N * pixels) * (double)(g->C * g->R * g->S), conv_moments_task,
                    &both);
        norm_end(&both.moments, mean, var);
    }
    fn_free(job.prepared);
    return status == FN_OK ? both.status : status;
}

typedef struct {
    affine_job job;
    int64_t image; /* numbers of one */
} affine_images;

static void norm_gradient_of_images(const void *context, int64_t first, int64_t count, REAL *to) {
    const affine_images *norm = context;
    affine_job job = norm->job;
    job.x += first * norm->image, job.dy += first * norm->image, job.y = to;
    affine_all(&job, count * norm->image);
}

static fn_status conv_norm_backward(const fn_conv *g, const fn_norm *n, const void *x, const void *w, const void *dy,
                                    const void *y, const double *dgamma, const double *dbeta, const void *add, void *dx,
                                    void *dw) {
    affine_images norm = {{.x = y, .dy = dy}, g->P * g->Q * g->K};
    fn_status status = norm_gradient(n, dgamma, dbeta, &norm.job);
    if (status == FN_OK) status = conv_gradients(g, norm_gradient_of_images, &norm, x, w, add, dx, dw);
    fn_free(norm.job.tables);
    return status;
}
