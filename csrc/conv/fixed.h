/* Convolutions for inference: conv_fix packs the weights once; the convolution then runs on any number of images.
 *
 * `prepared` holds shift and prelu's slope of each output channel, then the prepared weights of each group.
 * Needs conv/forward.h.
 *
 * Assumption: the layout of USED_IN_PLAN weights depends on neither the number of images nor the threads.
 */

INLINE int64_t whole_lines(int64_t bytes) { return ceil_div(bytes, 64) * 64; }

/* The job of one group for N images, without its arrays; y has `wide` channels per pixel. */
INLINE conv_job fixed_job(const fn_fixed_conv *c, int64_t N, int threads, int64_t group) {
    fn_conv g = c->g;
    g.N = N;
    conv_job job = forward_job(&g, group, threads, NULL, NULL, NULL, NULL);
    int64_t side = c->pooled ? 2 : 1;
    if (c->pooled) {
        job.pooled = 1;
        job.conv.P = g.P / 2 * 2;
        job.conv.Q = g.Q / 2 * 2;
    }
    job.at.out_pixel = c->wide;
    job.at.out_row = g.Q / side * c->wide;
    job.at.out_image = g.P / side * job.at.out_row;
    job.run.use = USED_IN_PLAN;
    job.run.algorithm = &conv_algorithms[c->algorithm];
    job.run.algorithm->measure(&job);
    return job;
}

static fn_status conv_fix(fn_fixed_conv *c, const void *w, const void *shift, const void *slopes) {
    const fn_conv *g = &c->g;
    int64_t bytes = g->K * (int64_t)sizeof(REAL), first = 2 * whole_lines(bytes);
    conv_job job = forward_job(g, 0, fn_threads(), NULL, w, NULL, NULL);
    job.pooled = c->pooled;
    job.run.use = USED_IN_PLAN;
    conv_plan(&job);
    c->algorithm = job.run.algorithm - conv_algorithms;
    c->group_bytes = whole_lines(job.run.prepared_bytes);
    c->bytes = conv_jobs(g) * c->group_bytes;
    c->prepared = fn_alloc((size_t)(first + c->bytes), FN_ARRAY);
    if (!c->prepared) return FN_NO_MEMORY;
    char *to = (char *)c->prepared;
    memset(to, 0, (size_t)first);
    if (shift) memcpy(to, shift, (size_t)bytes);
    if (slopes) memcpy(to + first / 2, slopes, (size_t)bytes);
    for (int64_t group = 0; group < conv_jobs(g); group++) {
        job.at.w = forward_job(g, group, 1, NULL, w, NULL, NULL).at.w;
        job.run.prepared = (REAL *)(to + first + group * c->group_bytes);
        job.run.algorithm->prepare(&job);
    }
    return FN_OK;
}

static int64_t conv_fixed_scratch(const fn_fixed_conv *c, int64_t N, int threads) {
    conv_job job = fixed_job(c, N, threads, 0);
    return conv_scratch_bytes(&job);
}

/* add: laid out like y, or NULL; y may be add.  scratch: conv_fixed_scratch(c, N, threads) bytes. */
static void conv_run_fixed(const fn_fixed_conv *c, int64_t N, int threads, const void *x, const void *add, void *y,
                           void *scratch) {
    const fn_conv *g = &c->g;
    char *slopes = (char *)c->prepared + whole_lines(g->K * (int64_t)sizeof(REAL));
    char *weights = slopes + (slopes - (char *)c->prepared);
    const fn_epilogue end = {.shift = c->prepared,
                             .slopes = c->activation == FN_ACTIVATION_prelu ? slopes : NULL,
                             .add = add,
                             .activation = c->activation,
                             .a = c->a,
                             .b = c->b};
    for (int64_t group = 0; group < conv_jobs(g); group++) {
        conv_job job = fixed_job(c, N, threads, group);
        job.at.in = (const REAL *)x + group * job.conv.C;
        job.at.out = (REAL *)y + group * job.conv.K;
        job.end = epilogue_of(&end, group * job.conv.K, y);
        job.run.prepared = (REAL *)(weights + group * c->group_bytes);
        job.run.scratch = scratch;
        conv_execute(&job);
    }
}
