/* Runs a convolution a few images at a time, so that its neighbours find the data in the cache.
 *
 * Forward, each block of outputs is handed to a consumer while it is cached.  Backward, a maker computes the gradient
 * of a few images' outputs into a small buffer. Both gradients of the convolution read it from the cache: the input
 * gradient and, if Winograd accumulates it in parts, the weight gradient. Needs conv/forward.h, conv/grad_input.h,
 * conv/grad_weight.h.
 */
/* Whether it pays: there are enough images, and the weights, which every block reads, fit in the cache beside it.
 */
INLINE int goes_by_images(const fn_conv *g) {
    int64_t transformed = g->R > 1 && g->stride_h == 1 && g->stride_w == 1 ? max64(g->R * g->S, POINTS) : g->R * g->S;
    return conv_jobs(g) == 1 && g->N >= NORM_IMAGES && g->H * g->W * g->P * g->Q > 0 &&
           transformed * g->C * g->K * (int64_t)sizeof(REAL) <= fn_speed.block_weights;
}

/* The number of images per block. */
INLINE int64_t few_images(const fn_conv *g) {
    return max64(1, min64(g->N, fn_speed.block_bytes / (g->P * g->Q * g->K * (int64_t)sizeof(REAL))));
}

/* ---- forward ---- */

/* Consume block number `block`, on the calling thread alone: y points to the outputs of images [first, first + count).
 */
typedef void (*image_consumer)(void *context, int64_t block, int64_t first, int64_t count, const REAL *y, int thread);

typedef struct {
    const conv_job *conv;
    int64_t blocks, images_per_block; /* at most so many images */
    REAL *y, *buffers; /* all outputs; or NULL, and each thread's buffer for a block */
    image_consumer consume;
    void *context;
    fn_status status;
} forward_blocks;

/* Run blocks in reverse order: the next pass over the outputs goes forwards and finds the first ones in the cache. */
static void forward_block(void *context, int64_t task, int thread) {
    forward_blocks *job = context;
    const conv_job *conv = job->conv;
    int64_t N = conv->conv.N, block = job->blocks - 1 - task, image_size = conv->at.out_image;
    int64_t first = N * block / job->blocks, count = N * (block + 1) / job->blocks - first;
    const REAL *in = conv->at.in + first * conv->conv.H * conv->conv.W * conv->at.in_pixel;
    REAL *y = job->y ? job->y + first * image_size : job->buffers + thread * job->images_per_block * image_size;
    note_failure(conv_run_images(conv, 1, count, in, y), &job->status);
    job->consume(job->context, block, first, count, y, thread);
}

/* Run a convolution that goes_by_images, its images split evenly into blocks; y: all outputs, or NULL not to keep them.
 */
static fn_status conv_forward_blocks(const fn_conv *g, int threads, const void *x, const void *w, const void *bias,
                                     REAL *y, int64_t blocks, image_consumer consume, void *context) {
    const fn_epilogue end = {.shift = bias};
    conv_job conv = forward_job(g, 0, threads, x, w, &end, y);
    forward_blocks job = {.conv = &conv,
                          .blocks = blocks,
                          .images_per_block = ceil_div(g->N, blocks),
                          .y = y,
                          .consume = consume,
                          .context = context};
    fn_status status = conv_begin(&conv);
    if (!y)
        job.buffers = fn_alloc((size_t)(threads * job.images_per_block * conv.at.out_image) * sizeof(REAL), FN_SCRATCH);
    if (!y && !job.buffers) status = FN_NO_MEMORY;
    if (status == FN_OK) {
        fn_parallel_on(threads, blocks, conv_work(g), forward_block, &job);
        status = job.status;
    }
    fn_free(job.buffers);
    fn_free(conv.run.prepared);
    return status;
}

/* ---- backward ---- */

/* Write the gradient of the outputs of images [first, first + count) to `to`. */
typedef void (*gradient_maker)(const void *context, int threads, int64_t first, int64_t count, REAL *to);

typedef struct {
    const fn_conv *g;
    gradient_maker make;
    const void *context;
    int whole; /* whether `gradient` is that of all images, else it has room for a block of each thread */
    REAL *gradient;
    const phase_jobs *phases; /* or NULL: no input gradient here */
    const winograd_weight_job *weights; /* or NULL: no weight gradient here */
    int64_t parts, images_per_block;
    fn_status status;
} gradient_blocks;

static void gradient_part(void *context, int64_t part, int thread) {
    gradient_blocks *job = context;
    int64_t N = job->g->N, image_size = job->g->P * job->g->Q * job->g->K;
    int64_t begin = N * part / job->parts, end = N * (part + 1) / job->parts;
    for (int64_t n = begin; n < end; n += job->images_per_block) {
        int64_t count = min64(job->images_per_block, end - n);
        REAL *dy = job->gradient + (job->whole ? n : thread * job->images_per_block) * image_size;
        job->make(job->context, 1, n, count, dy);
        if (job->phases) note_failure(phases_run(job->phases, 1, n, count, dy), &job->status);
        if (job->weights) winograd_weight_images(job->weights, n, count, dy, n == begin, part, thread);
    }
}

/* conv_grad_input and conv_grad_weight from the gradient that `make` computes; dx, dw: or NULL. */
static fn_status conv_gradients(const fn_conv *g, int threads, gradient_maker make, const void *context, const void *x,
                                const void *w, const void *add, void *dx, void *dw) {
    const weight_gradient of_weight = weight_gradient_of(g, 0, threads, x, NULL, dw);
    const input_gradient of_input = {g, NULL, w, add, dx, threads};
    int by_images = goes_by_images(g),
        in_parts = winograd_weight_fits(&of_weight) && winograd_weight_parts(&of_weight.conv) > 1;
    int input_by_block = dx && by_images && !scatter_fits(g), weight_by_block = dw && by_images && in_parts;
    winograd_weight_job weights = {.v = NULL};
    phase_jobs phases = {0, NULL};
    gradient_blocks job = {
        .g = g, .make = make, .context = context, .images_per_block = by_images ? few_images(g) : g->N};
    fn_status status = FN_OK;
    job.whole = (dx && !input_by_block) || (dw && !weight_by_block); /* a later pass reads the whole gradient */
    if (weight_by_block) {
        status = winograd_weight_begin(&of_weight, &weights);
        job.weights = &weights;
        job.images_per_block = weights.images_per_chunk;
    }
    if (status == FN_OK && input_by_block) {
        status = phases_begin(&of_input, 0, &phases);
        job.phases = &phases;
    }
    int64_t images = job.whole ? g->N : threads * job.images_per_block;
    job.gradient = fn_alloc((size_t)(images * g->P * g->Q * g->K) * sizeof(REAL), FN_SCRATCH);
    if (status == FN_OK && !job.gradient) status = FN_NO_MEMORY;
    if (status == FN_OK && (input_by_block || weight_by_block)) {
        job.parts = weight_by_block ? weights.parts : ceil_div(g->N, job.images_per_block);
        fn_parallel_on(threads, job.parts, conv_work(g), gradient_part, &job);
        status = job.status;
        if (weight_by_block) winograd_weight_end(&weights);
    } else if (status == FN_OK) make(context, threads, 0, g->N, job.gradient);
    if (status == FN_OK && dx && !input_by_block) status = conv_grad_input(g, job.gradient, w, add, dx);
    if (status == FN_OK && dw && !weight_by_block) status = conv_grad_weight(g, x, job.gradient, dw);
    phases_end(&phases);
    fn_free(weights.v);
    fn_free(job.gradient);
    return status;
}
