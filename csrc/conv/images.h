/* A convolution some images at a time: what stands before or after it meets it in the cache.
 *
 * Its gradients take the gradient of its outputs from a buffer that stays in the cache, where somebody makes it for a few
 * images: the input gradient and, where Winograd sums up by parts, the weight gradient; then it never goes to memory.
 */
enum { FEW_IMAGES_BYTES = 128 << 10, FEW_IMAGES_WEIGHTS = 384 << 10 };

/* Whether it pays: there are enough, and all weights, which each few images read again, stay in the cache beside them. */
INLINE int goes_by_images(const fn_conv *g) {
    int64_t transformed = g->R > 1 && g->stride_h == 1 && g->stride_w == 1 ? max64(g->R * g->S, POINTS) : g->R * g->S;
    return conv_jobs(g) == 1 && g->N >= NORM_IMAGES && g->H * g->W * g->P * g->Q > 0 &&
           transformed * g->C * g->K * (int64_t)sizeof(REAL) <= FEW_IMAGES_WEIGHTS;
}

INLINE int64_t few_images(const fn_conv *g) {
    return max64(1, min64(g->N, FEW_IMAGES_BYTES / (g->P * g->Q * g->K * (int64_t)sizeof(REAL))));
}

INLINE void note_failure(fn_status status, fn_status *shared) {
    if (status != FN_OK) __atomic_store_n(shared, status, __ATOMIC_RELAXED);
}

/* Write the gradient of the outputs of images [first, first + count) to `to`; with whatever threads there are. */
typedef void (*gradient_maker)(const void *context, int64_t first, int64_t count, REAL *to);

typedef struct {
    const fn_conv *g;
    gradient_maker make;
    const void *context;
    REAL *gradient, *buffers; /* all of it, or for each thread `together` images */
    const phase_jobs *phases; /* or NULL: no input gradient */
    const winograd_weight_job *weights; /* or NULL: later */
    int64_t parts, together;
    fn_status status;
} gradient_job;

static void gradient_of_images(void *context, int64_t part, int thread) {
    gradient_job *job = context;
    int64_t N = job->g->N, image = job->g->P * job->g->Q * job->g->K;
    int64_t begin = N * part / job->parts, end = N * (part + 1) / job->parts;
    int before = fn_use_threads(1);
    for (int64_t n = begin; n < end; n += job->together) {
        int64_t count = min64(job->together, end - n);
        REAL *dy = job->gradient ? job->gradient + n * image : job->buffers + thread * job->together * image;
        job->make(job->context, n, count, dy);
        if (job->phases) note_failure(phases_run(job->phases, dy, n, count), &job->status);
        if (job->weights) winograd_weight_images(job->weights, n, count, dy, n == begin, part, thread);
    }
    fn_use_threads(before);
}

/* conv_grad_input and conv_grad_weight (dx, dw: or NULL) of what `make` makes. */
static fn_status conv_gradients(const fn_conv *g, gradient_maker make, const void *context, const void *x,
                                const void *w, const void *add, void *dx, void *dw) {
    int by_images = goes_by_images(g);
    int input_too = dx && by_images && !is_scatter(g), weight_too = dw && by_images && winograd_weight_parts(g) > 1;
    int whole = (dx && !input_too) || (dw && !weight_too); /* who comes later wants all of it */
    winograd_weight_job weights = {.v = NULL};
    phase_jobs phases = {0, NULL};
    gradient_job job = {.g = g, .make = make, .context = context, .together = by_images ? few_images(g) : g->N};
    fn_status status = FN_OK;
    if (weight_too) {
        status = winograd_weight_begin(g, x, NULL, dw, &weights);
        job.weights = &weights, job.together = weights.together;
    }
    if (status == FN_OK && input_too) status = phases_begin(g, 0, NULL, w, add, dx, &phases), job.phases = &phases;
    int64_t images = whole ? g->N : fn_threads() * job.together;
    job.buffers = fn_alloc((size_t)(images * g->P * g->Q * g->K) * sizeof(REAL), FN_SCRATCH);
    if (status == FN_OK && !job.buffers) status = FN_NO_MEMORY;
    if (whole) job.gradient = job.buffers;
    if (status == FN_OK && (input_too || weight_too)) {
        job.parts = weight_too ? weights.parts : ceil_div(g->N, job.together);
        double work = (double)(g->N * g->P * g->Q * g->K) * (double)(g->C * g->R * g->S) / LANES;
        fn_parallel(job.parts, work, gradient_of_images, &job);
        status = job.status;
        if (weight_too) winograd_weight_end(&weights);
    } else if (status == FN_OK) make(context, 0, g->N, job.gradient);
    if (status == FN_OK && dx && !input_too) status = conv_grad_input(g, job.gradient, w, add, dx);
    if (status == FN_OK && dw && !weight_too) status = conv_grad_weight(g, x, job.gradient, dw);
    phases_end(&phases);
    fn_free(weights.v);
    fn_free(job.buffers);
    return status;
}
