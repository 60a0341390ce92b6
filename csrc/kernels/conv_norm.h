/* A convolution and the batch norm after it, some images at a time: what one writes, the other reads from the cache.
 *
 * forward:   images are convolved, then their part of the moments is summed up (norm.h's parts are whole images).
 * backward:  the norm's input gradient is made for a few images, in a buffer that stays in the cache; the convolution's input
 *            gradient and, where Winograd sums up by parts, its weight gradient take it from there, and it never goes to memory.
 * The bits are those of one operation after the other.
 */
enum { CONV_NORM_BYTES = 128 << 10, CONV_NORM_WEIGHTS = 384 << 10 };

typedef struct {
    const conv_job *conv;
    norm_job moments;
    fn_status status;
} conv_moments;

/* By images: there are enough, and all weights, which each few images read again, stay in the cache beside them. */
INLINE int joins_norm(const fn_conv *g) {
    int64_t transformed = g->R > 1 && g->stride_h == 1 && g->stride_w == 1 ? max64(g->R * g->S, POINTS) : g->R * g->S;
    return conv_jobs(g) == 1 && g->N >= NORM_IMAGES && g->H * g->W * g->P * g->Q > 0 &&
           transformed * g->C * g->K * (int64_t)sizeof(REAL) <= CONV_NORM_WEIGHTS;
}

INLINE void note_failure(fn_status status, fn_status *shared) {
    if (status != FN_OK) __atomic_store_n(shared, status, __ATOMIC_RELAXED);
}

static void conv_moments_task(void *context, int64_t part, int thread) {
    conv_moments *both = context;
    const conv_job *conv = both->conv;
    int64_t N = conv->N, parts = both->moments.parts, first = N * part / parts, last = N * (part + 1) / parts;
    int before = fn_use_threads(1);
    note_failure(conv_run_images(conv, conv->in + first * conv->H * conv->W * conv->in_pixel, first, last - first), &both->status);
    norm_part(&both->moments, part, thread);
    fn_use_threads(before);
}

static fn_status conv_norm_forward(const fn_conv *g, const void *x, const void *w, const void *bias, void *y, double *mean,
                                   double *var) {
    const fn_epilogue end = {NULL, bias, NULL, 0};
    int64_t pixels = g->P * g->Q;
    if (!joins_norm(g)) {
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
        fn_parallel(both.moments.parts, (double)(g->N * pixels) * (double)(g->C * g->R * g->S), conv_moments_task, &both);
        norm_end(&both.moments, mean, var);
    }
    fn_free(job.prepared);
    return status == FN_OK ? both.status : status;
}

typedef struct {
    const fn_conv *g;
    affine_job norm;
    REAL *gradient, *buffers; /* of the norm's input: all of it, or for each thread `together` images */
    const phase_jobs *phases; /* or NULL: no input gradient */
    const winograd_weight_job *weights; /* or NULL: later */
    int64_t parts, together;
    fn_status status;
} conv_norm_job;

static void conv_norm_task(void *context, int64_t part, int thread) {
    conv_norm_job *job = context;
    int64_t N = job->g->N, image = job->g->P * job->g->Q * job->g->K;
    int64_t begin = N * part / job->parts, end = N * (part + 1) / job->parts;
    int before = fn_use_threads(1);
    for (int64_t n = begin; n < end; n += job->together) {
        int64_t count = min64(job->together, end - n);
        affine_job norm = job->norm;
        norm.x += n * image, norm.dy += n * image;
        norm.y = job->gradient ? job->gradient + n * image : job->buffers + thread * job->together * image;
        affine_some(&norm, 0, count * image);
        if (job->phases) note_failure(phases_run(job->phases, norm.y, n, count), &job->status);
        if (job->weights) winograd_weight_images(job->weights, n, count, norm.y, n == begin, part, thread);
    }
    fn_use_threads(before);
}

static fn_status conv_norm_backward(const fn_conv *g, const fn_norm *n, const void *x, const void *w, const void *dy,
                                    const void *y, const double *dgamma, const double *dbeta, const void *add, void *dx,
                                    void *dw) {
    int64_t image = g->P * g->Q * g->K, bytes = image * (int64_t)sizeof(REAL);
    int by_images = joins_norm(g);
    int input_too = dx && by_images && !is_scatter(g), weight_too = dw && by_images && winograd_weight_parts(g) > 1;
    winograd_weight_job weights = {.v = NULL};
    phase_jobs phases = {0, NULL};
    conv_norm_job job = {.g = g, .norm = {.x = y, .dy = dy}};
    job.together = by_images ? max64(1, min64(g->N, CONV_NORM_BYTES / bytes)) : g->N;
    fn_status status = norm_gradient(n, dgamma, dbeta, &job.norm);
    if (status == FN_OK && weight_too) {
        status = winograd_weight_begin(g, x, NULL, dw, &weights);
        job.weights = &weights, job.together = weights.together;
    }
    if (status == FN_OK && input_too) status = phases_begin(g, 0, NULL, w, add, dx, &phases), job.phases = &phases;
    int whole = (dx && !input_too) || (dw && !weight_too); /* who comes later wants all of it */
    job.buffers = fn_alloc((size_t)((whole ? g->N : fn_threads() * job.together) * bytes), FN_SCRATCH);
    if (status == FN_OK && !job.buffers) status = FN_NO_MEMORY;
    if (whole) job.gradient = job.buffers;
    if (status == FN_OK && by_images) {
        job.parts = weight_too ? weights.parts : ceil_div(g->N, job.together);
        double work = (double)(g->N * image) * (double)(g->C * g->R * g->S) / LANES;
        fn_parallel(job.parts, work, conv_norm_task, &job);
        status = job.status;
        if (weight_too) winograd_weight_end(&weights);
    } else if (status == FN_OK) {
        job.norm.y = job.gradient;
        affine_all(&job.norm, g->N * image);
    }
    if (status == FN_OK && dx && !input_too) status = conv_grad_input(g, job.gradient, w, add, dx);
    if (status == FN_OK && dw && !weight_too) status = conv_grad_weight(g, x, job.gradient, dw);
    phases_end(&phases);
    fn_free(weights.v);
    fn_free(job.buffers);
    fn_free(job.norm.tables);
    return status;
}
